"""The compiled forms of credit-status are what the models say, field by field (schemas/status_copy.py)."""

from typing import Any

import pytest

from schemas.status import LimitedStatus, MemberStatus, OrganizationStatus, TierStatus
from schemas.status_copy import LimitedRecord, MemberRecord, OrganizationRecord, StatusCopy, TierRecord
from tests.support import examples

FORMS: dict[type[LimitedStatus], type[LimitedRecord]] = {
    OrganizationStatus: OrganizationRecord,
    TierStatus: TierRecord,
    MemberStatus: MemberRecord,
}
TOLD = [status for status in examples.STATUS if isinstance(status, LimitedStatus)]


def copied(status: LimitedStatus) -> Any:
    copy = StatusCopy()
    copy.take(3, status.key(), status.value())
    if isinstance(status, MemberStatus):
        return copy.member(status.org_id, status.user_id)
    if isinstance(status, TierStatus):
        return copy.tier(status.org_id, status.seat_tier)
    return copy.organization(status.org_id)


def test_there_is_an_example_of_each() -> None:
    assert {type(status) for status in TOLD} == set(FORMS)


@pytest.mark.parametrize("status", TOLD, ids=lambda status: type(status).__name__)
def test_a_copy_holds_what_was_told(status: LimitedStatus) -> None:
    record = copied(status)
    assert type(record) is FORMS[type(status)]
    assert {name: getattr(record, name) for name in record.__struct_fields__} == {
        name: getattr(status, name) for name in type(status).model_fields
    }


@pytest.mark.parametrize("model", FORMS, ids=lambda model: model.__name__)
def test_fields_left_out_have_the_same_defaults(model: type[LimitedStatus]) -> None:
    needed = {name: getattr(told, name) for told in TOLD if type(told) is model for name in told.IDENTITY}
    least = model(**needed, org_seq=1, **({"plan": "team"} if model is OrganizationStatus else {}))
    record = copied(least)
    assert {name: getattr(record, name) for name in record.__struct_fields__} == {
        name: getattr(least, name) for name in model.model_fields
    }
