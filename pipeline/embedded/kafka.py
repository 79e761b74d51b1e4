"""A real Apache Kafka, one node, from Python alone: a data directory in, an address to connect to out.

Source: docs/decisions/0004-embedded-parts.md; README.md beside this file states what holds.
"""

import base64
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from pipeline.embedded.errors import EmbeddedError
from pipeline.embedded.kafka_files import STARTED, log_configuration, server_properties
from pipeline.embedded.kafka_jars import KAFKA_VERSION, class_path
from pipeline.embedded.kafka_java import KafkaJava
from pipeline.embedded.ports import LOOPBACK, choose_port, free_port
from pipeline.embedded.process import OwnedProcess

START_SECONDS = 90.0
FORMAT_SECONDS = 60.0
STOP_SECONDS = 60.0
_ENDED_BY_SIGTERM = 143


class EmbeddedKafka:
    """One KRaft node, broker and controller in one, its data kept on disk."""

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int = 0,
        settings: Mapping[str, str] = MappingProxyType({}),
        on_progress: Callable[[str], None] | None = None,
    ) -> None:
        """Nothing is started yet.

        Args:
            data_dir: made if absent; data, log and settings lie there.
            port: 0 for any free one; the directory keeps its port while it can.
            settings: broker settings; they win over ours.
            on_progress: is told in words what happens.
        """
        self.data_dir = data_dir.absolute()
        self._wanted_port = port
        self._broker_settings = dict(settings)
        self._say = on_progress or (lambda _line: None)
        self._process = OwnedProcess("Kafka", self.data_dir, stop_seconds=STOP_SECONDS)
        self._java: KafkaJava | None = None
        self._port = 0
        self._log_dir = self.data_dir / "log"
        self._log_file = self.data_dir / "kafka.log"
        self._output = self.data_dir / "kafka.out"
        self._port_file = self.data_dir / "port"
        self._settings_file = self.data_dir / "server.properties"
        self._log_settings_file = self.data_dir / "log4j2.json"

    @property
    def bootstrap_servers(self) -> str:
        """`127.0.0.1:PORT`, known after start.

        Raises:
            EmbeddedError: it was not started.
        """
        if not self._port:
            raise EmbeddedError(f"Kafka on {self.data_dir} has no address yet; call start() first")
        return f"{LOOPBACK}:{self._port}"

    @property
    def pid(self) -> int:
        """The process id of the node.

        Raises:
            EmbeddedError: it was not started.
        """
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the node's process is there."""
        return self._process.is_running

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

    def start(self) -> None:
        """Start and wait until it serves.

        Raises:
            EmbeddedError: a process has the directory already, the directory is damaged, a wanted port is taken,
                Kafka cannot be downloaded, or it does not come up.
        """
        begun = time.monotonic()
        self._process.start(self._prepare, self._output)
        if not self._process.wait_until(self._says_it_started, START_SECONDS):
            what_happened = self._why_not()
            self._process.kill()
            raise EmbeddedError(what_happened)
        self._port_file.write_text(f"{self._port}\n")
        self._say(f"kafka: serving at {self.bootstrap_servers} after {time.monotonic() - begun:.1f} s")

    def stop(self) -> None:
        """Stop in order; killed if that takes too long."""
        if self.is_running and self._java is not None and self._java.learns:
            self._say("kafka: stopping; this first time it takes some 10 s, and later starts are twice as fast")
        self._process.stop()
        if self._java is not None and self._process.exit_code == _ENDED_BY_SIGTERM:
            self._java.keep_what_was_learnt()

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
        controller_port = free_port()
        self._log_settings_file.write_text(log_configuration(self._log_file))
        self._java = KafkaJava(class_path(self._say), self._log_settings_file, self.data_dir)
        if not self.has_cluster:
            self._make_cluster(self._java, controller_port)
        _ = self.cluster_id
        self._write_settings(self._log_dir, controller_port)
        self._say(f"kafka: starting {KAFKA_VERSION} on {self.data_dir}")
        return self._java.server("kafka.Kafka", str(self._settings_file))

    def _make_cluster(self, java: KafkaJava, controller_port: int) -> None:
        """Format a log directory beside the real one, which it becomes when it is whole."""
        half_made = self._log_dir.with_name("log.half-made")
        shutil.rmtree(half_made, ignore_errors=True)
        self._write_settings(half_made, controller_port)
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # With a "=", because an id may begin with a dash.
        arguments = ("format", f"--cluster-id={cluster_id}", f"--config={self._settings_file}")
        self._say(f"kafka: making a new cluster in {self._log_dir}")
        command = java.tool("kafka.tools.StorageTool", *arguments)
        try:
            subprocess.run(command, capture_output=True, text=True, timeout=FORMAT_SECONDS, check=True)
        except subprocess.SubprocessError as error:
            words = _gist(str(getattr(error, "stderr", None) or error))
            raise EmbeddedError(f"Kafka could not make a cluster in {self._log_dir}: {words}") from error
        half_made.rename(self._log_dir)

    def _write_settings(self, log_dir: Path, controller_port: int) -> None:
        text = server_properties(log_dir, self._port, controller_port, self._broker_settings)
        self._settings_file.write_text(text)

    def _says_it_started(self) -> bool:
        return STARTED in self._output.read_text(errors="replace")

    def _why_not(self) -> str:
        code = self._process.exit_code
        how = f"did not serve within {START_SECONDS:.0f} s" if code is None else f"ended at once (exit code {code})"
        words = _gist(self._output.read_text(errors="replace"))
        return f"Kafka on {self.data_dir} {how}: {words}; see {self._log_file}"


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


def _gist(text: str) -> str:
    """The line of Java's output that says what is wrong: the last exception before its stack, else the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("at ")]
    telling = [line for line in lines if "Exception" in line or "rror" in line]
    return (telling or lines or ["it said nothing"])[-1]
