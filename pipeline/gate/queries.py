"""Who asks and about what come in; what holds now, from the copy, and what was, from ClickHouse, go out.

Everybody sees themselves, admins all members, owners and billing the money (docs/rules.md, "Who may do what").
"""

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from pipeline.gate.access import may_read, may_read_member
from pipeline.gate.admission import OrgId, UserId, in_cents
from pipeline.gate.member_pages import Sort, page_of
from pipeline.gate.parts import Caller, Gate, Parts
from pipeline.gate.problems import Problem, documented, least
from pipeline.gate.standing import LimitAnswer, Standing, held_limits, spend_of, standing
from pipeline.gate.turns import in_turns
from schemas.admission import Limited
from schemas.base import Model
from schemas.instants import format_instant
from schemas.money import usd_from_picousd
from schemas.month import Month
from schemas.status_copy import MemberRecord, OrganizationRecord

router = APIRouter(tags=["queries"])

_MONEY = documented(401, 403, 404, 422, 429, 503)
_AT_ONCE = 50

Most = Annotated[int, Query(ge=1, le=1_000, description="how many at most")]
Before = Annotated[
    int | None, Query(ge=1, le=2**62, description="only those with a smaller org_seq: the last one of the page before")
]


class Money(Model):
    """Spend of the running month, and the limit on it."""

    month: str
    spend_usd: str = Field(description="exactly", examples=["12.345"])
    limit_usd: str | None = Field(description="null: unlimited", examples=["100.00", None])
    is_raised: bool = Field(description="whether raised_usd stands in for limit_usd, this month alone")
    raised_usd: str | None = Field(description="where it does, null is unlimited; else null", examples=["150.00", None])


class OrganizationAnswer(Money):
    """An organisation as it is now."""

    org_id: str
    plan: str
    status: str
    credits_enabled: bool
    member_default: bool
    requests_enabled: bool
    balance_usd: str | None = Field(description="on Team, rounded down to cents")
    org_seq: int
    as_of: str | None


class MemberAnswer(Money, Standing):
    """A member as they are now."""

    org_id: str
    user_id: str
    display_name: str | None = Field(description="where one is known")
    role: str
    seat_tier: str
    removed: bool
    credits_enabled: bool | None
    request_id: str | None = Field(description="of the request that is pending, if one is")
    request_kind: str | None
    asked_at: str | None


class MembersAnswer(Model):
    """A page of members."""

    members: list[MemberAnswer]
    total: int = Field(description="of all pages")
    next_offset: int | None


class LimitsAnswer(Model):
    """Every limit that a member is held to, and which binds."""

    org_id: str
    user_id: str
    month: str
    limits: list[LimitAnswer]


class Page(Model):
    """Rows of the past, the latest first."""

    rows: list[dict[str, Any]]


@router.get(
    "/v1/organizations/{org_id}", responses=_MONEY, operation_id="getOrganization", openapi_extra=least("member")
)
async def organization(org_id: OrgId, caller: Caller, gate: Parts) -> OrganizationAnswer:
    """The organisation as it is now; for its members, billing and products."""
    scope: Any = "billing:write" if "billing:write" in caller.scopes else "admission:read"
    may_read(gate, caller, org_id, least="member", scope=scope)
    found = gate.copy.organization(org_id)
    if found is None:
        raise Problem(404, "unknown_organization", f"organization {org_id} is not registered")
    return organization_answer(gate, found)


@router.get(
    "/v1/organizations/{org_id}/members", responses=_MONEY, operation_id="listMembers", openapi_extra=least("admin")
)
async def members(
    org_id: OrgId,
    caller: Caller,
    gate: Parts,
    search: Annotated[str, Query(max_length=128, description="part of a user id or a name")] = "",
    sort: Sort = "-spend",
    removed: Annotated[Literal["true", "false"], Query(description="those removed, too")] = "false",
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    limit: Most = 100,
) -> MembersAnswer:
    """Members with what they spent this month; for admins and above."""
    may_read(gate, caller, org_id, least="admin", scope="billing:write")
    month = month_of(gate)
    # In a thread: to sort a hundred thousand takes longer than admission may wait.
    total, page = await asyncio.to_thread(
        page_of,
        gate.copy.members(org_id),
        lambda user_id: gate.contacts.copy.display_name(org_id, user_id),
        month,
        search.lower(),
        sort,
        removed == "true",
        offset,
        limit,
    )
    end = offset + len(page)
    shown = [member_answer(gate, member) async for member in in_turns(page, _AT_ONCE)]
    return MembersAnswer(members=shown, total=total, next_offset=end if end < total else None)


@router.get(
    "/v1/organizations/{org_id}/members/{user_id}",
    responses=_MONEY,
    operation_id="getMember",
    openapi_extra=least("admin"),
)
async def member(org_id: OrgId, user_id: UserId, caller: Caller, gate: Parts) -> MemberAnswer:
    """One member; for themselves, admins and above."""
    return member_answer(gate, _known(gate, caller, org_id, user_id))


@router.get(
    "/v1/organizations/{org_id}/members/{user_id}/limits",
    responses=_MONEY,
    operation_id="listLimits",
    openapi_extra=least("admin"),
)
async def limits(org_id: OrgId, user_id: UserId, caller: Caller, gate: Parts) -> LimitsAnswer:
    """Which limits hold for a member, and which binds; for themselves, admins and above."""
    found = _known(gate, caller, org_id, user_id)
    month = month_of(gate)
    shown = held_limits(gate.copy, found, month)
    return LimitsAnswer(org_id=org_id, user_id=user_id, month=month, limits=shown)


_BREACH = (
    "at",
    "org_seq",
    "scope_kind",
    "seat_tier",
    "user_id",
    "month",
    "limit_usd",
    "spend_usd",
    "overshoot_usd",
    "cause",
    "paused_until",
    "resumed_at",
)
_ENTRY = ("at", "org_seq", "id", "type", "account", "amount_usd", "charge_month")
_INVOICE = ("month", "part", "state", "number", "total_usd", "org_seq")
_AUDIT = ("at", "org_seq", "type", "command", "command_id", "actor_kind", "actor_id", "reason", "event")


@router.get(
    "/v1/organizations/{org_id}/breaches", responses=_MONEY, operation_id="listBreaches", openapi_extra=least("admin")
)
async def breaches(org_id: OrgId, caller: Caller, gate: Parts, before: Before = None, limit: Most = 100) -> Page:
    """Limits that were reached, the latest first; for admins and above."""
    may_read(gate, caller, org_id, least="admin", scope="billing:write")
    return await _past(gate, "breaches", _BREACH, org_id, before, limit)


@router.get(
    "/v1/organizations/{org_id}/ledger", responses=_MONEY, operation_id="listLedger", openapi_extra=least("owner")
)
async def ledger(org_id: OrgId, caller: Caller, gate: Parts, before: Before = None, limit: Most = 100) -> Page:
    """Entries of the ledger, the latest first; for owners and billing."""
    may_read(gate, caller, org_id, least="owner", scope="billing:write")
    return await _past(gate, "ledger_entries", _ENTRY, org_id, before, limit)


@router.get(
    "/v1/organizations/{org_id}/invoices", responses=_MONEY, operation_id="listInvoices", openapi_extra=least("owner")
)
async def invoices(org_id: OrgId, caller: Caller, gate: Parts, before: Before = None, limit: Most = 100) -> Page:
    """Drafts and invoices, the latest first; for owners and billing."""
    may_read(gate, caller, org_id, least="owner", scope="billing:write")
    return await _past(gate, "invoices", _INVOICE, org_id, before, limit)


@router.get(
    "/v1/organizations/{org_id}/audit-log", responses=_MONEY, operation_id="listAuditLog", openapi_extra=least("owner")
)
async def audit_log(org_id: OrgId, caller: Caller, gate: Parts, before: Before = None, limit: Most = 100) -> Page:
    """Who gave which command, and what became of it, the latest first; for owners and billing."""
    may_read(gate, caller, org_id, least="owner", scope="billing:write")
    return await _past(gate, "account_events", _AUDIT, org_id, before, limit)


@router.get(
    "/v1/organizations/{org_id}/credit-requests",
    responses=_MONEY,
    operation_id="listCreditRequests",
    openapi_extra=least("admin"),
)
async def credit_requests(org_id: OrgId, caller: Caller, gate: Parts, before: Before = None, limit: Most = 100) -> Page:
    """What was asked for and what became of it, as the audit log has it; for admins and above."""
    may_read(gate, caller, org_id, least="admin")
    where = "command IN ('request_credits', 'approve_request', 'deny_request') AND type LIKE '%.applied'"
    return await _past(gate, "account_events", _AUDIT, org_id, before, limit, where)


async def _past(
    gate: Gate, table: str, names: tuple[str, ...], org_id: str, before: int | None, limit: int, where: str = "1"
) -> Page:
    """A page of a table; its name, its columns and the condition are ours, all else is bound."""
    query = (
        f"SELECT {', '.join(names)} FROM {table} WHERE org_id = {{org:String}} AND org_seq < {{before:UInt64}} "
        f"AND {where} ORDER BY org_seq DESC LIMIT {{most:UInt32}}"
    )
    rows = await gate.history.rows(query, names, org=org_id, before=before or 2**63, most=limit)
    return Page(rows=rows)


def _known(gate: Gate, caller: Caller, org_id: str, user_id: str) -> MemberRecord:
    may_read_member(gate, caller, org_id, user_id, scope="billing:write")
    found = gate.copy.member(org_id, user_id)
    if found is None:
        raise Problem(404, "unknown_member", f"{user_id} was never a member of {org_id}")
    return found


def month_of(gate: Gate) -> str:
    """The month that runs."""
    return str(Month.containing(gate.now_micros()))


def money_of(record: Limited, month: str) -> dict[str, Any]:
    """The fields of Money."""
    is_raised = record.raise_month >= month
    raised = record.raise_picousd if is_raised else None
    return {
        "month": month,
        "spend_usd": usd_from_picousd(spend_of(record, month)),
        "limit_usd": None if record.limit_picousd is None else usd_from_picousd(record.limit_picousd),
        "is_raised": is_raised,
        "raised_usd": None if raised is None else usd_from_picousd(raised),
    }


def organization_answer(gate: Gate, found: OrganizationRecord) -> OrganizationAnswer:
    """An organisation as it is now."""
    as_of_micros = gate.copy.clocks.get(gate.copy.partition(found.org_id) or 0)
    return OrganizationAnswer(
        **money_of(found, month_of(gate)),
        org_id=found.org_id,
        plan=found.plan,
        status=found.status,
        credits_enabled=found.credits_enabled,
        member_default=found.member_default,
        requests_enabled=found.requests_enabled,
        balance_usd=in_cents(found.balance_picousd) if found.plan == "team" else None,
        org_seq=found.org_seq,
        as_of=None if as_of_micros is None else format_instant(as_of_micros),
    )


def member_answer(gate: Gate, record: MemberRecord) -> MemberAnswer:
    """A member as they are now."""
    return MemberAnswer(
        **money_of(record, month_of(gate)),
        **standing(gate.copy, record, gate.now_micros()),
        org_id=record.org_id,
        user_id=record.user_id,
        display_name=gate.contacts.copy.display_name(record.org_id, record.user_id),
        role=record.role,
        seat_tier=record.seat_tier,
        removed=record.removed,
        credits_enabled=record.credits_enabled,
        request_id=record.request_id or None,
        request_kind=record.request_kind,
        asked_at=record.asked_at or None,
    )
