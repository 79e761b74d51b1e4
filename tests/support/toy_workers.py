"""Worker processes of the toy ledger: started, watched by their logs, signalled, and gone when the test is over."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.engine.settings import EngineSettings
from tests.support.engine_cluster import PARTITIONS, PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]


class Workers:
    """The workers of one test."""

    def __init__(self, settings: EngineSettings, directory: Path) -> None:
        self._options = {name: value for name, value in asdict(settings).items() if name not in ("inputs", "outputs")}
        self._directory = directory
        self.all: list[Worker] = []

    def start(
        self,
        *,
        toy: dict[str, Any] | None = None,
        fault: dict[str, Any] | None = None,
        clock_off_seconds: float = 0.0,
    ) -> "Worker":
        number = len(self.all)
        options = self._options | {
            "partitions": PARTITIONS,
            "data_dir": str(self._directory / f"faust-{number}"),
            "identities_dir": str(self._directory / f"identities-{number}"),
            "toy": toy or {},
            "fault": fault or {},
            "clock_off_seconds": clock_off_seconds,
        }
        worker = Worker(options, self._directory / f"worker-{number}.log")
        self.all.append(worker)
        return worker


class Worker:
    """One process."""

    def __init__(self, options: dict[str, Any], log: Path) -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.toy_ledger", json.dumps(options)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def signal(self, which: signal.Signals) -> None:
        self.process.send_signal(which)

    async def says(self, words: str, times: int = 1) -> None:
        """Wait until its log holds these words so often."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.log.read_text().count(words) < times:
            ended = self.process.poll()
            if ended is not None or time.monotonic() > deadline:
                raise AssertionError(f"never said {words!r} (exit code {ended}):\n{self.log.read_text()[-4_000:]}")
            await asyncio.sleep(0.05)

    async def ended(self) -> int:
        """Its exit code, negative for a signal."""
        return await asyncio.to_thread(self.process.wait, PATIENCE_SECONDS)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@contextmanager
def toy_workers(settings: EngineSettings, directory: Path) -> Iterator[Workers]:
    workers = Workers(settings, directory)
    try:
        yield workers
    finally:
        for worker in workers.all:
            worker.end()
