"""Credit status on the wire: keys, what is left out, and that a consumer without pydantic reads the same (R34)."""

import json
from typing import Any

import msgspec
import pytest
from pydantic import ValidationError

from schemas.status import (
    STATUS_RECORDS,
    ClockStatus,
    MemberStatus,
    OrganizationStatus,
    StatusRecord,
    TierStatus,
    read_status,
    status_key,
)
from tests.support.builders import DOLLAR_PICOUSD, NOON, micros
from tests.support.examples import STATUS

SMALLEST: list[StatusRecord] = [
    OrganizationStatus(org_id="acme", org_seq=1, plan="enterprise"),
    TierStatus(org_id="acme", org_seq=1, seat_tier="standard"),
    MemberStatus(org_id="acme", org_seq=1, user_id="ann"),
    ClockStatus(partition=0, as_of_micros=micros(NOON)),
]


KEYS = [b'["org","acme"]', b'["tier","acme","premium"]', b'["member","acme","ann"]', b'["clock",3]']


@pytest.mark.parametrize(("record", "key"), list(zip(STATUS, KEYS, strict=True)))
def test_a_key_is_kind_and_identity(record: StatusRecord, key: bytes) -> None:
    assert record.key() == key == msgspec.json.encode(json.loads(key))


def test_a_key_keeps_quotes_apart() -> None:
    assert json.loads(status_key("member", 'a"b', "c\\")) == ["member", 'a"b', "c\\"]


def test_there_is_an_example_of_every_kind() -> None:
    assert {type(record) for record in STATUS} == set(STATUS_RECORDS.values())


@pytest.mark.parametrize("record", [*STATUS, *SMALLEST], ids=lambda record: record.KIND)
def test_what_was_written_is_read_back(record: StatusRecord) -> None:
    assert read_status(record.key(), record.value()) == record


def test_what_equals_its_default_is_left_out() -> None:
    assert [record.value() for record in SMALLEST] == [
        b'{"org_id":"acme","org_seq":1,"plan":"enterprise"}',
        b'{"org_id":"acme","org_seq":1,"seat_tier":"standard"}',
        b'{"org_id":"acme","org_seq":1,"user_id":"ann"}',
        b'{"partition":0,"as_of":"2026-05-10T12:00:00Z"}',
    ]


def test_a_member_with_everything_on_the_wire() -> None:
    record = MemberStatus(
        org_id="acme",
        org_seq=9,
        user_id="ann",
        credits_enabled=True,
        month="2026-05",
        spend_picousd=2**53 + 1,
        limit_picousd=50 * DOLLAR_PICOUSD,
        limit_version=2,
        raise_picousd=75 * DOLLAR_PICOUSD,
        raise_month="2026-05",
    )
    assert json.loads(record.value()) == {
        "org_id": "acme",
        "org_seq": 9,
        "user_id": "ann",
        "credits_enabled": True,
        "month": "2026-05",
        "spend_picousd": "9007199254740993",  # beyond what a JSON number keeps
        "limit_picousd": "50000000000000",
        "limit_version": 2,
        "raise_picousd": "75000000000000",
        "raise_month": "2026-05",
    }


def struct_of(model: type[StatusRecord]) -> type[msgspec.Struct]:
    """The record as a consumer without pydantic would declare it."""
    return msgspec.defstruct(
        model.__name__,
        [
            (name, str, msgspec.field(name="as_of"))
            if name == "as_of_micros"
            else (name, info.annotation)
            if info.is_required()
            else (name, info.annotation, info.default)
            for name, info in model.model_fields.items()
        ],
        kw_only=True,
    )


@pytest.mark.parametrize("record", [*STATUS, *SMALLEST], ids=lambda record: record.KIND)
def test_a_consumer_without_pydantic_reads_the_same(record: StatusRecord) -> None:
    decoded = msgspec.json.decode(record.value(), type=struct_of(type(record)), strict=False)
    for name in set(type(record).model_fields) - {"as_of_micros"}:
        assert getattr(decoded, name) == getattr(record, name)


WRONG: list[tuple[StatusRecord, dict[str, Any]]] = [
    (SMALLEST[0], {"plan": "free"}),
    (SMALLEST[0], {"status": "dormant"}),
    (SMALLEST[0], {"balance_picousd": "5.5"}),
    (SMALLEST[0], {"month": "2026-13"}),
    (SMALLEST[0], {"user_id": "ann"}),
    (SMALLEST[1], {"basis": "half_tier"}),
    (SMALLEST[1], {"seat_tier": None}),
    (SMALLEST[2], {"raise_month": None}),
    (SMALLEST[2], {"limit_version": -1}),
    (SMALLEST[2], {"credits_enabled": "on"}),
    (SMALLEST[3], {"as_of": "noon"}),
]


@pytest.mark.parametrize(("record", "change"), WRONG)
def test_anything_else_is_no_record(record: StatusRecord, change: dict[str, Any]) -> None:
    wire = json.loads(record.value()) | change
    with pytest.raises(ValidationError):
        read_status(record.key(), json.dumps(wire).encode())


@pytest.mark.parametrize("key", [b'["planet","earth"]', b"[]", b'"org"', b"[5]"])
def test_a_key_of_no_kind_is_said_to_be_none(key: bytes) -> None:
    with pytest.raises(ValueError, match="is no key of credit status"):
        read_status(key, b"{}")
