"""The whole system on this machine: a data directory and a mode in; Kafka, ClickHouse, a ledger and a sink out.

Every part is a process of its own that ends with us, however we end. Source: docs/decisions/0004-embedded-parts.md.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from pydantic import SecretStr

from pipeline.embedded.clickhouse import EmbeddedClickHouse
from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.embedded.process import OwnedProcess
from pipeline.errors import Mendable
from pipeline.settings import Settings
from pipeline.topics import Mode

_STOP_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Worker:
    """A ledger or a sink, and where its words go."""

    process: OwnedProcess
    log_file: Path

    def check(self) -> None:
        """Nothing, while it runs.

        Raises:
            Mendable: it has ended.
        """
        if not self.process.is_running:
            words = self.log_file.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
            raise Mendable(
                f"the {self.process.name} ended (exit code {self.process.exit_code}): {words[-1]}; see {self.log_file}"
            )


@dataclass(slots=True)
class System:
    """What runs, and how to reach it."""

    data_dir: Path
    kafka: EmbeddedKafka
    clickhouse: EmbeddedClickHouse
    settings: Settings
    workers: list[Worker] = field(default_factory=list)

    def start_worker(self, name: str) -> None:
        """Start `usage-credits NAME` as a process of its own."""
        directory = self.data_dir / name
        worker = Worker(OwnedProcess(name, directory, stop_seconds=_STOP_SECONDS), directory / f"{name}.log")
        command = [sys.executable, "-m", "pipeline.cli", name]
        self.workers.append(worker)
        worker.process.start(lambda: command, worker.log_file, environment(self.settings))

    def check(self) -> None:
        """Nothing, while all workers run; raises as Worker.check."""
        for worker in self.workers:
            worker.check()

    def stop(self) -> None:
        """Stop everything, last started first."""
        for worker in reversed(self.workers):
            worker.process.stop()
        self.clickhouse.stop()
        self.kafka.stop()


@contextmanager
def local_system(
    data_dir: Path, mode: Mode, say: Callable[[str], None], *, kafka_port: int = 0, clickhouse_port: int = 0
) -> Iterator[System]:
    """Kafka and ClickHouse on a data directory, stopped at the end with whatever else the system runs by then.

    Raises:
        EmbeddedError: a part cannot be started.
    """
    directory = data_dir.absolute()
    kafka = EmbeddedKafka(directory / "kafka", port=kafka_port, on_progress=say)
    clickhouse = EmbeddedClickHouse(directory / "clickhouse", port=clickhouse_port, on_progress=say)
    with ExitStack() as stack, ThreadPoolExecutor(1) as beside:
        stack.callback(clickhouse.stop)
        stack.callback(kafka.stop)
        started = beside.submit(clickhouse.start)
        # In the main thread, so that Ctrl-C reaches what takes longest, a first download.
        kafka.start()
        started.result()
        system = System(directory, kafka, clickhouse, _settings(directory, kafka, clickhouse, mode))
        stack.callback(system.stop)
        yield system


def environment(settings: Settings) -> dict[str, str]:
    """The environment in which another process of ours has exactly these settings."""
    ours = {}
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if value is not None:
            ours[name.upper()] = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    others = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    return others | ours


def interrupt_on_sigterm() -> None:
    """Have SIGTERM do what Ctrl-C does, so that everything is stopped in order."""

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def _settings(directory: Path, kafka: EmbeddedKafka, clickhouse: EmbeddedClickHouse, mode: Mode) -> Settings:
    return Settings(
        kafka_bootstrap_servers=kafka.bootstrap_servers,
        kafka_security_protocol="PLAINTEXT",
        clickhouse_url=clickhouse.url,
        replication_factor=1,
        topic_prefix="",
        mode=mode,
        data_dir=directory,
    )
