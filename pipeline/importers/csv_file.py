"""Any CSV file with a heading and a request a line: columns in, as a mapping names them, readings out.

Its fields are those of a usage event; a column of the same name needs no mapping. Without an `event_id` a line's own
text is its identity, and which of the file's equal lines it is.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from pipeline.importers.readings import LINE, Format, NoUsage, Reading, identity, instant, uncached
from schemas.usage import UsageEvent

SOURCE = "csv"
FIELDS = {name.removesuffix("_micros") for name in UsageEvent.model_fields} - {"corrects"}
_COUNTS = {name for name in FIELDS if name.endswith(("_tokens", "_requests"))}
_WHOLE = re.compile(r"(\d+|\d{1,3}(,\d{3})+)(\.0)?", re.ASCII)
_CACHED = ("cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")


def csv_format(columns: Mapping[str, str], *, input_includes_cached: bool) -> Format:
    """Files whose columns are called so.

    Args:
        columns: field → column, for those that have another name.
        input_includes_cached: whether input tokens count those read from and written to a cache; ours do not.
    """

    def read(file: BinaryIO) -> Iterator[Reading | NoUsage]:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        lines = csv.DictReader(text)
        try:
            for row in lines:
                try:
                    yield _reading(row, columns, input_includes_cached)
                except NoUsage as none:
                    yield none
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"no CSV behind line {lines.line_num}: {error}") from None
        finally:
            text.detach()  # or it would close the file, which is not ours

    return Format("*.csv", read)


def _reading(row: Mapping[str, Any], columns: Mapping[str, str], input_includes_cached: bool) -> Reading:
    # This is how csv tells of fields without a heading, and of a heading without a field.
    if None in row or None in row.values():
        fields = sum(len(value) if isinstance(value, list) else value is not None for value in row.values())
        raise NoUsage(f"{fields} fields, the heading has {len(row.keys() - {None})}")
    found: Reading = {}
    for field in FIELDS:
        column = columns.get(field, field)
        text = row.get(column, "").strip()
        if field in columns and column not in row:
            raise NoUsage(f"there is no column {column!r}")
        if text:
            found[field] = _count(column, text) if field in _COUNTS else text
    if "occurred_at" not in found:
        raise NoUsage("no occurred_at; say which column it is: --map occurred_at=COLUMN")
    found["occurred_at_micros"] = instant(found.pop("occurred_at"))
    if input_includes_cached:
        found["input_tokens"] = uncached(found.get("input_tokens", 0), *(found.get(kind, 0) for kind in _CACHED))
    if "event_id" not in found:
        found |= {"event_id": identity(sorted(row.items(), key=str)), LINE: True}
    return {"source": SOURCE, **found}


def _count(column: str, text: str) -> int:
    if _WHOLE.fullmatch(text) is None:
        raise NoUsage(f"{column} is no whole number, such as {text[:40]!r}")
    return int(text.replace(",", "").removesuffix(".0"))
