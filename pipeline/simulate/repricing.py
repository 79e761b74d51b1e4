"""The priced rows of a month come in, from ClickHouse; what they would have cost by another price book goes out.

Rows come in a stream, and only sums are kept. The reverse of a corrected event is priced as that event was, and taken
off: whatever the book, what was corrected counts as it is right. Source: docs/rules.md R12, R15, R16, R19.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pipeline.domain.pricing import CompiledPrices, NoPrice, cost_parts
from schemas.dead_letters import Reason
from schemas.month import Month

# Dollars with twelve decimals, as the whole number that they are inside.
_ROWS = """
SELECT
    org_id, model, model_as_sent, toUnixTimestamp64Micro(occurred_at), processing, speed, inference_geo, events,
    input_tokens, output_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, web_search_requests,
    reinterpret(cost_usd, 'Int128')
FROM priced_usage
WHERE charge_month = {month:String} AND funding = 'credits'
    AND (empty({orgs:Array(String)}) OR has({orgs:Array(String)}, org_id))
"""


class StoredUsage(NamedTuple):
    """A row of `priced_usage`, as far as its price depends on it; of a reverse all numbers are negative."""

    org_id: str
    model: str
    model_as_sent: str
    occurred_at_micros: int
    processing: str
    speed: str
    inference_geo: str
    events: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_5m_tokens: int
    cache_write_1h_tokens: int
    web_search_requests: int
    cost_picousd: int


@dataclass(slots=True)
class Compared:
    """So many events; what they cost, and what they would have."""

    events: int = 0
    was_picousd: int = 0
    would_be_picousd: int = 0

    @property
    def difference_picousd(self) -> int:
        """What would have been paid more."""
        return self.would_be_picousd - self.was_picousd

    def add(self, other: "Compared") -> None:
        self.events += other.events
        self.was_picousd += other.was_picousd
        self.would_be_picousd += other.would_be_picousd


@dataclass(slots=True)
class Repriced:
    """A month by another book.

    Attributes:
        models: by organisation and model.
        unpriced: what the book has no price for, by organisation, model and reason; it is in no other sum.
        why: the first time that a model had none, for a reason, in words.
    """

    models: dict[tuple[str, str], Compared] = field(default_factory=lambda: defaultdict(Compared))
    unpriced: dict[tuple[str, str, Reason], Compared] = field(default_factory=lambda: defaultdict(Compared))
    why: dict[tuple[str, Reason], str] = field(default_factory=dict)

    def organizations(self) -> dict[str, Compared]:
        """Each organisation's sum of what could be compared, by its id."""
        sums = {org_id: Compared() for org_id in sorted({org_id for org_id, *_ in [*self.models, *self.unpriced]})}
        for (org_id, _), compared in self.models.items():
            sums[org_id].add(compared)
        return sums


def stored_usage(client: Any, month: Month, org_ids: Sequence[str]) -> Iterator[StoredUsage]:
    """What was charged in a month, to these organisations or to all: late usage of earlier months too (R19).

    One SELECT, so what is inserted meanwhile is not half in it.
    """
    with client.query_row_block_stream(_ROWS, parameters={"month": str(month), "orgs": list(org_ids)}) as blocks:
        for block in blocks:
            yield from map(StoredUsage._make, block)


def reprice(rows: Iterable[StoredUsage], prices: CompiledPrices) -> Repriced:
    """Price every row once more, each at the other book's rates in force when it occurred."""
    repriced = Repriced()
    for row in rows:
        used = tuple(row.events * count for count in row[8:14])
        try:
            rates = prices.rates(
                row.model_as_sent,
                row.occurred_at_micros,
                sum(used) - used[1] - used[5],  # all but output and searches: the prompt (R10)
                row.processing,
                row.speed,
                row.inference_geo,
            )
            would_be_picousd = row.events * sum(cost_parts(rates, *used))
        except NoPrice as error:
            repriced.unpriced[row.org_id, row.model, error.reason].add(Compared(row.events, row.cost_picousd))
            repriced.why.setdefault((row.model, error.reason), str(error))
        else:
            repriced.models[row.org_id, row.model].add(Compared(row.events, row.cost_picousd, would_be_picousd))
    return repriced
