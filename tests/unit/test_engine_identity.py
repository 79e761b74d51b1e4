"""Identities as they travel (R14): what is packed comes back. The stores have a file of their own."""

import pytest

from pipeline.engine.identity import pack, unpack


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def value(number: int) -> bytes:
    return number.to_bytes(12, "big")


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
