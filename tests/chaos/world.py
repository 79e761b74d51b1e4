"""Everything that can fail, a process each: a directory in; a broker, a ClickHouse, two workers and a sink out.

The second worker reaches the broker through a proxy.
"""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL, Signals
from types import TracebackType
from typing import IO, Self

from pipeline.demo.system import environment
from pipeline.embedded.clickhouse import EmbeddedClickHouse
from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.embedded.ports import free_port
from pipeline.settings import Settings
from tests.chaos.proxy import Proxy
from tests.support.ledger_cluster import ROOT

PARTITIONS = 4
SESSION_SECONDS = 3.0

LEDGER = ("-m", "tests.support.ledger_cluster", "{}")
SINK = ("-m", "pipeline.cli", "sink")


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

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *self.arguments],
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
    """What runs during a chaos run; `settings` are those of who looks on."""

    def __init__(self, directory: Path) -> None:
        port, controller, self.proxied_port, proxy_port = (free_port() for _ in range(4))
        here = "127.0.0.1"
        self.kafka = EmbeddedKafka(
            directory / "kafka",
            port=port,
            settings={
                "controller.quorum.voters": f"1@{here}:{controller}",
                "listeners": f"CLIENT://{here}:{port},CONTROLLER://{here}:{controller},"
                f"PROXIED://{here}:{self.proxied_port}",
                "advertised.listeners": f"CLIENT://{here}:{port},PROXIED://{here}:{proxy_port}",
                "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT",
            },
        )
        self.clickhouse = EmbeddedClickHouse(directory / "clickhouse")
        self.proxy = Proxy(proxy_port, self.proxied_port)
        self._directory = directory
        self._proxied = f"{here}:{proxy_port}"
        self.processes: dict[str, Process] = {}

    async def start(self) -> Settings:
        """Start the servers; the settings under which they are reached."""
        self.kafka.start()
        self.clickhouse.start()
        await self.proxy.open()
        self.settings = Settings(
            kafka_bootstrap_servers=self.kafka.bootstrap_servers,
            clickhouse_url=self.clickhouse.url,
            partitions=PARTITIONS,
            mode="replay",
            session_timeout_ms=int(SESSION_SECONDS * 1_000),
            data_dir=self._directory,
        )
        return self.settings

    def start_processes(self) -> None:
        """Two workers and a sink; the topics are there."""
        proxied = self.settings.model_copy(update={"kafka_bootstrap_servers": self._proxied})
        self.processes = {
            "ledger-1": Process("ledger-1", LEDGER, self.settings),
            "ledger-2": Process("ledger-2", LEDGER, proxied),
            "sink": Process("sink", SINK, self.settings),
        }
        for process in self.processes.values():
            process.start()

    def check(self) -> None:
        """Nothing, while all of it runs."""
        for process in self.processes.values():
            process.check()

    def last_words(self) -> str:
        return "\n".join(f"{name}:\n{process.last_words()}" for name, process in self.processes.items())

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes.values():
            process.close()
        await self.proxy.cut()
        self.clickhouse.stop()
        self.kafka.stop()
