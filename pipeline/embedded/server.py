"""What Kafka and ClickHouse have in common here: a data directory in, a running server and its address out."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from pipeline.embedded.errors import EmbeddedError
from pipeline.embedded.ports import LOOPBACK, choose_port
from pipeline.embedded.process import OwnedProcess

_ATTEMPTS = 3


class EmbeddedServer(ABC):
    """A server process on a data directory, on loopback, gone with whoever started it."""

    name: ClassVar[str]
    """What people call it."""
    start_seconds: ClassVar[float]
    """How long a start may take; a machine that does other things too is slow."""
    stop_seconds: ClassVar[float]
    """How long an orderly stop may take before the process is killed."""

    def __init__(self, data_dir: Path, port: int, on_progress: Callable[[str], None] | None) -> None:
        self.data_dir = data_dir.absolute()
        self._wanted_port = port
        self._port = 0
        self._say_line = on_progress or (lambda _line: None)
        self._process = OwnedProcess(self.name, self.data_dir, stop_seconds=self.stop_seconds)
        self._port_file = self.data_dir / "port"

    @property
    def pid(self) -> int:
        """The process id of the server itself.

        Raises:
            EmbeddedError: it was not started.
        """
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the server's process is there."""
        return self._process.is_running

    def start(self) -> None:
        """Start and wait until it serves.

        Raises:
            EmbeddedError: a process has the directory already, the directory is damaged, a wanted port is taken, or
                the server does not come up.
        """
        begun = time.monotonic()
        for attempt in range(1, _ATTEMPTS + 1):
            self._process.start(self._choose_port_and_prepare, self._output)
            if self._process.wait_until(self._serves, self.start_seconds):
                break
            failure = self._failure()
            self._process.kill()
            # A port that was free a moment ago can be somebody else's by now.
            if "ddress already in use" not in failure or self._wanted_port or attempt == _ATTEMPTS:
                raise EmbeddedError(failure)
        self._port_file.write_text(f"{self._port}\n")
        self._say(f"serving at {self._address} after {time.monotonic() - begun:.1f} s")

    def stop(self) -> None:
        """Stop in order; killed if that takes too long; nothing happens if it does not run."""
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

    @property
    def _address(self) -> str:
        if not self._port:
            raise EmbeddedError(f"{self.name} on {self.data_dir} has no address yet; call start() first")
        return f"{LOOPBACK}:{self._port}"

    @property
    def _output(self) -> Path:
        """What the process prints, made anew by every start."""
        return self.data_dir / f"{self.name.lower()}.out"

    def _said(self) -> str:
        return self._output.read_text(errors="replace")

    def _say(self, what: str) -> None:
        self._say_line(f"{self.name.lower()}: {what}")

    def _choose_port_and_prepare(self) -> Sequence[str]:
        self._port = choose_port(self._wanted_port, self._port_file)
        return self._prepare()

    def _failure(self) -> str:
        code = self._process.exit_code
        how = (
            f"did not serve within {self.start_seconds:.0f} s" if code is None else f"ended at once (exit code {code})"
        )
        return f"{self.name} on {self.data_dir} {how}: {self._gist(self._said())}"

    @abstractmethod
    def _prepare(self) -> Sequence[str]:
        """Make the directory ready for `_port`; the command of the server."""

    @abstractmethod
    def _serves(self) -> bool:
        """Whether clients are served."""

    @abstractmethod
    def _gist(self, said: str) -> str:
        """What the output of a failed start comes down to, and where to read more."""
