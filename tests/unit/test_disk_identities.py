"""The identity store on disk (R14): killed, damaged, full, shared: it says so, or goes on from where it was."""

import errno
import multiprocessing
import os
import random
import shutil
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pipeline.engine.contract import InvariantBroken
from pipeline.engine.disk_identities import DiskIdentities
from pipeline.engine.disk_identities.filter import DayFilter
from pipeline.engine.disk_identities.folder import LIST_NAME, IdentitiesBusy, IdentitiesDamaged, IdentitiesUnwritable
from pipeline.engine.disk_identities.segment import Words
from tests.support.identity_log import (
    add_for_ever,
    check,
    disk_store,
    identities_of,
    micros_of,
    refill,
    remembered_after,
)

# More of it: IDENTITY_KILLS=500, and IDENTITY_SEEDS=100 for test_identity_stores.py.
KILLS = int(os.environ.get("IDENTITY_KILLS", "20"))


def filled(folder: Path, end: int) -> Path:
    """A folder with so many records of the log, most of them in files."""
    store = disk_store(folder)
    refill(store, end)
    while store.is_busy:
        time.sleep(0.01)
    store.close()
    return folder


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.ids"))


def look_everything_up(folder: Path, end: int) -> None:
    store = disk_store(folder)
    try:
        store.look_up(list(remembered_after(end)))
    finally:
        store.close()


# A life cut short.


def test_killed_at_any_moment_it_is_behind_the_log_and_never_wrong(tmp_path: Path) -> None:
    chance = random.Random(1)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([add_for_ever.__module__])
    folder, told = tmp_path / "store", tmp_path / "committed"
    end = 0
    for _ in range(KILLS):
        process = processes.Process(target=add_for_ever, args=(folder, told))
        process.start()
        try:
            while not told.exists() or int.from_bytes(told.read_bytes(), "big") <= end:
                assert process.is_alive()
                time.sleep(0.001)
            time.sleep(chance.random() * 0.2)
        finally:
            process.kill()
            process.join()
        end = int.from_bytes(told.read_bytes(), "big")
        store = disk_store(folder)
        assert store.position <= end
        refill(store, end)
        check(store, end)
        store.close()
    assert end > 10 * KILLS


def test_files_that_the_list_does_not_name_are_left_overs_and_go(tmp_path: Path) -> None:
    filled(tmp_path, 500)
    known = set(os.listdir(tmp_path))
    (tmp_path / "99999999.ids").write_bytes(b"half a file")
    (tmp_path / "list.new").write_bytes(b'{"format"')
    store = disk_store(tmp_path)
    refill(store, 500)
    check(store, 500)
    store.close()
    assert set(os.listdir(tmp_path)) <= known | {f"{number:08d}.ids" for number in range(1_000)}


def test_a_folder_that_is_gone_is_filled_again(tmp_path: Path) -> None:
    shutil.rmtree(filled(tmp_path / "store", 500))
    store = disk_store(tmp_path / "store")
    assert store.position == 0
    refill(store, 500)
    check(store, 500)
    store.close()


def test_a_folder_that_moved_is_as_good_as_before(tmp_path: Path) -> None:
    filled(tmp_path / "here", 500).rename(tmp_path / "there")
    store = disk_store(tmp_path / "there")
    assert 0 < store.position <= 500
    refill(store, 500)
    check(store, 500)
    store.close()


# Damage.


def test_a_segment_cut_off_anywhere_is_refused_by_name(tmp_path: Path) -> None:
    last = segments(filled(tmp_path, 30))[-1]
    for size in range(last.stat().st_size - 1, -1, -1):
        if size % 4_096 > 3_500 or size % 100 == 0:
            os.truncate(last, size)
            with pytest.raises(IdentitiesDamaged, match=f"{last}: .*remove the folder {tmp_path} and start"):
                disk_store(tmp_path)


def test_a_list_cut_off_anywhere_is_refused_by_name(tmp_path: Path) -> None:
    listing = filled(tmp_path, 300) / LIST_NAME
    whole = listing.read_bytes()
    for size in range(len(whole)):
        listing.write_bytes(whole[:size])
        with pytest.raises(IdentitiesDamaged, match=f"{listing}: .*remove the folder {tmp_path} and start"):
            disk_store(tmp_path)


def test_a_missing_segment_is_refused_by_name(tmp_path: Path) -> None:
    segments(filled(tmp_path, 300))[0].unlink()
    with pytest.raises(IdentitiesDamaged, match="No such file"):
        disk_store(tmp_path)


def test_a_flipped_byte_anywhere_is_told_and_never_believed(tmp_path: Path) -> None:
    file = max(segments(filled(tmp_path, 60)), key=lambda path: path.stat().st_size)
    whole = file.read_bytes()
    for at in random.Random(2).sample(range(len(whole)), 15):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        with pytest.raises(IdentitiesDamaged, match=f"{file.name}: .*not what was written"):
            look_everything_up(tmp_path, 60)


def test_damage_halts_a_partition_and_a_full_disk_lets_it_wait() -> None:
    """By the kind of the error: partition.py tells them apart."""
    assert issubclass(IdentitiesDamaged, InvariantBroken)
    assert issubclass(IdentitiesUnwritable, OSError)
    assert issubclass(IdentitiesBusy, OSError)


# A disk that is full.


def test_a_full_disk_is_told_with_the_folder_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path, 500)
    store = disk_store(tmp_path)
    before = store.position

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(IdentitiesUnwritable, match=f"in {tmp_path}: No space left on device. Make room"):
            refill(store, 1_000)
        with pytest.raises(IdentitiesUnwritable):
            store.add({}, 0)
        store.close()
    store = disk_store(tmp_path)
    assert store.position == before
    refill(store, 1_000)
    check(store, 1_000)
    store.close()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(IdentitiesUnwritable, match=f"in {tmp_path}/file/0: Not a directory. Make room"):
        disk_store(tmp_path / "file" / "0")


# One process at a time.


def test_a_folder_in_use_is_refused_until_it_is_closed(tmp_path: Path) -> None:
    first = disk_store(tmp_path)
    with pytest.raises(IdentitiesBusy, match=f"{tmp_path} is in use by another process"):
        disk_store(tmp_path)
    first.close()
    disk_store(tmp_path).close()


# What keeps it small and quick.


def test_a_day_that_is_over_becomes_one_file_and_what_has_passed_is_removed(tmp_path: Path) -> None:
    folder = filled(tmp_path, 2_000)  # 50 days, of which 3 + 1 are kept before the current one
    store = disk_store(folder)
    deadline = time.monotonic() + 10
    while len(segments(folder)) > 4 + 8 and time.monotonic() < deadline:
        time.sleep(0.01)
    store.close()
    assert 5 <= len(segments(folder)) <= 4 + 8
    assert sum(path.stat().st_size for path in segments(folder)) < 5 * 40 * 55 * 50


def test_it_waits_for_the_disk_rather_than_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (time.sleep(0.02), fsync(descriptor)))
    store = disk_store(tmp_path)
    most = 0
    for record in range(300):
        store.add(identities_of(record), micros_of(record), record + 1)
        most = max(most, len(store._parts))
    assert most == 16
    check(store, 300)
    store.close()


async def test_a_refill_waits_without_holding_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (time.sleep(0.02), fsync(descriptor)))
    store = disk_store(tmp_path)
    for record in range(200):
        store.add(identities_of(record), micros_of(record), record + 1)
        await store.catch_up()
        assert len(store._parts) <= 4
    store.close()


def words_of(words: Words, begin: int, end: int) -> Words:
    return words[begin:end]


def test_the_filter_never_says_no_wrongly_and_seldom_yes() -> None:
    numbers = np.random.default_rng(1)
    days = {day: numbers.integers(0, 2**64 - 1, (5_000, 2), np.uint64, endpoint=True) for day in range(100, 138)}
    small = DayFilter(39, DayFilter.words_for(5_000))
    for day, halves in days.items():
        small.add(day, halves[:3_000])
        small.add(day, halves[3_000:])
    loaded = DayFilter(39, 4 * small.words)
    loaded.load({day: (small.words, partial(words_of, small.of_day(day))) for day in days})
    others = numbers.integers(0, 2**64 - 1, (5_000, 2), np.uint64, endpoint=True).tobytes()
    for one in (small, small.grown(39, 8 * small.words), small.grown(50, small.words), loaded):
        for day, halves in days.items():
            found = {number for there, number in one.candidates(halves.tobytes()) if there == day}
            assert len(found) == len(halves)
        assert len(one.candidates(others)) < 0.02 * 5_000


def test_a_filter_takes_a_new_day_for_the_oldest() -> None:
    one, other = np.array([[1, 2]], np.uint64), np.array([[3, 4]], np.uint64)
    days = DayFilter(3, DayFilter.words_for(0))
    days.add(7, one)
    days.add(10, other)
    assert days.candidates(one.tobytes() + other.tobytes()) == [(10, 1)]


def test_a_filter_has_columns_for_the_days_there_are() -> None:
    keys = {day: np.array([[day, 2 * day]], np.uint64) for day in (1, 35, 36, 37, 38)}
    days = DayFilter(32, DayFilter.words_for(0))
    for day, key in keys.items():
        if day != 38:
            days.add(day, key)
    days = days.grown(37, 2 * days.words)
    days.add(38, keys[38])  # takes the column that 1 would have had
    for day, key in keys.items():
        assert days.candidates(key.tobytes()) == ([] if day == 1 else [(day, 0)])
    assert [DayFilter.columns_for(span, 37) for span in (1, 2, 3, 5, 33, 37)] == [1, 2, 4, 8, 37, 37]


def test_it_seals_after_fifty_thousand(tmp_path: Path) -> None:
    store = DiskIdentities(tmp_path, 35)
    keys = np.random.default_rng(1).bytes(16 * 50_001)
    store.add({keys[at : at + 16]: bytes(12) for at in range(0, len(keys), 16)}, 0, 9)
    store.close()
    assert len(segments(tmp_path)) == 1
    assert DiskIdentities(tmp_path, 35).position == 9
