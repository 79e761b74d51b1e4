"""A server process that owns a data directory: a command in, a process out that ends with whoever started it.

One process per directory: it inherits a locked file, which the kernel unlocks when it ends, however it ends. So a
process that is still there is always recognised, and a left-over file is never mistaken for one.
"""

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pipeline.embedded.errors import EmbeddedError

LOCK_NAME = "lock"
_WATCHDOG = Path(__file__).with_name("watchdog.py")
_POLL_SECONDS = 0.02


class OwnedProcess:
    """One server on one data directory, started by us and stopped with us."""

    def __init__(self, name: str, data_dir: Path, *, stop_seconds: float = 20.0) -> None:
        """Nothing is started yet.

        Args:
            name: what people call the server, for messages.
            data_dir: made if absent; holds the lock.
            stop_seconds: how long an orderly stop may take before the process is killed.
        """
        self.name = name
        self.data_dir = data_dir
        self._stop_seconds = stop_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the server itself.

        Raises:
            EmbeddedError: it was not started.
        """
        if self._process is None:
            raise EmbeddedError(f"{self.name} on {self.data_dir} is not started; call start() first")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process is there; it may not serve yet."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How the process ended, None while it runs or was never started."""
        return self._process.poll() if self._process is not None else None

    def start(
        self, prepare: Callable[[], Sequence[str]], output: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """Take the directory, prepare it, and run a command as its owner.

        Args:
            prepare: makes the directory ready, while nobody else can have it, and returns the command.
            output: where the command's output goes, made anew.
            environment: of the command; ours if absent.

        Raises:
            EmbeddedError: a process owns the directory already, or the command cannot be run.
        """
        self.stop()
        lock = self._take_the_directory()
        try:
            command = prepare()
            with output.open("wb") as out:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    pass_fds=(lock,),
                    # Ctrl-C goes to the starter alone, which stops its servers in order.
                    start_new_session=True,
                )
            _write_owner(lock, self._process.pid)
        except OSError as error:
            raise EmbeddedError(f"{self.name} cannot be run: {error}") from error
        finally:
            os.close(lock)
        self._watchdog = subprocess.Popen(
            [sys.executable, "-I", "-S", _WATCHDOG, self._lock_path, str(self.pid), str(self._stop_seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def wait_until(self, serves: Callable[[], bool], timeout_seconds: float) -> bool:
        """Wait until `serves` says so; False when the process ended or the time is over before that."""
        deadline = time.monotonic() + timeout_seconds
        while self.is_running and time.monotonic() < deadline:
            if serves():
                return True
            time.sleep(_POLL_SECONDS)
        return False

    def stop(self) -> None:
        """Ask the process to end, wait for it, kill it when that takes too long; nothing happens if none runs."""
        if self._process is not None and self.is_running:
            self._process.terminate()
            try:
                self._process.wait(self._stop_seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._bury()

    def kill(self) -> None:
        """End the process at once (SIGKILL), as a power cut of this process would."""
        if self._process is not None and self.is_running:
            self._process.kill()
        self._bury()

    def _bury(self) -> None:
        if self._process is not None:
            self._process.wait()
        if self._watchdog is not None and self._watchdog.stdin is not None:
            self._watchdog.stdin.close()
            self._watchdog.wait()
            self._watchdog = None

    @property
    def _lock_path(self) -> Path:
        return self.data_dir / LOCK_NAME

    def _take_the_directory(self) -> int:
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise EmbeddedError(f"{self.name} cannot use {self.data_dir}: {error}; choose another directory") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise EmbeddedError(self._who_has_it()) from None
        os.ftruncate(lock, 0)
        return lock

    def _who_has_it(self) -> str:
        owner: dict[str, object] = {}
        with contextlib.suppress(OSError, ValueError):
            owner = json.loads(self._lock_path.read_text())
        who = f"process {owner['pid']}, started {owner['started_at']}" if owner else "another process"
        next_step = f"stop it (kill {owner['pid']})" if owner else "wait until it is done"
        return f"{self.name} is already running on {self.data_dir}: {who}; {next_step}, or use another directory"


def _write_owner(lock: int, pid: int) -> None:
    owner = json.dumps({"pid": pid, "started_at": datetime.now(UTC).isoformat(timespec="seconds")})
    os.pwrite(lock, owner.encode(), 0)
