"""Everything that can fail, a process each: a directory in; brokers, a ClickHouse, two workers and a sink out.

The second worker reaches the brokers through proxies. The first one keeps its identities on a disk that can be full.
"""

import json
import os
import subprocess
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL, Signals
from types import TracebackType
from typing import IO, Self

from pipeline.demo.system import environment
from pipeline.embedded.clickhouse import EmbeddedClickHouse
from pipeline.settings import Settings
from tests.chaos.brokers import Brokers
from tests.chaos.full_disks import disk_at
from tests.support.ledger_cluster import ROOT

PARTITIONS = 4
SESSION_SECONDS = 3.0

SINK = ("-m", "pipeline.cli", "sink")


def ledger(**oddities: object) -> tuple[str, ...]:
    """A ledger with chunks of a few records, and what else is odd about it (tests/support/ledger_cluster.py)."""
    return ("-m", "tests.support.ledger_cluster", json.dumps(oddities))


@dataclass(slots=True)
class Process:
    """One of ours, which a fault may end and somebody then starts again."""

    name: str
    arguments: tuple[str, ...]
    settings: Settings
    _log: IO[bytes] = field(init=False)
    _process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self._log = (self.settings.data_dir / f"{self.name}.log").open("ab")

    def start(self, arguments: tuple[str, ...] | None = None) -> None:
        """Start it, for once with other arguments."""
        self._process = subprocess.Popen(
            [sys.executable, *(arguments or self.arguments)],
            cwd=ROOT,
            env=environment(self.settings),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def signal(self, which: Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, which)

    def end(self, which: Signals = SIGKILL) -> int:
        """End it, and wait until it is gone; its exit code."""
        assert self._process is not None
        self._process.send_signal(which)
        try:
            return self._process.wait(60)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end on {which.name}:\n{self.last_words()}") from None

    def check(self) -> None:
        """Nothing, while it runs."""
        assert self._process is not None
        assert self._process.poll() is None, f"{self.name} ended:\n{self.last_words()}"

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def last_words(self) -> str:
        return Path(self._log.name).read_text(errors="replace")[-3_000:]


class World:
    """What runs during a chaos run; `settings` are those of who looks on.

    Attributes:
        disk: where the first worker keeps its identities.
    """

    def __init__(self, directory: Path, brokers: int = 1) -> None:
        self.brokers = Brokers(directory, brokers)
        self.clickhouse = EmbeddedClickHouse(directory / "clickhouse")
        self.disk = disk_at(directory / "small-disk")
        self.processes: dict[str, Process] = {}
        self._directory = directory
        self._opened = AsyncExitStack()

    async def start(self) -> Settings:
        """Start the servers; the settings under which they are reached."""
        self._opened.callback(self.brokers.stop)
        self.brokers.start()
        self._opened.callback(self.clickhouse.stop)
        self.clickhouse.start()
        for proxy in self.brokers.proxies:
            self._opened.push_async_callback(proxy.cut)
            await proxy.open()
        self._opened.enter_context(self.disk)
        self.settings = Settings(
            kafka_bootstrap_servers=self.brokers.addresses,
            clickhouse_url=self.clickhouse.url,
            partitions=PARTITIONS,
            replication_factor=self.brokers.replicas,
            mode="replay",
            session_timeout_ms=int(SESSION_SECONDS * 1_000),
            data_dir=self._directory,
        )
        return self.settings

    def start_processes(self) -> None:
        """Two workers, each with a disk of its own, and a sink; the topics are there."""
        first = {"identities_dir": self.disk.directory}
        second = {
            "identities_dir": self._directory / "identities-2",
            "kafka_bootstrap_servers": self.brokers.proxied_addresses,
        }
        self.processes = {
            "ledger-1": Process("ledger-1", ledger(), self.settings.model_copy(update=first)),
            "ledger-2": Process("ledger-2", ledger(), self.settings.model_copy(update=second)),
            "sink": Process("sink", SINK, self.settings),
        }
        for process in self.processes.values():
            self._opened.callback(process.close)
            process.start()

    def check(self) -> None:
        """Nothing, while all of it runs."""
        for process in self.processes.values():
            process.check()

    def last_words(self) -> str:
        return "\n".join(f"{name}:\n{process.last_words()}" for name, process in self.processes.items())

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self._opened.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.aclose()
