"""A secret of this machine: made once, whoever asks first and however many ask at once."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from pipeline.gate.local_secrets import local_secret

AT_ONCE = 8


def test_it_stays_the_same_and_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "gate" / "secret"
    made = local_secret(path)
    assert len(made) >= 64
    assert local_secret(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_whoever_asks_at_the_same_moment_gets_the_same_one_and_never_half_of_it(tmp_path: Path) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for number in range(50):
            path, together = tmp_path / f"{number}", Barrier(AT_ONCE)

            def ask(_: int, path: Path = path, together: Barrier = together) -> str:
                together.wait()
                return local_secret(path)

            found = set(pool.map(ask, range(AT_ONCE)))
            assert len(found) == 1
            assert found != {""}
