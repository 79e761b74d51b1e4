"""Servers end with whoever started them, however that ended."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.embedded.cluster import EmbeddedCluster
from pipeline.embedded.errors import EmbeddedError
from pipeline.embedded.process import OwnedProcess
from pipeline.embedded.watchdog import is_held

pytestmark = pytest.mark.faults

STARTER = """
import sys, signal
from pathlib import Path
from pipeline.embedded.cluster import EmbeddedCluster
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
with EmbeddedCluster(Path(sys.argv[1]), "replay"):
    print("up", flush=True)
    signal.pause()
"""


DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_both_servers_end_with_their_starter(server_dir: Path, how: signal.Signals) -> None:
    data_dir = server_dir / f"ended-by-{how.name}"
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(data_dir)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert starter.stdout is not None
    with starter, starter.stdout:
        assert starter.stdout.readline() == "up\n"
        locks = [data_dir / part / "lock" for part in ("kafka", "clickhouse")]
        assert all(is_held(str(lock)) for lock in locks)
        os.kill(starter.pid, how)
        starter.wait()
    while any(is_held(str(lock)) for lock in locks):
        time.sleep(0.05)
    # What they left is whole: the next start takes it over.
    with EmbeddedCluster(data_dir, "replay") as cluster:
        assert cluster.kafka.is_running


def test_a_server_that_does_not_hear_is_killed(tmp_path: Path) -> None:
    deaf = OwnedProcess("Deaf", tmp_path, stop_seconds=0.2)
    deaf.start(lambda: [sys.executable, "-c", DEAF], tmp_path / "out")
    assert deaf.wait_until(lambda: "deaf" in (tmp_path / "out").read_text(), timeout_seconds=60)
    deaf.stop()
    assert deaf.exit_code == -signal.SIGKILL
    assert not is_held(str(tmp_path / "lock"))


def test_a_lock_left_by_a_dead_process_does_not_hold(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text('{"pid": 1, "started_at": "2026-01-01T00:00:00+00:00"}')
    sleeper = OwnedProcess("Sleeper", tmp_path)
    sleeper.start(lambda: ["sleep", "600"], tmp_path / "out")
    with pytest.raises(EmbeddedError, match=f"already running on {tmp_path}: process {sleeper.pid}, started 2"):
        OwnedProcess("Sleeper", tmp_path).start(lambda: ["sleep", "600"], tmp_path / "out")
    sleeper.kill()
    sleeper.start(lambda: ["sleep", "600"], tmp_path / "out")
    assert sleeper.is_running
    sleeper.stop()


def test_a_preparation_that_fails_leaves_the_directory_free(tmp_path: Path) -> None:
    def prepare() -> list[str]:
        raise EmbeddedError("no")

    with pytest.raises(EmbeddedError, match="no"):
        OwnedProcess("Sleeper", tmp_path).start(prepare, tmp_path / "out")
    assert not is_held(str(tmp_path / "lock"))
