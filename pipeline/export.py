"""`usage-credits export`: a view's name comes in, its rows go out as CSV or Parquet, piece by piece as they arrive.

Nothing of the answer is held here: however large, it is as it came from ClickHouse. A file is whole or not there.
"""

import csv
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from urllib3.exceptions import HTTPError

from pipeline.clickhouse import open_clickhouse
from pipeline.errors import Mendable
from pipeline.whole_files import opened

Format = Literal["parquet", "csv"]

_MONTHS = ("month", "charge_month")
_PIECE_BYTES = 1 << 20
_TAIL_BYTES = 32 << 10
# What stands at both ends of a Parquet file, and where ClickHouse begins to say what broke in the middle of an answer.
_PARQUET = b"PAR1"
_BROKE = b"\r\n__exception__\r\n"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows: of a view or table, of these organisations and months alone; none named: of all."""

    view: str
    org_ids: tuple[str, ...] = ()
    months: tuple[str, ...] = ()


def run_export(wanted: Wanted, as_format: Format, output: Path | None, data_dir: Path | None) -> None:
    """Write the rows to a file, or to stdout.

    Raises:
        Mendable: there is no such view, it has no such column, or the answer broke off.
        EmbeddedError, ClickHouseError: see open_clickhouse; or the query was refused.
    """
    with open_clickhouse(data_dir) as client:
        query, columns = _query(client, wanted)
        bound = {"view": wanted.view, "org_ids": list(wanted.org_ids), "months": list(wanted.months)}
        answer = client.raw_stream(query, parameters=bound, fmt="Parquet" if as_format == "parquet" else "CSV")
        with opened(output) as out:
            if as_format == "csv":
                out.write(_head(columns))
            try:
                last = _copy(answer, out)
            except HTTPError as error:
                raise Mendable(f"export of {wanted.view}: the answer broke off: {error}; try again") from error
            if as_format == "csv" and not last:
                asked = (*wanted.org_ids, *wanted.months)
                print(f"no rows: {wanted.view} has none{' of ' + ', '.join(asked) if asked else ''}", file=sys.stderr)
            if _BROKE in last or (as_format == "parquet" and not last.endswith(_PARQUET)):
                said = last.rpartition(_BROKE)[2].decode(errors="replace").strip() or "it ended too early"
                raise Mendable(f"export of {wanted.view}: the answer broke off: {said[:500]}; try again")


def _query(client: Any, wanted: Wanted) -> tuple[str, list[str]]:
    here = "database = currentDatabase()"
    columns = [
        name
        for (name,) in client.query(
            f"SELECT name FROM system.columns WHERE {here} AND table = {{view:String}} ORDER BY position",
            parameters={"view": wanted.view},
        ).result_rows
    ]
    if not columns:
        known = client.query(f"SELECT name FROM system.tables WHERE {here} ORDER BY engine = 'View' DESC, name")
        names = ", ".join(name for (name,) in known.result_rows)
        raise Mendable(f"there is no view {wanted.view!r}; there are {names or 'none: run `usage-credits migrate`'}")
    conditions = []
    if wanted.org_ids:
        conditions.append(f"{_column(wanted, columns, ('org_id',), '--organization')} IN {{org_ids:Array(String)}}")
    if wanted.months:
        conditions.append(f"{_column(wanted, columns, _MONTHS, '--month')} IN {{months:Array(String)}}")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT * FROM {{view:Identifier}}{where}", columns


def _column(wanted: Wanted, columns: list[str], names: tuple[str, ...], option: str) -> str:
    for name in names:
        if name in columns:
            return name
    raise Mendable(f"{wanted.view} has no {names[0]}: leave {option} out; it has {', '.join(columns)}")


def _head(columns: list[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(columns)
    return line.getvalue().encode()


def _copy(answer: Any, out: BinaryIO) -> bytes:
    """Its last bytes, in which it would say that it broke off."""
    last = b""
    while piece := answer.read(_PIECE_BYTES):
        out.write(piece)
        last = (last + piece)[-_TAIL_BYTES:]
    return last
