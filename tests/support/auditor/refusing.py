"""Commands before they are applied: a command comes in, the first reason against it, or None, goes out."""

from tests.support.auditor import refusals as why
from tests.support.auditor.basics import Wire, micros, month_of, picousd
from tests.support.auditor.outputs import Scope
from tests.support.auditor.permissions import is_allowed
from tests.support.auditor.state import Limit, Organization

ENTERPRISE_ONLY = {"set_tier_limit", "request_credits", "approve_request", "deny_request", "set_requests_enabled"}
TEAM_ONLY = {"buy_credits", "set_auto_reload", "set_balance_notice"}
NOT_ZERO = {
    "confirm_payment",
    "report_reload_paid",
    "refund_purchase",
    "grant_credits",
    "adjust",
    "issue_credit_note",
    "buy_credits",
}
OF_A_MEMBER = {
    "set_member_credits",
    "set_user_limit",
    "set_role",
    "hand_over_ownership",
    "remove_member",
    "assign_seat",
}


def why_not(org: Organization | None, now: int, command: Wire) -> str | None:
    """The reasons in the order of `refusals`; what was answered before has been dealt with."""
    kind = command["command"]
    if org is None and kind != "register_organization":
        return why.UNKNOWN_ORGANIZATION
    if not is_allowed(org, command):
        return why.NOT_ALLOWED
    if org is None:
        return None
    return (
        _status_or_plan(org, kind, command)
        or _amounts(now, kind, command)
        or _members(org, kind, command)
        or _raise(org, now, kind, command)
        or _payments(org, kind, command)
        or _invoices(org, kind, command)
        or _requests(org, now, kind, command)
    )


def _status_or_plan(org: Organization, kind: str, command: Wire) -> str | None:
    if kind == "register_organization":
        return why.ALREADY_REGISTERED
    of_invoice = kind == "issue_credit_note" or command.get("invoice_number") is not None
    if org.status == "closed" and not of_invoice:
        return why.ALREADY_CLOSED if kind == "close_organization" else why.ORGANIZATION_CLOSED
    if kind in ENTERPRISE_ONLY and org.plan == "team":
        return why.NOT_ON_TEAM
    if kind in TEAM_ONLY and org.plan == "enterprise":
        return why.NOT_ON_ENTERPRISE
    return why.SAME_PLAN if kind == "change_plan" and command["plan"] == org.plan else None


def _amounts(now: int, kind: str, command: Wire) -> str | None:
    switched_on = kind == "set_auto_reload" and command["enabled"]
    if (kind in NOT_ZERO or switched_on) and picousd(command["amount_usd"]) == 0:
        return why.AMOUNT_IS_ZERO
    if switched_on and picousd(command["amount_usd"]) <= picousd(command["threshold_usd"]):
        return why.AMOUNT_NOT_ABOVE_THRESHOLD
    maximum = usd_or_none(command.get("monthly_maximum_usd")) if switched_on else None
    if maximum is not None and maximum < picousd(command["amount_usd"]):
        return why.MAXIMUM_BELOW_AMOUNT
    expires = command.get("expires_at") if kind == "grant_credits" else None
    return why.ALREADY_EXPIRED if expires is not None and micros(expires) <= now else None


def _members(org: Organization, kind: str, command: Wire) -> str | None:
    user_id = command.get("user_id", "")
    member = org.member(user_id)
    if kind in OF_A_MEMBER and member is None:
        return why.UNKNOWN_MEMBER
    if kind == "set_contact" and user_id not in org.members:
        return why.UNKNOWN_MEMBER
    if kind == "add_member" and member is not None:
        return why.ALREADY_A_MEMBER
    is_primary = member is not None and member.role == "primary_owner"
    makes_primary = command.get("role") == "primary_owner"
    second = (kind == "add_member" and makes_primary) or (kind == "set_role" and is_primary != makes_primary)
    if second or (kind in ("remove_member", "hand_over_ownership") and is_primary):
        return why.ONE_PRIMARY_OWNER
    return None


def _raise(org: Organization, now: int, kind: str, command: Wire) -> str | None:
    """`this_month_only` is for raising only; of a user limit the one that binds then against the one that binds now."""
    if not command.get("this_month_only"):
        return None
    month = month_of(now)
    amount = usd_or_none(command["limit_usd"])
    if kind == "set_organization_limit":
        holds = org.limit.holds(month)
    elif kind == "set_tier_limit":
        tier = org.tiers[command["seat_tier"]]
        if command.get("basis", "each_member") != tier.basis:
            return why.NOT_A_RAISE
        holds = tier.holds(month)
    else:
        each = each_member_limit(org, command["user_id"], month)
        own = org.members[command["user_id"]].limit.holds(month)
        holds = own if own is not None else each
        amount = amount if amount is not None else each
    return None if holds is not None and (amount is None or amount > holds) else why.NOT_A_RAISE


def each_member_limit(org: Organization, user_id: str, month: str) -> int | None:
    """What the member's seat would hold them to if they had no own limit."""
    tier: Limit = org.tiers[org.members[user_id].seat_tier]
    return tier.holds(month) if org.plan == "enterprise" and tier.basis == "each_member" else None


def usd_or_none(usd: str | None) -> int | None:
    return None if usd is None else picousd(usd)


def _payments(org: Organization, kind: str, command: Wire) -> str | None:
    if kind in ("report_reload_paid", "report_reload_failed"):
        reload = next((one for one in org.reloads if one.reload_id == command["reload_id"]), None)
        if reload is None:
            return why.UNKNOWN_RELOAD
        if reload.status == "paid" or (reload.status == "failed" and kind == "report_reload_failed"):
            return why.RELOAD_ANSWERED
    if (
        kind in ("confirm_payment", "report_reload_paid", "refund_purchase")
        and command["payment_id"] in org.payment_ids
    ):
        return why.PAYMENT_ID_USED
    if kind == "refund_purchase":
        lot = next((lot for lot in org.lots if lot.payment_id == command["purchase_payment_id"]), None)
        if lot is None:
            return why.UNKNOWN_PAYMENT
        if picousd(command["amount_usd"]) > lot.rest:
            return why.MORE_THAN_UNBURNT
    return None


def _invoices(org: Organization, kind: str, command: Wire) -> str | None:
    number = command.get("invoice_number")
    if number is None:
        return None
    invoice = org.invoice(number)
    if invoice is None:
        return why.UNKNOWN_INVOICE
    if kind == "confirm_payment":
        settled = org.credited(number) + org.paid(number)
        return why.MORE_THAN_DUE if settled + picousd(command["amount_usd"]) > invoice.due else None
    too_much = org.credited(number) + picousd(command["amount_usd"]) > invoice.total
    return why.MORE_THAN_INVOICED if too_much else None


def _requests(org: Organization, now: int, kind: str, command: Wire) -> str | None:
    if kind == "request_credits":
        if not org.requests_on:
            return why.REQUESTS_DISABLED
        user_id = command["actor"]["id"]
        if any(request.user_id == user_id for request in org.pending()):
            return None
        on_premium = org.members[user_id].seat_tier == "premium"
        return why.ALREADY_ON_PREMIUM if command["kind"] == "premium_seat" and on_premium else None
    if kind not in ("approve_request", "deny_request"):
        return None
    request = org.request(command["request_id"])
    if request is None:
        return why.UNKNOWN_REQUEST
    if request.status != "pending":
        return why.REQUEST_CLOSED
    if kind == "deny_request":
        return None
    if request.user_id == command["actor"]["id"]:
        return why.OWN_REQUEST
    if not org.credits_on:
        return why.CREDITS_DISABLED
    limit = usd_or_none(command.get("limit_usd"))
    spend = org.spend(Scope("member", None, request.user_id), month_of(now))
    return why.LIMIT_NOT_ABOVE_SPEND if limit is not None and limit <= spend else None
