"""The identity store (R14): what is added is found until its days have passed; what is packed comes back."""

import pytest

from pipeline.engine.identity import DAY_MICROS, MemoryIdentities, pack, unpack


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def value(number: int) -> bytes:
    return number.to_bytes(12, "big")


def test_what_was_added_is_found_and_nothing_else() -> None:
    store = MemoryIdentities(horizon_days=35)
    store.add({key(1): value(5), key(2): value(6)}, 0)
    assert store.look_up([key(2), key(3), key(1)]) == [value(6), None, value(5)]


def test_the_later_value_of_a_key_holds() -> None:
    store = MemoryIdentities(horizon_days=35)
    store.add({key(1): value(5)}, 0)
    store.add({key(1): value(6)}, 0)
    assert store.look_up([key(1)]) == [value(6)]


def test_an_identity_is_kept_for_the_horizon_and_a_day() -> None:
    store = MemoryIdentities(horizon_days=2)
    store.add({key(1): value(0)}, DAY_MICROS - 1)  # the last instant of day 0: it must last through day 3
    store.add({}, 4 * DAY_MICROS - 1)
    assert store.look_up([key(1)]) == [value(0)]
    store.add({}, 4 * DAY_MICROS)
    assert store.look_up([key(1)]) == [None]


def test_a_renewed_identity_lives_on_from_its_renewal() -> None:
    store = MemoryIdentities(horizon_days=2)
    store.add({key(1): value(0)}, 0)
    store.add({key(1): value(9)}, 3 * DAY_MICROS)
    store.add({}, 5 * DAY_MICROS)
    assert store.look_up([key(1)]) == [value(9)]


def test_the_position_moves_with_what_was_written_to_the_log_and_stays_without() -> None:
    store = MemoryIdentities(horizon_days=2)
    store.add({key(1): value(0)}, 0, position=7)
    store.add({}, 0)
    assert store.position == 7


def test_packed_identities_come_back_with_their_time() -> None:
    identities = {key(number): value(number) for number in range(3)}
    (record,) = pack(identities, 1_700_000_000_000_000)
    assert len(record) == 1 + 8 + 3 * (16 + 12)
    assert unpack(record) == (1_700_000_000_000_000, identities)


def test_many_identities_become_several_records_below_900_kb() -> None:
    identities = {key(number): value(0) for number in range(70_000)}
    records = list(pack(identities, 1))
    assert [len(record) < 900_000 for record in records] == [True] * 3
    assert {k: v for record in records for k, v in unpack(record)[1].items()} == identities


def test_no_identities_make_no_record() -> None:
    assert list(pack({}, 1)) == []


def test_an_identity_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="16 \\+ 12 bytes"):
        list(pack({b"short": bytes(12)}, 1))


def test_records_of_a_newer_program_are_refused() -> None:
    with pytest.raises(ValueError, match="format 2, this program knows 1"):
        unpack(b"\x02" + bytes(8))
