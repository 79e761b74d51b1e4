"""A real Apache Kafka, one node, from Python alone: a data directory in, an address to connect to out.

Source: docs/decisions/0004-embedded-parts.md; README.md beside this file states what holds.
"""

import base64
import shutil
import subprocess
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from pipeline.embedded.errors import EmbeddedError
from pipeline.embedded.kafka_files import STARTED, log_configuration, server_properties
from pipeline.embedded.kafka_jars import KAFKA_VERSION, class_path
from pipeline.embedded.kafka_java import KafkaJava
from pipeline.embedded.kafka_security import KafkaSecurity
from pipeline.embedded.ports import free_port
from pipeline.embedded.server import EmbeddedServer

_FORMAT_SECONDS = 60.0
_ENDED_BY_SIGTERM = 143


class EmbeddedKafka(EmbeddedServer):
    """One KRaft node, broker and controller in one, its data kept on disk."""

    name = "Kafka"
    start_seconds = 90.0
    # The first orderly end writes down what was learnt about starting.
    stop_seconds = 60.0

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int = 0,
        settings: Mapping[str, str] = MappingProxyType({}),
        security: KafkaSecurity | None = None,
        new_cluster_id: str | None = None,
        on_progress: Callable[[str], None] | None = None,
    ) -> None:
        """Nothing is started yet.

        Args:
            data_dir: made if absent; data, log and settings lie there.
            port: 0 for any free one; the directory keeps its port while it can.
            settings: broker settings; they win over ours.
            security: TLS, passwords and ACLs; without it whoever reaches the port may do all.
            new_cluster_id: of a cluster that is made now, the same for all its nodes; any, if absent.
            on_progress: is told in words what happens.
        """
        super().__init__(data_dir, port, on_progress)
        self._security = security
        self._broker_settings = (security.settings() if security else {}) | dict(settings)
        self._new_cluster_id = new_cluster_id or random_cluster_id()
        self._java: KafkaJava | None = None
        self._log_dir = self.data_dir / "log"
        self._log_file = self.data_dir / "kafka.log"
        self._settings_file = self.data_dir / "server.properties"
        self._log_settings_file = self.data_dir / "log4j2.json"

    @property
    def bootstrap_servers(self) -> str:
        """`127.0.0.1:PORT`, known after start.

        Raises:
            EmbeddedError: it was not started.
        """
        return self._address

    @property
    def cluster_id(self) -> str:
        """The id this cluster got when its directory was made.

        Raises:
            EmbeddedError: the directory holds no cluster, or a damaged one.
        """
        return _cluster_id(self._log_dir)

    @property
    def has_cluster(self) -> bool:
        """Whether the directory holds a cluster already, whole or damaged."""
        return self._log_dir.exists()

    def download(self) -> None:
        """Fetch what only the very first start needs from the network; nothing happens if it is here.

        Raises:
            EmbeddedError: it cannot be downloaded.
        """
        class_path(self._say)

    def stop(self) -> None:
        """Stop in order; killed if that takes too long; nothing happens if it does not run."""
        if self.is_running and self._java is not None and self._java.learns:
            self._say("stopping; this first time it takes some 10 s, and later starts take half the time")
        super().stop()
        if self._java is not None and self._process.exit_code == _ENDED_BY_SIGTERM:
            self._java.keep_what_was_learnt()

    def tool(self, main_class: str, *arguments: str) -> list[str]:
        """The command of one of Kafka's own tools, such as `kafka.admin.ConfigCommand`, which is kafka-configs.sh.

        Raises:
            EmbeddedError: it was not started.
        """
        if self._java is None:
            raise EmbeddedError("Kafka was not started")
        return self._java.tool(main_class, *arguments)

    def _prepare(self) -> list[str]:
        controller_port = free_port()
        self._log_settings_file.write_text(log_configuration(self._log_file))
        self._java = KafkaJava(class_path(self._say), self._log_settings_file, self.data_dir)
        if not self.has_cluster:
            self._make_cluster(self._java, controller_port)
        # Read for what it refuses: a log directory that is not whole.
        _ = self.cluster_id
        self._write_settings(self._log_dir, controller_port)
        self._say(f"starting {KAFKA_VERSION} on {self.data_dir}")
        return self._java.server("kafka.Kafka", str(self._settings_file))

    def _make_cluster(self, java: KafkaJava, controller_port: int) -> None:
        """Format a log directory beside the real one, which it becomes when it is whole."""
        half_made = self._log_dir.with_name("log.half-made")
        shutil.rmtree(half_made, ignore_errors=True)
        self._write_settings(half_made, controller_port)
        # With a "=", because an id may begin with a dash.
        arguments = ["format", f"--cluster-id={self._new_cluster_id}", f"--config={self._settings_file}"]
        arguments += self._security.format_arguments() if self._security else []
        self._say(f"making a new cluster in {self._log_dir}")
        command = java.tool("kafka.tools.StorageTool", *arguments)
        try:
            subprocess.run(command, capture_output=True, text=True, timeout=_FORMAT_SECONDS, check=True)
        except subprocess.SubprocessError as error:
            words = _telling_line(str(getattr(error, "stderr", None) or error))
            raise EmbeddedError(f"Kafka could not make a cluster in {self._log_dir}: {words}") from error
        half_made.rename(self._log_dir)

    def _write_settings(self, log_dir: Path, controller_port: int) -> None:
        text = server_properties(log_dir, self._port, controller_port, self._broker_settings)
        self._settings_file.touch(mode=0o600)  # a password may lie in it
        self._settings_file.write_text(text)

    def _serves(self) -> bool:
        return STARTED in self._said()

    def _gist(self, said: str) -> str:
        return f"{_telling_line(said)}; see {self._log_file}"


def random_cluster_id() -> str:
    """One that no other cluster has."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def _cluster_id(log_dir: Path) -> str:
    properties = log_dir / "meta.properties"
    try:
        lines = properties.read_text().splitlines()
    except FileNotFoundError:
        lines = []
    for line in lines:
        name, _, value = line.partition("=")
        if name == "cluster.id" and value:
            return value
    raise EmbeddedError(
        f"{log_dir} is not a whole Kafka directory: {properties.name} names no cluster; "
        f"remove {log_dir.parent} to begin anew, or use another directory"
    )


def _telling_line(text: str) -> str:
    """The line of Java's output that says what is wrong: the last exception before its stack, else the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("at ")]
    telling = [line for line in lines if "Exception" in line or "rror" in line]
    return (telling or lines or ["it said nothing"])[-1]
