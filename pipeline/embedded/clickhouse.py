"""ClickHouse from Python alone: a data directory in, a ClickHouse URL out.

The engine runs in a process of its own, behind ClickHouse's HTTP interface, so that everybody uses the same URL and the
same client as with a server. Source: docs/decisions/0004-embedded-parts.md; README.md beside this file.
"""

import http.client
import json
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.embedded.clickhouse_http.users import USERS_NAME
from pipeline.embedded.server import EmbeddedServer

WRITER = "default"
READER = "analyst"


class EmbeddedClickHouse(EmbeddedServer):
    """One ClickHouse engine, its data kept on disk, with a user who may do all and one who only reads tables."""

    name = "ClickHouse"
    start_seconds = 60.0
    stop_seconds = 20.0

    def __init__(self, data_dir: Path, *, port: int = 0, on_progress: Callable[[str], None] | None = None) -> None:
        """Nothing is started yet.

        Args:
            data_dir: made if absent; data, users and output lie there.
            port: 0 for any free one; the directory keeps its port while it can.
            on_progress: is told in words what happens.
        """
        super().__init__(data_dir, port, on_progress)
        self._users_file = self.data_dir / USERS_NAME

    @property
    def url(self) -> str:
        """`http://default:PASSWORD@127.0.0.1:PORT`, known after start.

        Raises:
            EmbeddedError: it was not started.
        """
        return self._url_of(WRITER)

    @property
    def reader_url(self) -> str:
        """The same for the user who only reads tables.

        Raises:
            EmbeddedError: it was not started.
        """
        return self._url_of(READER)

    def _url_of(self, user: str) -> str:
        address = self._address
        password = json.loads(self._users_file.read_text())[user]["password"]
        return f"http://{user}:{password}@{address}"

    def _prepare(self) -> list[str]:
        if not self._users_file.exists():
            _write_users(self._users_file)
        self._say(f"starting on {self.data_dir}")
        return [sys.executable, "-m", "pipeline.embedded.clickhouse_server", str(self.data_dir), str(self._port)]

    def _serves(self) -> bool:
        connection = http.client.HTTPConnection(self._address, timeout=1)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == 200
        except (http.client.HTTPException, OSError):
            return False
        finally:
            connection.close()

    def _gist(self, said: str) -> str:
        lines = said.strip().splitlines() or ["it said nothing"]
        if "EmbeddedServer" in lines[-1]:
            return f"{lines[-1]}: another program has {self.data_dir / 'data'} open, or it is damaged"
        return lines[-1]


def _write_users(path: Path) -> None:
    """Passwords of its own for every data directory, for its owner's eyes; whole or not at all."""
    users = {name: {"password": secrets.token_urlsafe(18), "may_write": name == WRITER} for name in (WRITER, READER)}
    unfinished = path.with_suffix(".new")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(users, file, indent=2)
    unfinished.replace(path)
