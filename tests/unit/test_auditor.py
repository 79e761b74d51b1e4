"""The auditor itself, on stories short enough to work out by hand; a web search costs one cent."""

from tests.support.auditor.basics import reload_id, request_id
from tests.support.auditor.outputs import (
    AutoReloadSuspended,
    BalanceLow,
    Breach,
    CreditsPaused,
    CreditsResumed,
    Digest,
    Entry,
    InvoiceFinalized,
    Refused,
    ReloadRequested,
    Resume,
    Row,
    Scope,
    Threshold,
)
from tests.support.auditor_story import Story, correcting, usd
from tests.support.builders import BILLING, event, micros, user

ORGANIZATION = Scope("organization")
STANDARD = Scope("tier", "standard")
ANN = Scope("member", None, "ann")
ANN_ON_STANDARD = Scope("member", "standard", "ann")
ANN_ON_PREMIUM = Scope("member", "premium", "ann")
OUR_LIMIT = "set_organization_limit"
PUT_IN = "confirm_payment"


def breach(
    scope: Scope, version: int, episode: int, cause: str, limit: int, spend: int, crossing: str | None = None
) -> Breach:
    """In the middle of May; amounts in cents."""
    return Breach(
        scope,
        "2026-05",
        version,
        episode,
        cause,
        usd(limit),
        usd(spend),
        usd(spend - limit),
        ("", crossing) if crossing else None,
        micros("2026-05-10T12:00:00Z"),
        micros("2026-06-01T00:00:00Z"),
    )


def resume(scope: Scope, version: int, episode: int, cause: str, limit: int | None, spend: int) -> Resume:
    return Resume(scope, "2026-05", version, episode, cause, None if limit is None else usd(limit), usd(spend))


def test_tokens_cost_the_rate_of_their_kind() -> None:
    story = Story()
    story.use(event("e-1", model="claude-haiku-4-5", input_tokens=1_000, output_tokens=200, cache_read_tokens=50))
    # $1, $5 and $0.10 per million are 1,000,000, 5,000,000 and 100,000 picodollars per token.
    assert story.rows()[0].cost == 1_000 * 1_000_000 + 200 * 5_000_000 + 50 * 100_000


def test_one_event_crosses_the_members_the_tiers_and_the_organisations_limit_in_this_order() -> None:
    story = Story()
    story.do("set_user_limit", user_id="ann", limit_usd="1.00")
    story.do("set_tier_limit", seat_tier="standard", basis="whole_tier", limit_usd="1.50")
    story.do(OUR_LIMIT, limit_usd="2.00")
    story.do("set_thresholds", percents=[80])
    story.cents("e-1", 90, user_id="bob")
    story.told()
    story.cents("e-2", 110)
    # ann 110 >= 100; the tier and everybody 90 + 110 = 200 >= 150 and >= 200.
    row, *others = story.told()
    assert (row.cost, row.after_pause) == (usd(110), False)
    assert others == [
        breach(ANN, 1, 1, "usage", 100, 110, "e-2"),
        breach(STANDARD, 1, 1, "usage", 150, 200, "e-2"),
        breach(ORGANIZATION, 1, 1, "usage", 200, 200, "e-2"),
        Threshold(ANN, "2026-05", 1, 80, usd(110), usd(100)),
        Threshold(STANDARD, "2026-05", 1, 80, usd(200), usd(150)),
        Threshold(ORGANIZATION, "2026-05", 1, 80, usd(200), usd(200)),
    ]
    assert story.reasons() == ("org_limit", "tier_limit", "user_limit")
    assert story.reasons("bob") == ("org_limit", "tier_limit")
    story.cents("e-3", 1, user_id="bob")
    assert story.rows()[-1].after_pause


def test_a_limit_lowered_still_reached_and_raised_gives_two_breaches_and_one_resume() -> None:
    story = Story()
    story.do("set_thresholds", percents=[])
    story.cents("e-1", 500)
    story.told()
    story.do(OUR_LIMIT, limit_usd="5.00")
    story.do(OUR_LIMIT, limit_usd="4.00")
    story.do(OUR_LIMIT, limit_usd="4.00")
    story.do(OUR_LIMIT, limit_usd="5.01")
    assert story.told() == [
        breach(ORGANIZATION, 1, 1, "limit_changed", 500, 500),
        breach(ORGANIZATION, 2, 1, "limit_changed", 400, 500),
        resume(ORGANIZATION, 3, 1, "limit_changed", 501, 500),
    ]
    story.cents("e-2", 1)
    assert story.limits() == [breach(ORGANIZATION, 3, 2, "usage", 501, 501, "e-2")]


def test_thresholds_are_told_once_also_when_jumped_over_and_marked_when_the_limit_changes() -> None:
    story = Story()
    story.do(OUR_LIMIT, limit_usd="10.00")
    story.cents("e-1", 790)  # 79 %
    story.cents("e-2", 10)  # 80 %
    story.do(OUR_LIMIT, limit_usd="16.00")  # 50 %: marked
    story.cents("e-3", 480)  # 1280: 80 %
    told = [(told.version, told.percent) for told in story.told() if isinstance(told, Threshold)]
    assert told == [(1, 50), (1, 80), (2, 80)]


def test_an_own_limit_replaces_that_of_the_seat_in_both_directions() -> None:
    story = Story()
    story.do("set_tier_limit", seat_tier="standard", limit_usd="1.00")
    story.do("set_tier_limit", seat_tier="premium", limit_usd="3.00")
    story.cents("e-1", 200)
    assert story.limits() == [breach(ANN_ON_STANDARD, 1, 1, "usage", 100, 200, "e-1")]
    assert story.reasons() == ("tier_limit",)
    story.do("set_user_limit", user_id="ann", limit_usd="1.50")
    assert story.limits() == [
        breach(ANN, 1, 1, "limit_changed", 150, 200),
        resume(ANN_ON_STANDARD, 1, 1, "limit_changed", None, 200),
    ]
    assert story.reasons() == ("user_limit",)
    story.do("assign_seat", user_id="ann", seat_tier="premium")
    story.do("set_user_limit", user_id="ann", limit_usd=None)  # 300 of the premium seat binds: 200 is below
    assert story.limits() == [resume(ANN, 2, 1, "limit_changed", None, 200)]
    story.do("assign_seat", user_id="ann", seat_tier="standard")
    assert story.limits() == [breach(ANN_ON_STANDARD, 1, 2, "seat_changed", 100, 200)]


def test_a_tiers_change_reaches_its_members_in_order_of_their_ids() -> None:
    story = Story()
    for user_id in ("bob", "ann"):
        story.cents(f"e-{user_id}", 100, user_id=user_id)
    story.told()
    story.do("set_tier_limit", seat_tier="standard", basis="whole_tier", limit_usd="2.00")
    story.do("set_tier_limit", seat_tier="standard", basis="each_member", limit_usd="1.00")
    bob = Scope("member", "standard", "bob")
    assert story.limits() == [
        breach(STANDARD, 1, 1, "limit_changed", 200, 200),
        resume(STANDARD, 2, 1, "limit_changed", None, 200),
        breach(ANN_ON_STANDARD, 2, 1, "limit_changed", 100, 100),
        breach(bob, 2, 1, "limit_changed", 100, 100),
    ]


def test_a_raise_for_this_month_falls_back_and_lowering_is_none() -> None:
    story = Story()
    story.do(OUR_LIMIT, limit_usd="1.00")
    assert story.do(OUR_LIMIT, limit_usd="1.00", this_month_only=True) == "not_a_raise"
    story.do(OUR_LIMIT, limit_usd="3.00", this_month_only=True)
    story.cents("e-1", 200)
    assert story.limits() == []
    story.at = "2026-06-02T12:00:00Z"
    story.cents("e-2", 150)
    (told,) = story.limits()
    # Version 2 is the raise's: falling back changes none.
    assert (told.month, told.version, told.limit, told.overshoot) == ("2026-06", 2, usd(100), usd(50))


def test_a_limit_of_zero_denies_from_the_start_and_is_breached_by_the_first_charge_of_a_later_month() -> None:
    story = Story()
    story.do(OUR_LIMIT, limit_usd="0")
    assert story.limits() == [breach(ORGANIZATION, 1, 1, "limit_changed", 0, 0)]
    story.at = "2026-06-02T12:00:00Z"
    assert story.reasons() == ("org_limit",)
    story.cents("e-1", 5)
    row, told = story.told()
    assert (row.after_pause, told.month, told.overshoot) == (False, "2026-06", usd(5))


def test_a_correction_books_the_reverse_and_the_right_row_and_resumes() -> None:
    story = Story()
    story.do("set_thresholds", percents=[])
    story.do(OUR_LIMIT, limit_usd="1.00")
    wrong = event("e-1", web_search_requests=120, occurred_at=story.at)
    story.use(wrong)
    story.told()
    right = correcting(wrong, "e-2", 70)
    assert story.use({**right, "event_id": "e-3", "product": "other"}) == "correction_mismatch"
    assert story.use({**right, "event_id": "e-4", "source": "other"}) == "unknown_original"
    assert story.use(right) == "row"
    assert story.use({**right, "event_id": "e-5"}) == "already_corrected"
    *rows, told = story.told()
    assert [(row.leg, row.cost) for row in rows] == [("reversal", usd(-120)), ("replacement", usd(70))]
    assert told == resume(ORGANIZATION, 1, 1, "correction", 100, 70)
    assert story.auditor.burns("acme") == {("unbilled", "2026-05", None): usd(-70)}


def test_late_usage_counts_in_its_month_until_that_closes_and_pauses_nobody() -> None:
    story = Story(at="2026-05-31T12:00:00Z")
    story.do(OUR_LIMIT, limit_usd="1.00")
    story.told()
    late = "2026-05-31T23:59:59.999999Z"
    story.at = "2026-06-03T23:59:59.999Z"
    story.cents("e-1", 100, occurred_at=late)
    story.at = "2026-06-04T00:00:00Z"
    story.cents("e-2", 100, occurred_at=late)
    rows = [told for told in story.told() if isinstance(told, Row)]
    assert [(row.usage_month, row.charge_month) for row in rows] == [
        ("2026-05", "2026-05"),
        ("2026-05", "2026-06"),
    ]
    assert story.auditor.organizations["acme"].spend(ORGANIZATION, "2026-06") == 0


def test_usage_of_a_month_not_begun_breaches_from_its_first_instant() -> None:
    story = Story(at="2026-05-31T23:58:00Z")
    story.do(OUR_LIMIT, limit_usd="1.00")
    story.told()
    story.cents("e-1", 100, occurred_at="2026-06-01T00:00:00Z")
    (told,) = story.limits()
    june, july = micros("2026-06-01T00:00:00Z"), micros("2026-07-01T00:00:00Z")
    assert (told.month, told.paused_from, told.paused_until) == ("2026-06", june, july)
    assert story.reasons() == ()


def test_lots_burn_by_expiry_then_promotional_first_and_debt_is_netted() -> None:
    story = Story("team")
    story.do(PUT_IN, payment_id="p-1", amount_usd="1.00")  # lot 1
    story.do("grant_credits", amount_usd="0.50", expires_at=None)  # lot 2
    story.do("grant_credits", amount_usd="0.20", expires_at="2026-05-11T12:00:00Z")  # lot 3
    story.cents("e-1", 30)
    # 20 of lot 3, which expires first; 10 of lot 2, which is promotional.
    assert story.auditor.lots("acme") == {1: usd(100), 2: usd(40), 3: 0}
    story.cents("e-2", 160)
    # 40 of lot 2, 100 of lot 1, and 20 that nobody has: 170 - 190 = -20.
    assert story.auditor.balance("acme") == usd(-20)
    assert story.auditor.burns("acme") == {
        ("wallet", "2026-05", 3): usd(-20),
        ("wallet", "2026-05", 2): usd(-50),
        ("wallet", "2026-05", 1): usd(-100),
        ("wallet", "2026-05", None): usd(-20),
    }
    story.do(PUT_IN, payment_id="p-2", amount_usd="0.50")
    assert story.auditor.lots("acme")[4] == usd(30)
    pauses = [told for told in story.told() if isinstance(told, CreditsPaused | CreditsResumed)]
    # Number 1 ended with the first payment: a wallet begins empty.
    assert pauses == [CreditsResumed(1), CreditsPaused(2), CreditsResumed(2)]


def test_a_lot_expires_at_its_instant_and_the_credit_of_a_correction_is_not_refundable() -> None:
    story = Story("team")
    story.do("grant_credits", amount_usd="1.00", expires_at="2026-05-11T12:00:00Z")  # lot 1
    story.do(PUT_IN, payment_id="p-1", amount_usd="2.00")  # lot 2
    wrong = event("e-1", web_search_requests=150, occurred_at=story.at)
    story.use(wrong)  # 100 of lot 1, 50 of lot 2
    story.use(correcting(wrong, "e-2", 130))
    # 150 - 130 = 20 come back as lot 3, not into the lots they came from.
    assert story.auditor.lots("acme") == {1: 0, 2: usd(150), 3: usd(20)}
    refund = {"payment_id": "r-1", "purchase_payment_id": "p-1"}
    assert story.do("refund_purchase", **refund, amount_usd="1.51") == "more_than_unburnt"
    assert story.do("refund_purchase", **refund, amount_usd="1.50") == "applied"
    assert story.do("refund_purchase", **refund, amount_usd="0.01") == "payment_id_used"
    story.do("grant_credits", amount_usd="0.30", expires_at="2026-05-11T12:00:00Z")  # lot 4
    story.at = "2026-05-11T12:00:00Z"
    story.told()
    entries = [(entry.type, entry.amount, entry.balance_after, entry.lot) for entry in story.auditor.entries("acme")]
    assert entries == [
        ("grant", usd(100), usd(100), 1),
        ("purchase", usd(200), usd(300), 2),
        ("refund", usd(-150), usd(20), 2),
        ("grant", usd(30), usd(50), 4),
        ("expiry", usd(-30), usd(20), 4),
    ]


def test_auto_reload_asks_once_is_suspended_after_a_day_and_a_late_payment_still_counts() -> None:
    story = Story("team")
    story.do(PUT_IN, payment_id="p-1", amount_usd="1.00")
    story.do("set_balance_notice", threshold_usd="0.50")
    amounts = {"threshold_usd": "0.50", "amount_usd": "1.00", "monthly_maximum_usd": "2.00"}
    assert story.do("set_auto_reload", enabled=True, **{**amounts, "amount_usd": "0.50"}) == (
        "amount_not_above_threshold"
    )
    story.do("set_auto_reload", enabled=True, **amounts)
    story.told()
    story.cents("e-1", 49)
    story.cents("e-2", 1)
    story.cents("e-3", 1)
    first = reload_id("acme", 1)
    told = [told for told in story.told() if not isinstance(told, Row)]
    assert told == [BalanceLow(usd(50), usd(50)), ReloadRequested(first, 1, usd(100), usd(50))]
    story.at = "2026-05-11T12:00:00Z"
    assert story.told() == [AutoReloadSuspended("unanswered", first)]
    story.do("report_reload_paid", reload_id=first, payment_id="p-2", amount_usd="1.00")
    assert story.auditor.balance("acme") == usd(100 - 51 + 100)
    assert story.do("report_reload_paid", reload_id=first, payment_id="p-3", amount_usd="1.00") == "reload_answered"
    story.cents("e-4", 100)
    story.do("report_reload_paid", reload_id=reload_id("acme", 2), payment_id="p-4", amount_usd="1.00")
    story.cents("e-5", 100)  # 49 again, but 1.00 + 1.00 were asked for this month
    assert len([told for told in story.told() if isinstance(told, ReloadRequested)]) == 1


def test_to_team_ends_pauses_of_seats_and_pauses_for_the_balance_and_back_again() -> None:
    story = Story()
    story.do("set_tier_limit", seat_tier="standard", limit_usd="1.00")
    story.cents("e-1", 100)
    story.told()
    story.do("change_plan", plan="team")
    what_is_used_is_invoiced, *_, paused, resumed = story.told()
    assert isinstance(what_is_used_is_invoiced, InvoiceFinalized)
    assert [paused, resumed] == [CreditsPaused(1), resume(ANN_ON_STANDARD, 1, 1, "plan_changed", None, 100)]
    assert story.do("set_tier_limit", seat_tier="standard", limit_usd="9.00") == "not_on_team"
    assert story.reasons() == ("balance",)
    story.do("change_plan", plan="enterprise")
    # Thresholds passed long ago are marked with the breach, not told.
    assert story.told() == [
        Refused(f"c-{story.number - 1}", "not_on_team"),
        CreditsResumed(1),
        breach(ANN_ON_STANDARD, 1, 2, "plan_changed", 100, 100),
    ]


def test_who_rejoins_has_the_same_month_to_date_and_no_own_limit() -> None:
    story = Story()
    story.do("set_thresholds", percents=[])
    story.do("set_user_limit", user_id="ann", limit_usd="1.00")
    story.do("set_tier_limit", seat_tier="premium", limit_usd="1.50")
    story.cents("e-1", 100)
    story.do("remove_member", user_id="ann")
    story.cents("e-2", 60)
    assert [told.scope for told in story.limits() if isinstance(told, Breach)] == [ANN]
    assert (story.rows()[-1].after_pause, story.reasons()) == (True, ("not_a_member",))
    story.do("add_member", user_id="ann", seat_tier="premium")
    assert story.told() == [
        breach(ANN_ON_PREMIUM, 1, 1, "seat_changed", 150, 160),
        resume(ANN, 2, 1, "seat_changed", None, 160),
    ]


def test_a_request_is_pending_once_shown_daily_and_granted_by_somebody_else() -> None:
    story = Story()
    story.do("set_role", user_id="bob", role="admin")
    story.do("request_credits", by="ann", kind="credits")
    asked = request_id("acme", f"c-{story.number}")
    story.do("request_credits", by="ann", kind="premium_seat")
    story.at = "2026-05-13T07:59:59.999Z"
    # The 12th's alone: nobody looked on the 11th, and what is missed is not made up.
    (digest,) = story.told()
    assert isinstance(digest, Digest)
    assert (digest.day, [request.request_id for request in digest.requests]) == ("2026-05-12", [asked])
    story.cents("e-1", 100)
    assert story.do("approve_request", by="ann", request_id=asked, seat_tier="premium") == "not_allowed"
    assert story.do("approve_request", by="bob", request_id=asked, limit_usd="1.00") == "limit_not_above_spend"
    assert story.do("approve_request", by="bob", request_id=asked, limit_usd="1.01") == "applied"
    assert story.do("deny_request", by="bob", request_id=asked) == "request_closed"
    decision = story.auditor.decision("acme", "ann")
    assert (decision.allowed, decision.headroom) == (True, usd(1))


def test_reasons_stand_in_their_order_and_only_limits_say_when_they_end() -> None:
    story = Story("team")
    story.do("set_user_limit", user_id="ann", limit_usd="0")
    assert story.reasons() == ("balance", "user_limit")
    story.do(PUT_IN, payment_id="p-1", amount_usd="5.00")
    decision = story.auditor.decision("acme", "ann")
    assert (decision.reasons, decision.headroom) == (("user_limit",), 0)
    assert decision.ends_at == micros("2026-06-01T00:00:00Z")
    story.do("set_member_credits", user_id="ann", enabled=False)
    story.do("suspend_organization", actor=BILLING)
    decision = story.auditor.decision("acme", "ann")
    assert (decision.reasons, decision.ends_at) == (("suspended", "disabled", "user_limit"), None)
    assert story.auditor.decision("acme", "nobody").reasons == ("suspended", "not_a_member")
    assert not story.auditor.decision("nowhere", "ann").allowed


def test_a_command_id_is_known_for_the_horizon_and_refusals_change_nothing() -> None:
    story = Story()
    command = {"command": OUR_LIMIT, "command_id": "x", "org_id": "acme", "actor": user("ann"), "limit_usd": "5"}
    day = 86_400 * 10**6
    at = micros(story.at)
    assert story.auditor.take(at, "command", command) == "not_allowed"
    assert story.auditor.take(at, "command", {**command, "limit_usd": "5.00"}) == "repeated"
    assert story.auditor.take(at + 35 * day, "command", {**command, "limit_usd": "6"}) == "command_id_reused"
    assert story.auditor.take(at + 35 * day + 1_000, "command", {**command, "actor": user("owner")}) == "applied"


def test_nobody_acts_on_a_higher_role_and_there_is_one_primary_owner() -> None:
    story = Story()
    story.do("set_role", user_id="ann", role="owner")
    story.do("set_role", user_id="bob", role="admin")
    assert story.do("set_user_limit", by="ann", user_id="owner", limit_usd="1") == "not_allowed"
    assert story.do("assign_seat", by="bob", user_id="ann", seat_tier="premium") == "not_allowed"
    assert story.do("add_member", by="bob", user_id="cem", role="admin") == "not_allowed"
    assert story.do("add_member", by="bob", user_id="cem") == "applied"
    assert story.do("set_role", by="ann", user_id="cem", role="primary_owner") == "one_primary_owner"
    assert story.do("remove_member", user_id="owner") == "one_primary_owner"
    assert story.do("hand_over_ownership", by="ann", user_id="cem") == "not_allowed"
    assert story.do("hand_over_ownership", user_id="ann") == "applied"
    assert story.do("set_role", by="ann", user_id="owner", role="member") == "applied"


def test_closing_gives_the_unburnt_paid_rest_back_and_refuses_what_comes_later() -> None:
    story = Story("team")
    story.do(PUT_IN, payment_id="p-1", amount_usd="2.00")
    story.do("grant_credits", amount_usd="0.40", expires_at=None)
    story.cents("e-1", 50)  # 40 granted, 10 paid
    assert story.do("close_organization") == "applied"
    assert story.auditor.balance("acme") == 0
    assert story.auditor.entries("acme")[-1].amount == usd(-190)
    assert story.cents("e-2", 1) == "organization_closed"
    assert story.cents("e-1", 50) == "duplicate"
    assert story.do("close_organization") == "already_closed"
    assert story.do(OUR_LIMIT, limit_usd="1") == "organization_closed"


def test_one_event_may_reach_a_limit_empty_the_wallet_and_ask_for_a_reload() -> None:
    story = Story("team")
    story.do("set_thresholds", percents=[100])
    story.do(OUR_LIMIT, limit_usd="1.00")
    story.do(PUT_IN, payment_id="p-1", amount_usd="1.00")
    story.do("set_balance_notice", threshold_usd="0.10")
    story.do("set_auto_reload", enabled=True, threshold_usd="0.20", amount_usd="5.00", monthly_maximum_usd=None)
    story.cents("e-0", 30, funding="included")
    story.told()
    story.cents("e-1", 105)
    row, *others = story.told()
    assert not row.after_pause
    assert others == [
        breach(ORGANIZATION, 1, 1, "usage", 100, 105, "e-1"),
        Threshold(ORGANIZATION, "2026-05", 1, 100, usd(105), usd(100)),
        CreditsPaused(2),
        BalanceLow(usd(-5), usd(10)),
        ReloadRequested(reload_id("acme", 1), 1, usd(500), usd(-5)),
    ]
    assert story.reasons() == ("balance", "org_limit")
    story.do("report_reload_failed", reload_id=reload_id("acme", 1), detail="declined")
    assert story.told() == [AutoReloadSuspended("failed", reload_id("acme", 1))]
    story.do(PUT_IN, payment_id="p-2", amount_usd="0.10")
    # 5 cents are above 0, and not above 20: the purchase ended the suspension.
    assert [type(told) for told in story.told()] == [Entry, CreditsResumed, ReloadRequested]


def test_one_member_is_raised_above_the_limit_of_their_seat_for_this_month() -> None:
    story = Story()
    story.do("set_tier_limit", seat_tier="standard", limit_usd="1.00")
    for amount in ("1.00", None):
        assert story.do("set_user_limit", user_id="ann", limit_usd=amount, this_month_only=True) == "not_a_raise"
    story.do("set_user_limit", user_id="ann", limit_usd="3.00", this_month_only=True)
    story.cents("e-1", 300)
    assert story.limits() == [breach(ANN, 1, 1, "usage", 300, 300, "e-1")]
    story.at = "2026-06-10T12:00:00Z"
    story.cents("e-2", 100)
    (told,) = story.limits()
    assert (told.scope, told.version, told.limit) == (ANN_ON_STANDARD, 1, usd(100))


def test_a_limit_for_good_ends_a_raise_and_setting_it_again_changes_nothing() -> None:
    story = Story()
    limit = story.auditor.organizations["acme"].limit
    for amount, only, version in (("1.00", False, 1), ("9.00", True, 2), ("1.00", False, 3), ("1.00", False, 3)):
        story.do(OUR_LIMIT, limit_usd=amount, this_month_only=only)
        assert limit.version == version
    assert limit.holds("2026-05") == usd(100)


def test_a_correction_after_the_close_is_charged_now_and_counts_nowhere() -> None:
    story = Story(at="2026-05-30T12:00:00Z")
    wrong = event("e-1", web_search_requests=100, occurred_at=story.at)
    story.use(wrong)
    story.at = "2026-06-10T12:00:00Z"
    story.use(correcting(wrong, "e-2", 40))
    story.use(correcting(correcting(wrong, "e-2", 40), "e-3", 60))
    assert [(row.cost, row.usage_month, row.charge_month, row.leg) for row in story.rows()] == [
        (usd(100), "2026-05", "2026-05", "usage"),
        (usd(-100), "2026-05", "2026-06", "reversal"),
        (usd(40), "2026-05", "2026-06", "replacement"),
        (usd(-40), "2026-05", "2026-06", "reversal"),
        (usd(60), "2026-05", "2026-06", "replacement"),
    ]
    acme = story.auditor.organizations["acme"]
    assert (acme.spend(ORGANIZATION, "2026-05"), acme.spend(ORGANIZATION, "2026-06")) == (usd(100), 0)
    assert story.auditor.burns("acme") == {
        ("unbilled", "2026-05", None): usd(-100),
        ("unbilled", "2026-06", None): usd(100 - 60),
    }


def test_a_correction_stays_in_the_tier_in_which_it_was_spent() -> None:
    story = Story()
    story.do("set_tier_limit", seat_tier="standard", basis="whole_tier", limit_usd="1.00")
    wrong = event("e-1", web_search_requests=100, occurred_at=story.at)
    story.use(wrong)
    story.do("assign_seat", user_id="ann", seat_tier="premium")
    assert story.reasons() == ()
    assert story.reasons("bob") == ("tier_limit",)
    story.use(correcting(wrong, "e-2", 99))
    assert {row.seat_tier for row in story.rows()} == {"standard"}
    assert story.limits()[-1] == resume(STANDARD, 1, 1, "correction", 100, 99)


def test_a_chargeback_goes_below_zero_and_a_grant_that_expires_pauses() -> None:
    story = Story("team")
    story.do(PUT_IN, payment_id="p-1", amount_usd="1.00")
    story.do("adjust", direction="debit", amount_usd="1.50", note="chargeback")
    story.do("grant_credits", amount_usd="0.80", expires_at="2026-05-10T13:00:00Z")
    assert story.auditor.lots("acme") == {1: 0, 2: usd(30)}
    story.told()
    story.at = "2026-05-10T12:59:59.999999Z"
    assert story.told() == []
    story.at = "2026-05-10T13:00:00Z"
    assert [type(told) for told in story.told()] == [Entry, CreditsPaused]
    assert story.do("grant_credits", amount_usd="0.80", expires_at=story.at) == "already_expired"
    story.cents("e-1", 1)
    assert story.rows()[-1].after_pause


def test_money_for_the_wallet_is_taken_on_enterprise_too_and_usage_is_not_burnt_from_it() -> None:
    story = Story("team")
    story.do("set_auto_reload", enabled=True, threshold_usd="0.10", amount_usd="1.00", monthly_maximum_usd=None)
    story.do("change_plan", plan="enterprise")
    story.told()
    assert story.do("buy_credits", amount_usd="1.00") == "not_on_enterprise"
    story.do("report_reload_paid", reload_id=reload_id("acme", 1), payment_id="p-1", amount_usd="1.00")
    story.cents("e-1", 10)
    assert story.auditor.balance("acme") == usd(100)
    assert story.auditor.burns("acme") == {("unbilled", "2026-05", None): usd(-10)}
    assert story.auditor.decision("acme", "ann").headroom is None
    story.at = "2026-05-12T12:00:00Z"
    assert not any(isinstance(told, AutoReloadSuspended) for told in story.told())


def test_what_was_sent_again_or_cannot_be_charged_is_told_apart() -> None:
    story = Story()
    assert story.cents("e-1", 10) == "row"
    assert story.cents("e-1", 10, processing=None, web_search_requests=10) == "duplicate"
    assert story.cents("e-1", 11) == "conflict"
    assert story.cents("e-1", 11, source="chat") == "row"
    assert story.cents("e-2", 1, user_id="stranger") == "unknown_member"
    assert story.cents("e-3", 1, model="claude-unheard-of") == "unknown_model"
    assert story.cents("e-4", 1, org_id="nowhere") == "unknown_organization"
    assert story.cents("e-5", 1, occurred_at="2026-04-05T12:00:00Z") == "row"
    assert story.cents("e-6", 1, occurred_at="2026-04-05T11:59:59.999999Z") == "too_old"
    assert story.cents("e-7", 1, occurred_at="2026-05-10T12:05:00Z") == "row"
    assert story.cents("e-8", 1, occurred_at="2026-05-10T12:05:00.000001Z") == "in_the_future"
