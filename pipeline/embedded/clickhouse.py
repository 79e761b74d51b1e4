"""ClickHouse from Python alone: a data directory in, a ClickHouse URL out.

The engine runs in a process of its own, behind ClickHouse's HTTP interface, so that everybody uses the same URL and the
same client as with a server. Source: docs/decisions/0004-embedded-parts.md; README.md beside this file.
"""

import json
import os
import secrets
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline.embedded.clickhouse_server import USERS_NAME
from pipeline.embedded.errors import EmbeddedError
from pipeline.embedded.ports import LOOPBACK, choose_port
from pipeline.embedded.process import OwnedProcess

START_SECONDS = 60.0
WRITER = "default"
READER = "analyst"


class EmbeddedClickHouse:
    """One ClickHouse engine, its data kept on disk, with a user who may do all and one who only reads tables."""

    def __init__(self, data_dir: Path, *, port: int = 0, on_progress: Callable[[str], None] | None = None) -> None:
        """Nothing is started yet.

        Args:
            data_dir: made if absent; data, users and log lie there.
            port: 0 for any free one; the directory keeps its port while it can.
            on_progress: is told in words what happens.
        """
        self.data_dir = data_dir.absolute()
        self._wanted_port = port
        self._say = on_progress or (lambda _line: None)
        self._process = OwnedProcess("ClickHouse", self.data_dir)
        self._port = 0
        self._output = self.data_dir / "clickhouse.log"
        self._port_file = self.data_dir / "port"

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

    @property
    def pid(self) -> int:
        """The process id of the engine.

        Raises:
            EmbeddedError: it was not started.
        """
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the engine's process is there."""
        return self._process.is_running

    def start(self) -> None:
        """Start and wait until it answers.

        Raises:
            EmbeddedError: a process has the directory already, a wanted port is taken, or the engine does not come up.
        """
        begun = time.monotonic()
        self._process.start(self._prepare, self._output)
        if not self._process.wait_until(self._answers, START_SECONDS):
            what_happened = self._why_not()
            self._process.kill()
            raise EmbeddedError(what_happened)
        self._port_file.write_text(f"{self._port}\n")
        self._say(f"clickhouse: serving at {LOOPBACK}:{self._port} after {time.monotonic() - begun:.1f} s")

    def stop(self) -> None:
        """Stop in order; killed if that takes too long."""
        self._process.stop()

    def kill(self) -> None:
        """End it at once (SIGKILL), as a fault test wants."""
        self._process.kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _prepare(self) -> list[str]:
        self._port = choose_port(self._wanted_port, self._port_file)
        if not self._users_file.exists():
            _write_users(self._users_file)
        self._say(f"clickhouse: starting on {self.data_dir}")
        return [sys.executable, "-m", "pipeline.embedded.clickhouse_server", str(self.data_dir), str(self._port)]

    @property
    def _users_file(self) -> Path:
        return self.data_dir / USERS_NAME

    def _url_of(self, user: str) -> str:
        if not self._port:
            raise EmbeddedError(f"ClickHouse on {self.data_dir} has no address yet; call start() first")
        password = json.loads(self._users_file.read_text())[user]["password"]
        return f"http://{user}:{password}@{LOOPBACK}:{self._port}"

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self._port}/ping", timeout=1) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _why_not(self) -> str:
        code = self._process.exit_code
        how = f"did not answer within {START_SECONDS:.0f} s" if code is None else f"ended at once (exit code {code})"
        words = self._output.read_text(errors="replace").strip().splitlines()
        said = words[-1] if words else "it said nothing"
        if "EmbeddedServer" in said:
            said += f": another program has {self.data_dir / 'data'} open, or it is damaged"
        return f"ClickHouse on {self.data_dir} {how}: {said}; see {self._output}"


def _write_users(path: Path) -> None:
    """Passwords of its own for every data directory, for its owner's eyes."""
    users = {name: {"password": secrets.token_urlsafe(18), "may_write": name == WRITER} for name in (WRITER, READER)}
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(users, file, indent=2)
