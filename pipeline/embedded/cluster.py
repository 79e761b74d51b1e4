"""Kafka and ClickHouse together on one data directory: a directory and a mode in, two addresses out.

The mode (docs/rules.md R44) is written beside the data with the id of the Kafka cluster, and never changes: ledger time
means another thing in replay than live, and ClickHouse's rows carry positions of that one cluster.
"""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Literal, Self

from pipeline.embedded.clickhouse import EmbeddedClickHouse
from pipeline.embedded.errors import EmbeddedError
from pipeline.embedded.kafka import EmbeddedKafka

Mode = Literal["replay", "live"]


class EmbeddedCluster:
    """A Kafka and a ClickHouse that belong together."""

    def __init__(
        self,
        data_dir: Path,
        mode: Mode,
        *,
        kafka_port: int = 0,
        clickhouse_port: int = 0,
        kafka_settings: Mapping[str, str] = MappingProxyType({}),
        on_progress: Callable[[str], None] | None = None,
    ) -> None:
        """Nothing is started yet.

        Args:
            data_dir: made if absent; both keep their data there, and the mode is remembered there.
            mode: `replay` for recorded time, `live` for Kafka's.
            kafka_port: 0 for any free one; likewise `clickhouse_port`.
            kafka_settings: broker settings; they win over ours.
            on_progress: is told in words what happens, from two threads.
        """
        self.data_dir = data_dir.absolute()
        self.mode = mode
        self.kafka = EmbeddedKafka(
            self.data_dir / "kafka", port=kafka_port, settings=kafka_settings, on_progress=on_progress
        )
        self.clickhouse = EmbeddedClickHouse(
            self.data_dir / "clickhouse", port=clickhouse_port, on_progress=on_progress
        )
        self._identity_file = self.data_dir / "cluster.json"

    def start(self) -> None:
        """Start both at once and wait until both serve; if one does not come up, neither stays.

        Raises:
            EmbeddedError: the directory is of another mode or of another Kafka cluster, or a server does not start.
        """
        self._refuse_another()
        # Here, not in a thread, so that Ctrl-C ends a download.
        self.kafka.download()
        self._remember("")
        threads = ThreadPoolExecutor(2)
        try:
            for start in [threads.submit(part.start) for part in (self.kafka, self.clickhouse)]:
                start.result()
            self._remember(self.kafka.cluster_id)
        except BaseException:
            # Twice: the other one may not have been running yet the first time.
            self.stop()
            threads.shutdown()
            self.stop()
            raise
        finally:
            threads.shutdown()

    def stop(self) -> None:
        """Stop both in order."""
        self.clickhouse.stop()
        self.kafka.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _refuse_another(self) -> None:
        """Look before anything is started or made."""
        known = self._read_identity()
        if known["mode"] and known["mode"] != self.mode:
            raise EmbeddedError(
                f"{self.data_dir} holds a {known['mode']} cluster and cannot be used in {self.mode} mode; "
                f"use another directory, or remove this one to begin anew"
            )
        # Without an id the very first start was cut off: nobody was told the address, so nothing is stored.
        if known["kafka_cluster_id"] and known["kafka_cluster_id"] != self._found_cluster_id():
            raise EmbeddedError(
                f"{self.data_dir} belongs to Kafka cluster {known['kafka_cluster_id']}, but in {self.kafka.data_dir} "
                f"lies {self._found_cluster_id() or 'none'}: the positions in ClickHouse would mean other records; "
                f"put the right Kafka back, or remove {self.data_dir} to begin anew"
            )

    def _found_cluster_id(self) -> str:
        return self.kafka.cluster_id if self.kafka.has_cluster else ""

    def _read_identity(self) -> dict[str, str]:
        nothing = {"mode": "", "kafka_cluster_id": ""}
        try:
            identity: dict[str, str] = nothing | json.loads(self._identity_file.read_text())
            return identity
        except FileNotFoundError:
            if not self.kafka.has_cluster:
                return nothing
            trouble = "is missing"
        except (ValueError, TypeError):
            trouble = "is damaged"
        raise EmbeddedError(
            f"{self._identity_file} {trouble}, so it is not known whether {self.data_dir} is a replay or a live "
            f"cluster; put it back, or remove {self.data_dir} to begin anew"
        )

    def _remember(self, cluster_id: str) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        identity = {**self._read_identity(), "mode": self.mode}
        identity["kafka_cluster_id"] = cluster_id or identity["kafka_cluster_id"]
        whole = self._identity_file.with_suffix(".new")
        whole.write_text(json.dumps(identity, indent=2) + "\n")
        whole.replace(self._identity_file)
