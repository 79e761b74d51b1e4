"""Commands that nothing speaks against: what they change comes about, what follows from it is published."""

from collections.abc import Callable

from tests.support.auditor.basics import Wire, micros, month_of, picousd, purchase_id, request_id
from tests.support.auditor.invoicing import credit_invoice, finalize_all, pay_invoice
from tests.support.auditor.limits import bindings, mark, reconcile
from tests.support.auditor.outputs import Applied, PurchaseRequested
from tests.support.auditor.refusing import usd_or_none
from tests.support.auditor.state import SEAT_TIERS, AutoReload, Limit, Member, Organization, Request
from tests.support.auditor.wallet import credit, debit, end_pause, fail, give_back, look, purchased, set_notice


def register(now: int, command: Wire, *, suppress_zero_invoices: bool) -> Organization:
    """A Team organisation begins with a balance of 0, hence paused (R3)."""
    owner = Member("primary_owner", command.get("seat_tier", "standard"))
    members = {command["primary_owner"]: owner}
    org = Organization(command["org_id"], command["plan"], members, now, suppress_zero_invoices)
    org.published.append(Applied(command["command_id"]))
    look(org, now)
    return org


def apply(org: Organization, now: int, command: Wire) -> None:
    kind = command["command"]
    before = bindings(org, now)
    org.published.append(Applied(command["command_id"]))
    APPLY[kind](org, now, command)
    # The scopes of someone removed bind nobody; they are looked at again if they come back (R31).
    if kind != "remove_member":
        reconcile(org, now, before, _cause(command), in_slices=kind in ("set_tier_limit", "change_plan"))


def _cause(command: Wire) -> str:
    """What a breach or resume that follows from it names."""
    kind = command["command"]
    if kind == "change_plan":
        return "plan_changed"
    gives_seat = kind == "approve_request" and command.get("seat_tier") is not None
    return "seat_changed" if gives_seat or kind in ("add_member", "assign_seat") else "limit_changed"


# Billing.


def _set_status(status: str) -> Callable[[Organization, int, Wire], None]:
    def apply_status(org: Organization, now: int, command: Wire) -> None:
        org.status = status

    return apply_status


def _close(org: Organization, now: int, command: Wire) -> None:
    finalize_all(org, now, "organization_closed")
    org.status = "closed"
    org.close_requests()
    for lot in org.lots:
        if lot.payment_id is not None and lot.rest:
            give_back(org, now, lot, lot.rest, _by(command))


def _change_plan(org: Organization, now: int, command: Wire) -> None:
    finalize_all(org, now, "plan_changed")  # on Team none is open
    org.plan = command["plan"]
    if org.plan == "team":
        org.close_requests()
        set_notice(org, org.notice)
        look(org, now)
    else:
        org.auto.enabled = org.auto.suspended = False
        end_pause(org)


def _confirm_payment(org: Organization, now: int, command: Wire) -> None:
    amount, payment_id, number = picousd(command["amount_usd"]), command["payment_id"], command.get("invoice_number")
    if number is None:
        purchased(org, now, amount, payment_id, _by(command))
    else:
        pay_invoice(org, now, number, amount, payment_id, _by(command))


def _reload_paid(org: Organization, now: int, command: Wire) -> None:
    amount = picousd(command["amount_usd"])
    for one in org.reloads:
        if one.reload_id == command["reload_id"]:
            one.status, one.amount = "paid", amount
    cause = ("reload", command["reload_id"])
    purchased(org, now, amount, command["payment_id"], cause)


def _reload_failed(org: Organization, now: int, command: Wire) -> None:
    for one in org.reloads:
        if one.reload_id == command["reload_id"]:
            fail(org, one, "failed")
    look(org, now)


def _refund(org: Organization, now: int, command: Wire) -> None:
    org.payment_ids.add(command["payment_id"])
    for lot in org.lots:
        if lot.payment_id == command["purchase_payment_id"]:
            give_back(org, now, lot, picousd(command["amount_usd"]), _by(command))
    look(org, now)


def _grant(org: Organization, now: int, command: Wire) -> None:
    expires = command.get("expires_at")
    expires_at = None if expires is None else micros(expires)
    amount = picousd(command["amount_usd"])
    credit(org, now, "grant", amount, _by(command), promotional=True, expires_at=expires_at)
    look(org, now)


def _adjust(org: Organization, now: int, command: Wire) -> None:
    amount = picousd(command["amount_usd"])
    if command["direction"] == "credit":
        credit(org, now, "adjust", amount, _by(command))
    else:
        debit(org, now, "adjust", amount, _by(command))
    look(org, now)


def _issue_credit_note(org: Organization, now: int, command: Wire) -> None:
    credit_invoice(org, now, command["invoice_number"], picousd(command["amount_usd"]), command["note"], _by(command))


def _by(command: Wire) -> tuple[str, str]:
    return ("command", command["command_id"])


# Owners.


def _set_credits(org: Organization, now: int, command: Wire) -> None:
    org.credits_on = command["enabled"]


def _set_member_default(org: Organization, now: int, command: Wire) -> None:
    org.member_default = command["enabled"]


def _set_member_credits(org: Organization, now: int, command: Wire) -> None:
    org.members[command["user_id"]].credits_on = command["enabled"]


def _set_limit(limit: Limit, now: int, command: Wire) -> bool:
    amount, month = usd_or_none(command["limit_usd"]), month_of(now)
    if command.get("this_month_only"):
        limit.raise_for(month, amount)
        return True
    return limit.set(amount, month, command.get("basis", "each_member"))


def _set_organization_limit(org: Organization, now: int, command: Wire) -> None:
    _set_limit(org.limit, now, command)


def _set_tier_limit(org: Organization, now: int, command: Wire) -> None:
    _set_limit(org.tiers[command["seat_tier"]], now, command)


def _set_user_limit(org: Organization, now: int, command: Wire) -> None:
    if _set_limit(org.members[command["user_id"]].limit, now, command):
        org.close_requests(command["user_id"])


def _set_thresholds(org: Organization, now: int, command: Wire) -> None:
    org.percents = tuple(command["percents"])
    mark(org, bindings(org, now))


def _set_balance_notice(org: Organization, now: int, command: Wire) -> None:
    set_notice(org, usd_or_none(command["threshold_usd"]))
    look(org, now)


def _buy_credits(org: Organization, now: int, command: Wire) -> None:
    bought = purchase_id(org.org_id, command["command_id"])
    org.published.append(PurchaseRequested(bought, picousd(command["amount_usd"]), command["actor"]["id"]))


def _set_auto_reload(org: Organization, now: int, command: Wire) -> None:
    if not command["enabled"]:
        org.auto.enabled = org.auto.suspended = False
        return
    maximum = usd_or_none(command.get("monthly_maximum_usd"))
    threshold, amount = picousd(command["threshold_usd"]), picousd(command["amount_usd"])
    org.auto = AutoReload(True, False, threshold, amount, maximum)
    look(org, now)


def _set_requests_enabled(org: Organization, now: int, command: Wire) -> None:
    org.requests_on = command["enabled"]


def _set_role(org: Organization, now: int, command: Wire) -> None:
    org.members[command["user_id"]].role = command["role"]


def _hand_over(org: Organization, now: int, command: Wire) -> None:
    org.members[command["actor"]["id"]].role = "owner"
    org.members[command["user_id"]].role = "primary_owner"


# Admins and members.


def _add_member(org: Organization, now: int, command: Wire) -> None:
    """Who comes back has the seat and role of the command, no own limit and no own switch (R31)."""
    member = Member(command.get("role", "member"), command.get("seat_tier", "standard"))
    if command["user_id"] in org.members:
        member.limit = org.members[command["user_id"]].limit
        member.limit.set(None, month_of(now))
    org.members[command["user_id"]] = member


def _remove_member(org: Organization, now: int, command: Wire) -> None:
    org.members[command["user_id"]].removed = True
    org.close_requests(command["user_id"])


def _assign_seat(org: Organization, now: int, command: Wire) -> None:
    member = org.members[command["user_id"]]
    if member.seat_tier != command["seat_tier"]:
        assert command["seat_tier"] in SEAT_TIERS
        member.seat_tier = command["seat_tier"]
        org.close_requests(command["user_id"])


def _request_credits(org: Organization, now: int, command: Wire) -> None:
    """Asking again returns the first one."""
    user_id = command["actor"]["id"]
    if not any(request.user_id == user_id for request in org.pending()):
        org.requests.append(Request(request_id(org.org_id, command["command_id"]), user_id, command["kind"], now))


def _approve(org: Organization, now: int, command: Wire) -> None:
    request = org.request(command["request_id"])
    assert request is not None
    request.status = "approved"
    member = org.members[request.user_id]
    member.credits_on = True
    if command.get("seat_tier") is not None:
        member.seat_tier = command["seat_tier"]
    else:
        member.limit.set(picousd(command["limit_usd"]), month_of(now))


def _deny(org: Organization, now: int, command: Wire) -> None:
    request = org.request(command["request_id"])
    assert request is not None
    request.status = "denied"


def _set_contact(org: Organization, now: int, command: Wire) -> None:
    """What it says lies elsewhere (R37a)."""


APPLY: dict[str, Callable[[Organization, int, Wire], None]] = {
    "suspend_organization": _set_status("suspended"),
    "reinstate_organization": _set_status("active"),
    "close_organization": _close,
    "change_plan": _change_plan,
    "confirm_payment": _confirm_payment,
    "report_reload_paid": _reload_paid,
    "report_reload_failed": _reload_failed,
    "refund_purchase": _refund,
    "grant_credits": _grant,
    "adjust": _adjust,
    "issue_credit_note": _issue_credit_note,
    "set_credits": _set_credits,
    "set_member_default": _set_member_default,
    "set_member_credits": _set_member_credits,
    "set_organization_limit": _set_organization_limit,
    "set_tier_limit": _set_tier_limit,
    "set_user_limit": _set_user_limit,
    "set_thresholds": _set_thresholds,
    "set_balance_notice": _set_balance_notice,
    "buy_credits": _buy_credits,
    "set_auto_reload": _set_auto_reload,
    "set_requests_enabled": _set_requests_enabled,
    "set_role": _set_role,
    "hand_over_ownership": _hand_over,
    "add_member": _add_member,
    "remove_member": _remove_member,
    "assign_seat": _assign_seat,
    "request_credits": _request_credits,
    "approve_request": _approve,
    "deny_request": _deny,
    "set_contact": _set_contact,
}
