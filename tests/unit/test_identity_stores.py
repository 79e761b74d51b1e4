"""Both identity stores (R14), held to the same sentences, and to an oracle that keeps everything."""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.engine.disk_identities import DiskIdentities
from pipeline.engine.identity import DAY_MICROS, IdentityStore, MemoryIdentities
from tests.support.identity_log import check, refill

SEEDS = int(os.environ.get("IDENTITY_SEEDS", "3"))

Open = Callable[..., IdentityStore]
"""Opens the store, again if it was open: what it had not kept is then to be added again from its position."""


@pytest.fixture(params=["memory", "disk"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    opened: list[IdentityStore] = []

    def open_one(horizon_days: int = 35, seal_identities: int = 4) -> IdentityStore:
        while opened:
            opened.pop().close()
        if request.param == "memory":
            opened.append(MemoryIdentities(horizon_days))
        else:
            opened.append(DiskIdentities(tmp_path, horizon_days, seal_identities=seal_identities))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def value(number: int) -> bytes:
    return number.to_bytes(12, "big")


def test_what_was_added_is_found_and_nothing_else(open_store: Open) -> None:
    store = open_store()
    store.add({key(1): value(5), key(2): value(6)}, 0)
    assert store.look_up([key(2), key(3), key(1)]) == [value(6), None, value(5)]


def test_nothing_is_asked_and_nothing_answered(open_store: Open) -> None:
    assert open_store().look_up([]) == []


def test_what_is_no_key_is_not_known(open_store: Open) -> None:
    store = open_store()
    store.add({key(number): value(number) for number in range(10)}, 0)
    assert store.look_up([b"", key(0), b"short", key(9)]) == [None, value(0), None, value(9)]


def test_the_later_value_of_a_key_holds(open_store: Open) -> None:
    store = open_store()
    for number in range(100):  # through parts, segments and merged ones
        store.add({key(1): value(number), key(100 + number): value(0)}, number // 30 * DAY_MICROS)
        assert store.look_up([key(1)]) == [value(number)]


def test_an_identity_is_kept_for_the_horizon_and_a_day(open_store: Open) -> None:
    store = open_store(horizon_days=2)
    store.add({key(1): value(0)}, DAY_MICROS - 1)  # the last instant of day 0: it must last through day 3
    store.add({}, 4 * DAY_MICROS - 1)
    assert store.look_up([key(1)]) == [value(0)]
    store.add({}, 4 * DAY_MICROS)
    assert store.look_up([key(1)]) == [None]


def test_a_renewed_identity_lives_on_from_its_renewal(open_store: Open) -> None:
    store = open_store(horizon_days=2)
    store.add({key(1): value(0)}, 0)
    store.add({key(1): value(9)}, 3 * DAY_MICROS)
    store.add({}, 5 * DAY_MICROS)
    assert store.look_up([key(1)]) == [value(9)]


def test_a_day_that_is_over_does_not_come_back(open_store: Open) -> None:
    store = open_store(horizon_days=2)
    store.add({key(1): value(1)}, 3 * DAY_MICROS)
    store.add({key(2): value(2)}, 0)  # a broker's clock that was set back: it counts as of day 3
    store.add({}, 6 * DAY_MICROS)
    assert store.look_up([key(1), key(2)]) == [value(1), value(2)]
    store.add({}, 7 * DAY_MICROS)
    assert store.look_up([key(1), key(2)]) == [None, None]


def test_a_store_that_slept_for_years_has_forgotten(open_store: Open) -> None:
    store = open_store(horizon_days=2)
    for day in (0, 1, 2, 1_000, 1_001):
        store.add({key(day): value(day)}, day * DAY_MICROS)
    assert store.look_up([key(day) for day in (0, 1, 2, 1_000, 1_001)]) == [
        None,
        None,
        None,
        value(1_000),
        value(1_001),
    ]


def test_the_position_moves_with_what_was_written_to_the_log_and_stays_without(open_store: Open) -> None:
    store = open_store(horizon_days=2)
    store.add({key(1): value(0)}, 5, position=7)
    store.add({}, 9)
    assert (store.position, store.position_micros) == (7, 5)


def test_a_store_that_begins_anew_knows_nothing_and_learns_again(open_store: Open) -> None:
    store = open_store()
    for number in range(50):
        store.add({key(number): value(0)}, 10 * DAY_MICROS, number + 1)
    store.begin_anew()
    assert (store.position, store.look_up([key(3)])) == (0, [None])
    store.add({key(3): value(1)}, DAY_MICROS, 1)
    assert (store.position, store.look_up([key(3), key(4)])) == (1, [value(1), None])


def test_keys_whose_first_halves_are_the_same_are_not_mistaken_for_each_other(open_store: Open) -> None:
    """More than a page of a file holds, so they begin on one page and end on another."""
    store = open_store(seal_identities=300)
    keys = [_halves(first, second) for first in range(3) for second in range(700)]
    right: dict[bytes, bytes] = {}
    for number, one in enumerate(keys):
        added = {one: value(number), keys[number // 2]: value(number)}
        store.add(added, 0)
        right |= added
    assert list(store.look_up(keys)) == [right[one] for one in keys]
    assert set(store.look_up([_halves(first, second) for first in range(4) for second in (700, 2**63)])) == {None}


def test_the_end_of_one_key_and_the_beginning_of_the_next_are_no_key(open_store: Open) -> None:
    store = open_store()
    store.add({_halves(1, 5): value(1), _halves(2, 9): value(2), _halves(8, 9): value(3), _halves(9, 9): value(4)}, 0)
    store.add({_halves(7, 7): value(5)}, DAY_MICROS)
    assert store.look_up([_halves(5, 2), _halves(2, 9), _halves(0, 0)]) == [None, value(2), None]


def _halves(first: int, second: int) -> bytes:
    return first.to_bytes(8, "little") + second.to_bytes(8, "little")


def test_it_is_filled_from_its_position_however_often_it_is_opened(open_store: Open) -> None:
    for end in (1, 2, 90, 150, 151, 400):
        store = open_store(horizon_days=3, seal_identities=500)
        refill(store, end)
        check(store, end)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_million_identities_against_an_oracle(open_store: Open, seed: int) -> None:
    """New ones, repeats of recent and of old ones, rewritten values, days that pass, sometimes many at once."""
    chance = random.Random(seed)
    store = open_store(horizon_days=5, seal_identities=20_000)
    day_of: dict[bytes, int] = {}
    values: dict[bytes, bytes] = {}
    made: list[bytes] = []
    day = 0
    while len(made) < 350_000:
        size = chance.choice((50, 500, 5_000))
        if chance.random() < size / 40_000:
            day += chance.choice((1, 1, 1, 2, 9))
            store.add({}, day * DAY_MICROS)
        fresh = chance.randbytes(28 * size)
        added = {fresh[at : at + 16]: fresh[at + 16 : at + 28] for at in range(0, len(fresh), 28)}
        asked = [*added, *made[-size:][: size // 40], *chance.choices(made or [key(0)], k=size // 40)]
        right = [values[k] if k in values and day_of[k] >= day - 6 else None for k in asked]
        assert list(store.look_up(asked)) == right
        added |= {k: bytes(12) for k in asked[-size // 200 :]}
        store.add(added, day * DAY_MICROS + 5)
        made += added
        values |= added
        day_of |= dict.fromkeys(added, day)
    some = made[::7]
    assert list(store.look_up(some)) == [values[k] if day_of[k] >= day - 6 else None for k in some]
