"""Auto-reload: when it asks, what an answer or its absence does, what a month's maximum bounds (R5)."""

from itertools import product
from typing import Any, get_args

import pytest

from pipeline.domain import reloads
from pipeline.domain import wallet as rules
from pipeline.domain.refusals import Refused
from pipeline.domain.wallet_state import ReloadStatus
from schemas.ledger import EntryCause, LedgerEntry, ReloadRequested
from schemas.notifications import AutoReloadSuspended
from tests.support.builders import NOON, later, micros
from tests.support.wallets import Purse, kinds, usd

NEXT_NOON = later(NOON, hours=24)
FIRST = reloads.reload_id("acme", 1)
SECOND = reloads.reload_id("acme", 2)


def reloading(maximum: str | int | None = None, balance: str | int = 10) -> Purse:
    """A Team wallet that reloads $20 when it falls to $5; nothing is under way."""
    purse = Purse()
    purse.does(rules.purchase, "p-1", usd(balance))
    purse.does(rules.set_auto_reload, True, usd(5), usd(20), None if maximum is None else usd(maximum))
    purse.events.clear()
    return purse


def asked(purse: Purse) -> list[int]:
    return [event.number for event in purse.told(ReloadRequested)]


def refused(purse: Purse, reason: str, rule: Any, *what: Any) -> None:
    before = (purse.wallet.value(), purse.organization.org_seq)
    with pytest.raises(Refused) as refusal:
        purse.does(rule, *what)
    assert (refusal.value.reason, bool(str(refusal.value))) == (reason, True)
    assert (purse.wallet.value(), purse.organization.org_seq) == before


# Asking.


@pytest.mark.parametrize(("dollars", "numbers"), [("4.99", []), (5, [1]), ("5.01", [1]), (50, [1])])
def test_a_balance_at_the_threshold_or_below_asks_for_a_reload(dollars: str | int, numbers: list[int]) -> None:
    purse = reloading()
    purse.uses(dollars)
    assert asked(purse) == numbers


def test_what_is_asked_of_billing() -> None:
    purse = reloading()
    (request,) = purse.uses("5.25")
    assert request == ReloadRequested(
        org_id="acme",
        org_seq=purse.organization.org_seq,
        at_micros=micros(NOON),
        reload_id=FIRST,
        number=1,
        amount_picousd=usd(20),
        balance_picousd=usd("4.75"),
    )


def test_no_second_reload_is_asked_for_while_one_is_under_way() -> None:
    purse = reloading()
    for _ in range(8):
        purse.uses(1)
    purse.does(rules.adjust, "debit", usd(1))
    purse.does(rules.set_auto_reload, False, usd(5), usd(20), None)
    purse.does(rules.set_auto_reload, True, usd(5), usd(20), None)
    assert asked(purse) == [1]


@pytest.mark.parametrize(("balance", "numbers"), [("5.01", []), (5, [1])])
def test_switched_on_it_looks_at_the_balance_at_once(balance: str | int, numbers: list[int]) -> None:
    purse = Purse()
    purse.does(rules.purchase, "p-1", usd(balance))
    purse.does(rules.set_auto_reload, True, usd(5), usd(20), None)
    assert asked(purse) == numbers


def test_switched_off_it_asks_for_nothing() -> None:
    purse = reloading()
    purse.does(rules.set_auto_reload, False, usd(5), usd(20), None)
    assert kinds(purse.uses(11)) == ["credits.paused"]


def test_whatever_lowers_the_balance_asks() -> None:
    for rule, what in ((rules.adjust, ("debit", usd(5))), (rules.refund, ("r-1", "p-1", usd(5)))):
        purse = reloading()
        purse.does(rule, *what)
        assert asked(purse) == [1]


@pytest.mark.parametrize(
    ("amount", "maximum", "reason"),
    [
        (5, None, "amount_not_above_threshold"),
        (0, None, "amount_not_above_threshold"),
        (20, "19.99", "maximum_below_amount"),
    ],
)
def test_a_reload_that_could_not_help_is_refused(amount: int, maximum: str | None, reason: str) -> None:
    purse = Purse()
    refused(purse, reason, rules.set_auto_reload, True, usd(5), usd(amount), usd(maximum) if maximum else None)
    purse.does(rules.set_auto_reload, False, usd(5), usd(amount), None)


@pytest.mark.parametrize(("amount", "maximum"), [("5.01", "5.01"), ("5.01", None)])
def test_a_reload_that_just_helps_is_taken(amount: str, maximum: str | None) -> None:
    purse = Purse()
    purse.does(rules.set_auto_reload, True, usd(5), usd(amount), usd(maximum) if maximum else None)
    assert asked(purse) == [1]


# Answers.


def test_a_reload_paid_is_a_purchase_and_the_next_one_may_be_asked_for() -> None:
    purse = reloading()
    purse.uses(6)
    purse.settle()
    (entry,) = purse.does(rules.reload_paid, FIRST, "p-2", usd(20))
    assert isinstance(entry, LedgerEntry)
    assert (entry.type, entry.amount_picousd, entry.cause) == (
        "purchase",
        usd(20),
        EntryCause(kind="reload", id=FIRST),
    )
    assert (purse.wallet.balance_picousd, purse.wallet.pending_reload) == (usd(24), None)
    purse.uses(19)
    assert asked(purse) == [1, 2]


def test_after_paid_a_balance_still_at_the_threshold_asks_again() -> None:
    purse = reloading()
    purse.uses(25)
    purse.settle()
    events = purse.does(rules.reload_paid, FIRST, "p-2", usd(20))  # -$15 + $20 = $5
    assert kinds(events) == ["purchase", "credits.resumed", "reload.requested"]
    assert asked(purse) == [1, 2]


def test_what_billing_charged_is_credited_also_where_more_was_asked_for() -> None:
    purse = reloading(maximum=40)
    purse.uses(6)
    purse.does(rules.reload_paid, FIRST, "p-2", usd(15))
    assert (purse.wallet.balance_picousd, purse.wallet.reloaded_picousd) == (usd(19), usd(15))


def test_a_reload_can_be_refunded_like_any_purchase() -> None:
    purse = reloading()
    purse.uses(5)
    purse.does(rules.reload_paid, FIRST, "p-2", usd(20))
    purse.does(rules.refund, "r-1", "p-2", usd(20))
    assert purse.wallet.balance_picousd == usd(5)


def test_failed_suspends_and_owners_are_told_once() -> None:
    purse = reloading()
    purse.uses(6)
    (told,) = purse.does(rules.reload_failed, FIRST)
    assert isinstance(told, AutoReloadSuspended)
    assert (told.reason, told.reload_id) == ("failed", FIRST)
    assert purse.uses(1) == []
    assert purse.waits_until(later(NEXT_NOON, hours=1)) == []


def test_24_hours_without_an_answer_suspend_too() -> None:
    purse = reloading()
    purse.uses(6)
    assert purse.waits_until(later(NEXT_NOON, micros=-1)) == []
    (told,) = purse.waits_until(later(NEXT_NOON, hours=7))
    assert isinstance(told, AutoReloadSuspended)
    assert (told.reason, told.reload_id, told.at_micros) == ("unanswered", FIRST, micros(NEXT_NOON))
    assert purse.uses(1) == []


def test_an_answer_in_time_leaves_nothing_due() -> None:
    purse = reloading()
    purse.uses(6)
    purse.does(rules.reload_paid, FIRST, "p-2", usd(20))
    assert purse.wallet.due_micros is None


@pytest.mark.parametrize("first", ["failed", "unanswered"])
def test_a_late_paid_credits_once_and_ends_the_suspension(first: str) -> None:
    purse = reloading()
    purse.uses(6)
    if first == "failed":
        purse.does(rules.reload_failed, FIRST)
    else:
        purse.waits_until(NEXT_NOON)
    assert kinds(purse.does(rules.reload_paid, FIRST, "p-2", usd(20))) == ["purchase"]
    assert (purse.wallet.balance_picousd, purse.wallet.reload_suspended) == (usd(24), False)
    refused(purse, "reload_answered", rules.reload_paid, FIRST, "p-3", usd(20))


@pytest.mark.parametrize("how", ["switched on", "a purchase"])
def test_a_suspension_ends_by_switching_on_or_a_purchase(how: str) -> None:
    purse = reloading()
    purse.uses(6)
    purse.does(rules.reload_failed, FIRST)
    if how == "switched on":
        purse.does(rules.set_auto_reload, True, usd(5), usd(20), None)
    else:
        purse.does(rules.purchase, "p-2", usd(1))  # $5: at the threshold still
    assert asked(purse) == [1, 2]


def test_a_late_failure_does_not_suspend_what_was_switched_on_again() -> None:
    purse = reloading()
    purse.uses(6)
    purse.waits_until(NEXT_NOON)
    purse.does(rules.set_auto_reload, True, usd(5), usd(20), None)
    assert purse.does(rules.reload_failed, FIRST) == []
    assert (purse.wallet.reload_suspended, purse.wallet.pending_reload_id) == (False, SECOND)


def test_what_fails_after_it_was_switched_off_suspends_nothing() -> None:
    purse = reloading()
    purse.uses(6)
    purse.does(rules.set_auto_reload, False, usd(5), usd(20), None)
    assert purse.does(rules.reload_failed, FIRST) == []
    assert purse.wallet.reload_suspended is False


def test_a_reload_nobody_asked_for_is_refused() -> None:
    purse = reloading()
    refused(purse, "unknown_reload", rules.reload_paid, FIRST, "p-2", usd(20))
    refused(purse, "unknown_reload", rules.reload_failed, FIRST)


def test_a_payment_taken_before_does_not_pay_a_reload_and_no_amount_pays_none() -> None:
    purse = reloading()
    purse.uses(6)
    purse.settle()
    refused(purse, "payment_id_used", rules.reload_paid, FIRST, "p-1", usd(20))
    refused(purse, "amount_is_zero", rules.reload_paid, FIRST, "p-2", 0)
    assert purse.wallet.pending_reload_id == FIRST


@pytest.mark.parametrize(("status", "answer"), [*product(get_args(ReloadStatus), get_args(reloads.Answer))])
def test_every_answer_to_every_status(status: ReloadStatus, answer: reloads.Answer) -> None:
    purse = reloading()
    purse.uses(6)
    reload = purse.wallet.reloads[FIRST]
    reload.status = status
    if (status, answer) in reloads.TRANSITIONS:
        assert reloads.to_answer(purse.wallet, FIRST, answer) is reload
    else:
        with pytest.raises(Refused) as refusal:
            reloads.to_answer(purse.wallet, FIRST, answer)
        assert refusal.value.reason == "reload_answered"
    assert ((status, answer) in reloads.TRANSITIONS) == (
        status == "requested" or (status != "paid" and answer == "paid") or (status, answer) == ("unanswered", "failed")
    )


# A month's maximum.


@pytest.mark.parametrize(("maximum", "numbers"), [("39.99", [1]), (40, [1, 2]), (None, [1, 2])])
def test_a_reload_that_would_exceed_the_months_maximum_is_not_asked_for(
    maximum: str | int | None, numbers: list[int]
) -> None:
    purse = reloading(maximum=maximum)
    purse.uses(6)
    purse.does(rules.reload_paid, FIRST, "p-2", usd(20))
    purse.uses(20)
    assert asked(purse) == numbers


def test_the_next_month_has_room_again_and_is_looked_at_without_any_usage() -> None:
    purse = reloading(maximum=20)
    purse.uses(6)
    purse.does(rules.reload_paid, FIRST, "p-2", usd(20))
    purse.uses(30)
    assert purse.waits_until("2026-05-31T23:59:59.999999Z") == []
    (request,) = purse.waits_until("2026-06-01T00:00:00Z")
    assert isinstance(request, ReloadRequested)
    assert (request.number, request.at_micros) == (2, micros("2026-06-01T00:00:00Z"))


def test_a_failed_reload_takes_no_room_and_one_not_answered_does() -> None:
    purse = reloading(maximum=20)
    purse.uses(6)
    purse.does(rules.reload_failed, FIRST)
    purse.does(rules.set_auto_reload, True, usd(5), usd(20), usd(20))
    assert asked(purse) == [1, 2]
    purse.waits_until(NEXT_NOON)
    purse.does(rules.set_auto_reload, True, usd(5), usd(20), usd(20))
    assert asked(purse) == [1, 2]


def test_a_reload_counts_in_the_month_it_was_asked_for() -> None:
    purse = reloading(maximum=20)
    purse.at = "2026-05-31T23:00:00Z"
    purse.uses(6)
    purse.waits_until("2026-06-01T00:00:00Z")
    purse.does(rules.reload_paid, FIRST, "p-2", usd(20))
    purse.uses(20)
    assert asked(purse) == [1, 2]


# Plans, and instants of long ago.


def test_on_enterprise_it_is_off_and_stays_off_on_the_way_back() -> None:
    purse = reloading()
    purse.moves_to("enterprise")
    purse.moves_to("team")
    assert kinds(purse.uses(10)) == ["credits.paused"]


def test_a_reload_paid_on_enterprise_is_credited() -> None:
    purse = reloading()
    purse.uses(6)
    purse.moves_to("enterprise")
    assert kinds(purse.does(rules.reload_paid, FIRST, "p-2", usd(20))) == ["purchase"]


def test_not_answered_on_enterprise_nobody_is_told() -> None:
    purse = reloading()
    purse.uses(6)
    purse.moves_to("enterprise")
    assert purse.waits_until(NEXT_NOON) == []
    assert purse.wallet.pending_reload is None


def test_redriven_usage_of_long_ago_gives_billing_its_24_hours_all_the_same() -> None:
    purse = reloading()
    purse.wallet.balance_picousd -= usd(6)
    arrived, now = later(NOON, days=-9), NOON
    (request,) = rules.wallet_fell(purse.state, purse.organization, purse.wallet, micros(arrived), None, micros(now))
    assert request.at_micros == micros(arrived)
    assert purse.wallet.due_micros == micros(NEXT_NOON)
