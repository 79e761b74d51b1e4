"""Numbered SQL files in, a database that has had each of them exactly once out.

A statement ends with `;` at the end of a line and can be run twice (IF NOT EXISTS, OR REPLACE), since ClickHouse has
no transaction around a file: after a crash in between the whole file is run again.
"""

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files

from sinks.clickhouse import ClickHouse, literal
from sinks.errors import Broken

_NAME = re.compile(r"(\d{4})_(\w+)\.sql")

_APPLIED = """
CREATE TABLE IF NOT EXISTS schema_migrations
(
    number      UInt32               COMMENT 'of the file in sinks/migrations',
    name        String               COMMENT 'of the file, without its number',
    sha256      String               COMMENT 'of its text: a file that was applied is never edited, a new one is added',
    applied_at  DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'by the server''s clock'
)
ENGINE = MergeTree ORDER BY number
COMMENT 'Which migrations this database has had'
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    number: int
    name: str
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def statements(self) -> list[str]:
        """Its statements, without the semicolons; a piece of nothing but comments is none."""
        pieces = re.split(r";[ \t]*(?:\n|$)", self.text)
        return [piece.strip() for piece in pieces if re.sub(r"--.*", "", piece).strip()]


def migrations() -> list[Migration]:
    """All of them, by number."""
    found = [
        Migration(int(match[1]), match[2], file.read_text(encoding="utf-8"))
        for file in files("sinks").joinpath("migrations").iterdir()
        if (match := _NAME.fullmatch(file.name))
    ]
    return sorted(found, key=lambda migration: migration.number)


async def migrate(clickhouse: ClickHouse) -> list[Migration]:
    """Bring the database to this version of the code; what was applied now.

    Raises:
        Broken: an applied file was edited since.
        Away: ClickHouse is not there, or refused.
    """
    await clickhouse.create_database()
    await clickhouse.run(_APPLIED)
    applied = dict(await clickhouse.rows("SELECT number, sha256 FROM schema_migrations"))
    done = []
    for migration in migrations():
        known = applied.get(migration.number)
        if known is None:
            for statement in migration.statements:
                await clickhouse.run(statement)
            await clickhouse.run(
                "INSERT INTO schema_migrations (number, name, sha256) "
                f"SELECT {migration.number}, {literal(migration.name)}, {literal(migration.sha256)}"
            )
            done.append(migration)
        elif known != migration.sha256:
            raise Broken(
                f"sinks/migrations/{migration.number:04d}_{migration.name}.sql was edited after database "
                f"{clickhouse.database} had it; put it back and write the change as a new migration"
            )
    return done
