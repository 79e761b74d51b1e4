"""One wire object of every command and one model of everything the ledger publishes beside rows and dead letters."""

from schemas.contacts import Contact, Notices
from schemas.dead_letters import DeadLetterDecision
from schemas.events import (
    CommandApplied,
    CommandRefused,
    CommandRepeated,
    CreditsPaused,
    CreditsResumed,
    Crossing,
    LedgerEvent,
    LimitBreached,
    LimitResumed,
    MemberScope,
    OrganizationScope,
    TierScope,
)
from schemas.invoices import (
    BalanceLine,
    CreditNoteIssued,
    InvoiceContinued,
    InvoiceDrafted,
    InvoiceFinalized,
    PaymentReceived,
    StatementIssued,
    UsageLine,
)
from schemas.ledger import EntryCause, LedgerEntry, PurchaseRequested, ReloadRequested
from schemas.mails import MailOutcome
from schemas.month import Month
from schemas.notifications import AutoReloadSuspended, BalanceLow, PendingRequest, RequestsDigest, ThresholdReached
from schemas.status import ClockStatus, MemberStatus, OrganizationStatus, StatusRecord, TierStatus
from tests.support.builders import BILLING, DOLLAR_PICOUSD, NOON, Wire, command, micros, user

BY_BILLING: list[Wire] = [
    command("register_organization", BILLING, plan="team", primary_owner="owner"),
    command("suspend_organization", BILLING),
    command("reinstate_organization", BILLING),
    command("close_organization", BILLING),
    command("change_plan", BILLING, plan="enterprise"),
    command("confirm_payment", BILLING, payment_id="pay-1", amount_usd="100"),
    command("report_reload_paid", BILLING, reload_id="r-1", payment_id="pay-2", amount_usd="20.50"),
    command("report_reload_failed", BILLING, reload_id="r-1", detail="card expired"),
    command("refund_purchase", BILLING, payment_id="pay-3", purchase_payment_id="pay-1", amount_usd="40"),
    command("grant_credits", BILLING, amount_usd="5", expires_at="2026-12-31T00:00:00Z"),
    command("adjust", BILLING, direction="debit", amount_usd="0.01", note="price published late"),
    command("issue_credit_note", BILLING, invoice_number=3, amount_usd="12.50", note="agreed on the phone"),
]
BY_OWNERS: list[Wire] = [
    command("set_credits", enabled=True),
    command("set_member_default", enabled=False),
    command("set_member_credits", user_id="ann", enabled=None),
    command("set_organization_limit", limit_usd="250"),
    command("set_tier_limit", seat_tier="premium", limit_usd="50"),
    command("set_user_limit", user_id="ann", limit_usd=None),
    command("set_thresholds", percents=[50, 80, 100]),
    command("set_balance_notice", threshold_usd="10"),
    command("buy_credits", amount_usd="100"),
    command("set_auto_reload", enabled=True, threshold_usd="10", amount_usd="10.01", monthly_maximum_usd=None),
    command("set_requests_enabled", enabled=False),
    command("set_role", user_id="ann", role="admin"),
    command("hand_over_ownership", user_id="ann"),
]
BY_ADMINS: list[Wire] = [
    command("add_member", user("admin"), user_id="bob"),
    command("remove_member", user("admin"), user_id="ann"),
    command("assign_seat", user("admin"), user_id="ann", seat_tier="premium"),
    command("approve_request", user("admin"), request_id="q-1", limit_usd="75"),
    command("deny_request", user("admin"), request_id="q-1"),
]
BY_MEMBERS: list[Wire] = [
    command("request_credits", user("ann"), kind="premium_seat"),
    command("set_contact", user("ann"), user_id="ann", fields=["email"]),
]
COMMANDS = {wire["command"]: wire for wire in (*BY_BILLING, *BY_OWNERS, *BY_ADMINS, *BY_MEMBERS)}
"""Without what may be left out."""

_SAID: Wire = {"org_id": "acme", "org_seq": 7, "at_micros": micros(NOON)}
_ASKED: Wire = {"command_id": "c", "command": "set_credits", "actor": BILLING}
_LIMIT: Wire = {"month": Month(2026, 5), "limit_version": 3}

EVENTS: list[LedgerEvent] = [
    LimitBreached(
        **_SAID,
        **_LIMIT,
        scope=OrganizationScope(),
        episode=2,
        limit_picousd=250 * DOLLAR_PICOUSD,
        spend_picousd=251 * DOLLAR_PICOUSD,
        overshoot_picousd=(251 - 250) * DOLLAR_PICOUSD,
        cause="usage",
        crossing=Crossing(event_id="e", source="", input_partition=1, input_offset=2**40, input_index=0),
        paused_from_micros=micros(NOON),
        paused_until_micros=micros("2026-06-01T00:00:00Z"),
    ),
    LimitResumed(
        **_SAID,
        **_LIMIT,
        scope=MemberScope(user_id="ann", seat_tier="premium"),
        episode=2,
        limit_picousd=None,
        spend_picousd=1,
        cause="plan_changed",
    ),
    CreditsPaused(**_SAID, reason="balance", pause_number=1, balance_picousd=-DOLLAR_PICOUSD),
    CreditsResumed(**_SAID, pause_number=1, balance_picousd=99 * DOLLAR_PICOUSD),
    CommandApplied(**_SAID, **_ASKED, before={}, after={"enabled": True}),
    CommandRefused(**_SAID, **_ASKED, reason="not_allowed", detail="ann is member; this takes owner"),
    CommandRepeated(**_SAID, command_id="c", answer={}),
    ThresholdReached(
        **_SAID,
        **_LIMIT,
        scope=TierScope(seat_tier="standard"),
        percent=80,
        spend_picousd=8 * DOLLAR_PICOUSD,
        limit_picousd=10 * DOLLAR_PICOUSD,
    ),
    BalanceLow(**_SAID, balance_picousd=9 * DOLLAR_PICOUSD, threshold_picousd=10 * DOLLAR_PICOUSD),
    AutoReloadSuspended(**_SAID, reason="unanswered", reload_id="r-1"),
    RequestsDigest(
        **_SAID,
        day="2026-05-10",
        requests=(
            PendingRequest(
                request_id="q-1",
                user_id="ann",
                kind="credits",
                seat_tier="standard",
                asked_at_micros=micros(NOON),
                spend_picousd=0,
            ),
        ),
    ),
]

EVENTS += [
    LedgerEntry(
        **_SAID,
        type="purchase",
        account="wallet",
        amount_picousd=DOLLAR_PICOUSD,
        balance_after_picousd=DOLLAR_PICOUSD,
        charge_month="2026-05",
        lot_id="l-1",
        cause=EntryCause(kind="command", id="c-1"),
    ),
    ReloadRequested(**_SAID, reload_id="r-1", number=1, amount_picousd=DOLLAR_PICOUSD, balance_picousd=-1),
    PurchaseRequested(
        **_SAID, purchase_id="p-1", amount_picousd=DOLLAR_PICOUSD, actor={"kind": "user", "id": "owner", "scopes": []}
    ),
]

_CENT_PICOUSD = DOLLAR_PICOUSD // 100
_LINE = UsageLine(
    usage_month="2026-05",
    product="chat",
    model="claude-sonnet-4-6",
    price_id="claude-sonnet-4-6@2026-03-13",
    token_kind="input_tokens",
    quantity=1_000,
    rate_picousd=3_000_000,
    exact_picousd=3_000_000_000,
    amount_picousd=0,
)
_DRAFT = {
    **_SAID,
    "month": "2026-05",
    "part": 1,
    "exact_picousd": 3_000_000_000,
    "line_count": 2,
    "lines": (_LINE, BalanceLine(kind="carried", exact_picousd=-_CENT_PICOUSD, amount_picousd=-_CENT_PICOUSD)),
}
EVENTS += [
    InvoiceDrafted(**_DRAFT, total_picousd=0),
    InvoiceFinalized(
        **_DRAFT,
        total_picousd=0,
        number=1,
        reason="month_closed",
        carried_picousd=-_CENT_PICOUSD,
        offset_picousd=0,
        due_picousd=0,
    ),
    InvoiceContinued(**_SAID, month="2026-05", part=1, of="draft", first_line=1_000, lines=(_LINE,)),
    CreditNoteIssued(**_SAID, number=1, invoice_number=3, amount_picousd=DOLLAR_PICOUSD, note="agreed on the phone"),
    PaymentReceived(
        **_SAID, payment_id="pay-9", invoice_number=3, amount_picousd=DOLLAR_PICOUSD, open_picousd=-_CENT_PICOUSD
    ),
    StatementIssued(
        **_SAID,
        month="2026-05",
        opening_picousd=0,
        purchase_picousd=DOLLAR_PICOUSD,
        grant_picousd=0,
        burn_picousd=-1,
        refund_picousd=0,
        adjust_picousd=0,
        offset_picousd=0,
        expiry_picousd=0,
        closing_picousd=DOLLAR_PICOUSD - 1,
    ),
]

STATUS: list[StatusRecord] = [
    OrganizationStatus(
        org_id="acme",
        org_seq=7,
        plan="team",
        status="suspended",
        credits_enabled=True,
        member_default=False,
        requests_enabled=False,
        balance_picousd=-(10**21),
        month="2026-05",
        spend_picousd=2**63,
        limit_picousd=0,
        limit_version=4,
        raise_picousd=5 * DOLLAR_PICOUSD,
        raise_month="2026-05",
    ),
    TierStatus(org_id="acme", org_seq=8, seat_tier="premium", basis="whole_tier", limit_picousd=DOLLAR_PICOUSD),
    MemberStatus(
        org_id="acme",
        org_seq=9,
        user_id="ann",
        role="admin",
        seat_tier="premium",
        removed=True,
        credits_enabled=False,
        request_id="q-1",
        request_kind="credits",
        asked_at="2026-05-10T12:00:00Z",
    ),
    ClockStatus(partition=3, as_of_micros=micros(NOON)),
]

DECISIONS = [
    DeadLetterDecision(dead_letter_id="d-1", decision="redriven", by="olga", why=None, at_micros=micros(NOON)),
    DeadLetterDecision(dead_letter_id="d-2", decision="discarded", by="olga", why="a test", at_micros=micros(NOON)),
]

CONTACTS = [
    Contact(email="ann@example.com", display_name="Ann Li", notices=Notices(digest=False), changed={"email": 7}),
    Contact(notices=Notices(breaches=False, thresholds=False, balance=False), changed={"notices": 8}),
]
MAILS = [
    MailOutcome(
        mail_id="m-1",
        org_id="acme",
        user_id="ann",
        kind="breach",
        outcome="refused",
        smtp_code=550,
        at_micros=micros(NOON),
    )
]
