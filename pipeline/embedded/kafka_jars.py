"""Kafka's jars on this machine: nothing in, the class path out; downloaded once per user, then no network is needed.

The jars of one Kafka version lie in one folder, which gets its name only when it is complete, so an interrupted
download is never taken for a whole one. Source: docs/decisions/0004-embedded-parts.md.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.embedded.errors import EmbeddedError

KAFKA_VERSION = "4.2.2"
# The log binding is raw ("!"): managed, its parent's bill of materials would replace kafka-clients by an older one.
_COORDINATES = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.apache.logging.log4j:log4j-slf4j-impl:2.25.5!"
_MANIFEST = "jars.txt"

Say = Callable[[str], None]


def class_path(say: Say) -> list[Path]:
    """The jars of Kafka, downloaded first if this user never had them.

    Raises:
        EmbeddedError: they are not here and cannot be downloaded.
    """
    home = kafka_folder()
    jars = _remembered(home)
    if jars is None:
        with _one_at_a_time(home):
            jars = _remembered(home) or _download(home, say)
    return jars


def kafka_folder() -> Path:
    """Where this user's copy of Kafka lies: under XDG_CACHE_HOME, else ~/.cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "usage-credits" / f"kafka-{KAFKA_VERSION}"


def _remembered(home: Path) -> list[Path] | None:
    try:
        lines = (home / _MANIFEST).read_text().splitlines()
    except FileNotFoundError:
        return None
    sizes = [line.rsplit(" ", 1) for line in lines]
    jars = [(home / name, int(size)) for name, size in sizes]
    return [jar for jar, _ in jars] if all(jar.is_file() and jar.stat().st_size == size for jar, size in jars) else None


def _download(home: Path, say: Say) -> list[Path]:
    say(f"downloading Apache Kafka {KAFKA_VERSION} (once; about 44 MB into {home})")
    workshop = home.with_name(home.name + ".partial")
    shutil.rmtree(workshop, ignore_errors=True)
    shutil.rmtree(home, ignore_errors=True)
    complete = workshop / "complete"
    complete.mkdir(parents=True)
    try:
        for jar in _resolve(workshop, say):
            shutil.copyfile(jar, complete / jar.name)
    except Exception as error:
        raise EmbeddedError(
            f"Apache Kafka {KAFKA_VERSION} could not be downloaded: {error}; it is needed once: try again with a "
            f"network, or copy {home} from a machine that has it"
        ) from error
    jars = sorted(complete.iterdir())
    (complete / _MANIFEST).write_text("".join(f"{jar.name} {jar.stat().st_size}\n" for jar in jars))
    complete.rename(home)
    shutil.rmtree(workshop)
    return [home / jar.name for jar in jars]


def _resolve(workshop: Path, say: Say) -> list[Path]:
    # Imported here: it takes 0.3 s and only the very first start needs it.
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.env import EnvironmentBuilder
    from jgo.maven import MavenContext, PythonResolver

    maven = MavenContext(
        resolver=PythonResolver(progress_callback=_Progress(say)),
        repo_cache=workshop / "repository",
        remote_repos={"central": MAVEN_CENTRAL_URL},
    )
    environment = EnvironmentBuilder(context=maven, cache_dir=workshop).from_endpoint(_COORDINATES)
    jars: list[Path] = environment.all_jars
    return jars


class _Progress:
    """Says every few megabytes how much has come."""

    STEP_BYTES = 10_000_000

    def __init__(self, say: Say) -> None:
        self._say = say
        self._received_bytes = 0
        self._next_bytes = self.STEP_BYTES

    @contextmanager
    def __call__(self, _filename: str, _total_bytes: int) -> Iterator[Callable[[int], None]]:
        yield self._received

    def _received(self, count: int) -> None:
        self._received_bytes += count
        if self._received_bytes >= self._next_bytes:
            self._next_bytes += self.STEP_BYTES
            self._say(f"{self._received_bytes // 1_000_000} MB downloaded")


@contextmanager
def _one_at_a_time(home: Path) -> Iterator[None]:
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_name(home.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
