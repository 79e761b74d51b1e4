"""The whole system on this machine: a data directory and a mode in; Kafka, ClickHouse, a ledger and a sink out.

Every part is a process of its own that ends with us, however we end. Source: docs/decisions/0004-embedded-parts.md.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from pipeline.embedded.cluster import EmbeddedCluster
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

    cluster: EmbeddedCluster
    settings: Settings
    workers: list[Worker] = field(default_factory=list)

    def start_worker(self, name: str) -> None:
        """Start `usage-credits NAME` as a process of its own."""
        directory = self.cluster.data_dir / name
        worker = Worker(OwnedProcess(name, directory, stop_seconds=_STOP_SECONDS), directory / f"{name}.log")
        command = [sys.executable, "-m", "pipeline.cli", name]
        self.workers.append(worker)
        worker.process.start(lambda: command, worker.log_file, environment(self.settings))

    def check(self) -> None:
        """Nothing, while all of it runs.

        Raises:
            Mendable: a part has ended.
        """
        for worker in self.workers:
            worker.check()
        for name, part in (("Kafka", self.cluster.kafka), ("ClickHouse", self.cluster.clickhouse)):
            if not part.is_running:
                raise Mendable(f"{name} ended; see {part.data_dir}")

    def stop_workers(self) -> None:
        """Stop ledger and sink, each finishing what it has in hand."""
        for worker in self.workers:
            worker.process.stop()


@contextmanager
def local_system(
    data_dir: Path, mode: Mode, say: Callable[[str], None], *, kafka_port: int = 0, clickhouse_port: int = 0
) -> Iterator[System]:
    """Kafka and ClickHouse on a data directory, stopped at the end with whatever else the system runs by then.

    Raises:
        EmbeddedError: the directory is in use or of another mode, or a part cannot be started.
    """
    cluster = EmbeddedCluster(data_dir, mode, kafka_port=kafka_port, clickhouse_port=clickhouse_port, on_progress=say)
    with cluster:
        system = System(cluster, _settings(cluster))
        try:
            yield system
        finally:
            system.stop_workers()


def environment(settings: Settings) -> dict[str, str]:
    """The environment in which another process of ours has exactly these settings."""
    ours = {}
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if value is not None:
            ours[name.upper()] = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    others = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    return others | ours


def stop_in_order_on_signals() -> None:
    """Have SIGTERM do what Ctrl-C does; and Ctrl-C do it too, where a shell has it ignored for background jobs.

    Inside asyncio.run that is to cancel the task at its next await, never in the middle of starting a process.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))


def command_line(*words: str) -> str:
    """A command as a person can type it here: `usage-credits …` or `python …`, with its path where it has to be."""
    program = Path(sys.executable).with_name(words[0])
    name = words[0] if shutil.which(words[0]) == str(program) else os.path.relpath(program)
    return " ".join((name, *words[1:]))


def _settings(cluster: EmbeddedCluster) -> Settings:
    return Settings(
        kafka_bootstrap_servers=cluster.kafka.bootstrap_servers,
        kafka_security_protocol="PLAINTEXT",
        clickhouse_url=cluster.clickhouse.url,
        replication_factor=1,
        min_insync_replicas=None,
        topic_prefix="",
        metrics_port=None,  # the parts of one machine cannot share it
        mode=cluster.mode,
        data_dir=cluster.data_dir,
    )
