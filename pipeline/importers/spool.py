"""Readings come in, in any order and any number; they come out in the order of time, the same every time.

They lie in a temporary file, so memory stays flat: SQLite makes it in its temporary folder (SQLITE_TMPDIR, TMPDIR,
/var/tmp) and takes its name away at once, so it ends with the process, however that ends.
"""

import json
import sqlite3
from collections.abc import Iterator
from hashlib import sha256

from pipeline.importers.readings import LINE, Reading

_CACHE_KIB = 16_384
_BATCH_ROWS = 1_000

_ALL = "SELECT file, body FROM readings ORDER BY at, event_id, file, place"
_LATEST = (
    "SELECT file, body FROM (SELECT *, "
    "row_number() OVER (PARTITION BY event_id ORDER BY at DESC, place DESC) AS recency FROM readings) "
    "WHERE recency = 1 ORDER BY at, event_id"
)


class Spool:
    """Readings by (time, event id).

    Attributes:
        added: how many came in.
    """

    def __init__(self, *, latest_only: bool) -> None:
        """`latest_only`: of readings of the same event_id the latest alone comes out, at the same time the last."""
        self.added = 0
        self._ordered = _LATEST if latest_only else _ALL
        self._digest = sha256()
        self._batch: list[tuple[int, bytes, int, bytes]] = []
        # An empty name is a temporary file of its own.
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._database.execute("PRAGMA temp_store = FILE")
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute(
            "CREATE TABLE readings (place INTEGER PRIMARY KEY, at INTEGER, event_id BLOB, file INTEGER, body BLOB)"
        )

    def add(self, file: int, reading: Reading) -> None:
        """Keep a reading of the file of this number."""
        body = json.dumps(reading, separators=(",", ":"), sort_keys=True).encode()
        self._digest.update(body + b"\n")
        self.added += 1
        event_id = str(reading["event_id"]).encode(errors="surrogatepass")
        self._batch.append((reading["occurred_at_micros"], event_id, file, body))
        if len(self._batch) == _BATCH_ROWS:
            self._write()

    def __len__(self) -> int:
        """How many come out."""
        self._write()
        counted = "count(DISTINCT event_id)" if self._ordered == _LATEST else "count(*)"
        return int(self._database.execute(f"SELECT {counted} FROM readings").fetchone()[0])

    def __iter__(self) -> Iterator[Reading]:
        self._write()
        earlier, number = None, 0
        for file, body in self._database.execute(self._ordered):
            reading = json.loads(body)
            if reading.pop(LINE, False):
                # Equal lines are neighbours here.
                line = (file, reading["event_id"])
                earlier, number = line, number + 1 if line == earlier else 1
                reading["event_id"] += f"-{number}"
            yield reading

    @property
    def digest(self) -> str:
        """Of all that came in."""
        return self._digest.hexdigest()

    def close(self) -> None:
        """Forget all of it."""
        self._database.close()

    def _write(self) -> None:
        with self._database:
            self._database.execute("BEGIN")
            self._database.executemany(
                "INSERT INTO readings (at, event_id, file, body) VALUES (?, ?, ?, ?)", self._batch
            )
        self._batch.clear()
