"""A question about the past is put; rows of ClickHouse, as JSON, go out. Parameters are bound, never pasted."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from pipeline.gate.problems import Problem
from pipeline.gate.turns import in_turns
from schemas.instants import format_instant, micros_from_datetime
from schemas.money import picousd_from_usd, usd_from_picousd
from sinks.clickhouse import ClickHouse
from sinks.errors import SinkError

_ANSWER_SECONDS = 20.0
_AT_ONCE = 100


class History:
    """Asks ClickHouse."""

    def __init__(self, url: str, database: str) -> None:
        self._clickhouse = ClickHouse(url, database, answer_seconds=_ANSWER_SECONDS)

    async def rows(self, query: str, names: tuple[str, ...], **parameters: Any) -> list[dict[str, Any]]:
        """The rows of a SELECT of these columns.

        Raises:
            Problem: 503 while ClickHouse is away.
        """
        try:
            rows = await self._clickhouse.rows(query, parameters)
        except SinkError as error:
            raise Problem(
                503, "history_away", "ClickHouse does not answer; try again", cause=type(error).__name__
            ) from (error)
        return [
            {name: _wire(value) for name, value in zip(names, row, strict=True)}
            async for row in in_turns(rows, _AT_ONCE)
        ]

    async def close(self) -> None:
        """Close its connections."""
        await self._clickhouse.close()


def _wire(value: Any) -> Any:
    if isinstance(value, Decimal):
        return usd_from_picousd(picousd_from_usd(f"{value:f}"))
    if isinstance(value, datetime):
        return format_instant(micros_from_datetime(value if value.tzinfo else value.replace(tzinfo=UTC)))
    if isinstance(value, date):
        return value.isoformat()
    return value
