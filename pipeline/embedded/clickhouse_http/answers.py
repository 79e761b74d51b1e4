"""Response headers as ClickHouse sends them: what a query did in, headers out."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

# Formats whose chunks can be sent one after the other as they come; the others have a head, a foot or commas between.
# fmt: off
STREAMED_FORMATS = frozenset({
    "Native", "TabSeparated", "TSV", "TabSeparatedRaw", "TSVRaw", "CSV", "RowBinary", "LineAsString",
    "JSONEachRow", "JSONLines", "NDJSON", "JSONCompactEachRow",
})
# fmt: on
_TEXT = "text/plain; charset=UTF-8"
_CONTENT_TYPES: Mapping[str, str] = {
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "JSONLines": "application/x-ndjson; charset=UTF-8",
    "NDJSON": "application/x-ndjson; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TSV": "text/tab-separated-values; charset=UTF-8",
    "ArrowStream": "application/vnd.apache.arrow.stream",
    "Native": "application/octet-stream",
    "RowBinary": "application/octet-stream",
    "Parquet": "application/octet-stream",
}


def content_type(output_format: str) -> str:
    """The Content-Type of an output format."""
    return _CONTENT_TYPES.get(output_format, _TEXT)


@dataclass(frozen=True)
class Summary:
    """What a query did, counted; the clock starts when this is made without counts."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_bytes: int = 0
    begun: float = field(default_factory=time.monotonic)

    def header(self) -> dict[str, str]:
        """The X-ClickHouse-Summary header."""
        counts = {
            "read_rows": self.read_rows,
            "read_bytes": self.read_bytes,
            "written_rows": self.written_rows,
            "written_bytes": self.written_bytes,
            "total_rows_to_read": self.read_rows,
            "result_rows": self.written_rows,
            "result_bytes": self.result_bytes,
            "elapsed_ns": int((time.monotonic() - self.begun) * 1e9),
        }
        words = {name: str(value) for name, value in counts.items()}
        return {"X-ClickHouse-Summary": json.dumps(words, separators=(",", ":"))}
