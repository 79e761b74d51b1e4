"""The wallet: what comes in, what burns first, when credits pause, what every entry says (R3, R4, R7, R37a, R38)."""

from typing import Any

import pytest

from pipeline.domain import wallet as rules
from pipeline.domain.booking import Booking
from pipeline.domain.refusals import Refused
from schemas.commands import Actor
from schemas.events import CreditsPaused, CreditsResumed, envelope
from schemas.ledger import EntryCause, LedgerEntry, PurchaseRequested
from schemas.month import Month
from schemas.notifications import BalanceLow
from tests.support.builders import NOON, later, micros
from tests.support.wallets import CROSSING, Purse, kinds, usd

JUNE_BEGINS = "2026-06-01T00:00:00Z"
OWNER = Actor(kind="user", id="owner")


def holding(*purchases: str | int) -> Purse:
    """A Team wallet with so many dollars bought, one lot each: p-1, p-2, …"""
    purse = Purse()
    for number, dollars in enumerate(purchases, 1):
        purse.does(rules.purchase, f"p-{number}", usd(dollars))
    purse.events.clear()
    return purse


def refused(purse: Purse, reason: str, rule: Any, *what: Any) -> None:
    """Refused for that reason, and nothing has changed, not even the sequence."""
    purse.settle()
    purse.state.take_changes()
    before = (purse.wallet.value(), purse.organization.org_seq, len(purse.events))
    with pytest.raises(Refused) as refusal:
        purse.does(rule, *what)
    assert refusal.value.reason == reason
    assert str(refusal.value)
    assert (purse.wallet.value(), purse.organization.org_seq, len(purse.events)) == before
    assert purse.state.take_changes() == {}


# What an entry says.


def test_a_purchase_is_an_entry_with_a_lot_and_the_balance_after_it() -> None:
    purse = holding(10)
    (entry,) = purse.does(rules.purchase, "p-2", usd(5))
    _, lot = purse.lots
    assert entry == LedgerEntry(
        org_id="acme",
        org_seq=4,  # the pause a new team begins with, the first purchase, the resume, and then this
        at_micros=micros(NOON),
        type="purchase",
        account="wallet",
        amount_picousd=usd(5),
        balance_after_picousd=usd(15),
        charge_month=Month(2026, 5),
        lot_id=lot.lot_id,
        cause=EntryCause(kind="command", id="c-3"),
    )
    assert (lot.kind, lot.amount_picousd, lot.rest_picousd, lot.added_seq) == ("paid", usd(5), usd(5), 4)


def test_an_entrys_id_is_that_of_its_envelope_and_survives_the_wire() -> None:
    (entry, _) = Purse().does(rules.purchase, "p", usd(5))
    assert isinstance(entry, LedgerEntry)
    assert envelope(entry)["id"] == entry.entry_id
    assert LedgerEntry.model_validate_json(entry.model_dump_json()) == entry


# Burning.


def test_usage_moves_the_balance_at_once_and_the_lots_when_it_is_settled() -> None:
    purse = holding(10)
    purse.uses(3)
    purse.uses("0.5")
    assert (purse.wallet.balance_picousd, purse.rests()) == (usd("6.50"), [usd(10)])
    (entry,) = purse.settle()
    assert isinstance(entry, LedgerEntry)
    assert (entry.type, entry.amount_picousd, entry.balance_after_picousd) == ("burn", -usd("3.50"), usd("6.50"))
    assert (purse.wallet.balance_picousd, purse.rests()) == (usd("6.50"), [usd("6.50")])


def test_a_burn_has_the_number_of_the_last_row_in_it_and_takes_none() -> None:
    purse = holding(10)
    purse.uses(1)
    purse.uses(1)
    last_row = purse.organization.org_seq
    (entry,) = purse.settle()
    assert entry.org_seq == purse.organization.org_seq == last_row


def test_a_burn_is_an_entry_per_charge_month_and_lot() -> None:
    purse = holding(4, 6)
    first, second = purse.lots
    purse.uses(5, month="2026-05")
    purse.uses(3, month="2026-04")  # late usage of a month not closed; settled first, months in order
    entries = purse.settle()
    assert [
        (str(entry.charge_month), entry.lot_id, entry.amount_picousd, entry.balance_after_picousd)
        for entry in entries
        if isinstance(entry, LedgerEntry)
    ] == [
        ("2026-04", first.lot_id, -usd(3), usd(7)),
        ("2026-05", first.lot_id, -usd(1), usd(6)),
        ("2026-05", second.lot_id, -usd(4), usd(2)),
    ]
    assert len({entry.entry_id for entry in entries if isinstance(entry, LedgerEntry)}) == 3


def test_where_chunks_end_changes_neither_lots_nor_numbers_nor_what_products_are_told() -> None:
    def lived(settled_each_time: bool) -> Purse:
        purse = holding(2, 3)
        purse.does(rules.set_notice, usd(1))
        for _ in range(6):
            purse.uses("0.9")
            if settled_each_time:
                purse.settle()
        purse.settle()
        return purse

    often, once = lived(True), lived(False)
    assert often.rests() == once.rests()
    assert often.organization.org_seq == once.organization.org_seq
    for kind in (CreditsPaused, BalanceLow):
        assert often.told(kind) == once.told(kind) != []


def test_usage_that_costs_nothing_burns_nothing() -> None:
    purse = holding(1)
    purse.uses(0)
    assert purse.settle() == []


def test_usage_given_to_be_burnt_that_the_balance_did_not_lose_stops_the_ledger() -> None:
    purse = holding(1)
    purse.unburnt["2026-05"] = usd("0.01")
    with pytest.raises(AssertionError, match="left unburnt"):
        purse.settle()


def test_usage_left_unburnt_stops_the_ledger_too() -> None:
    purse = holding(1)
    purse.uses("0.01")
    purse.unburnt.clear()
    with pytest.raises(AssertionError, match="left unburnt"):
        purse.does(rules.purchase, "p-2", usd(1))


# The order of burning.


def test_what_expires_first_burns_first_whenever_it_was_added() -> None:
    purse = holding(10)
    purse.does(rules.grant, usd(1), micros("2026-08-01T00:00:00Z"))
    purse.does(rules.grant, usd(2), micros("2026-07-01T00:00:00Z"))
    purse.does(rules.grant, usd(3), None)
    assert purse.rests() == [usd(2), usd(1), usd(3), usd(10)]
    purse.uses("2.5")
    purse.settle()
    assert purse.rests() == [usd("0.50"), usd(3), usd(10)]


# Debt.


def test_the_last_event_is_charged_in_full_and_what_no_lot_covers_is_debt() -> None:
    purse = holding(1)
    (lot,) = purse.lots
    purse.uses("1.25")
    purse.settle()
    assert [(entry.lot_id, entry.amount_picousd, entry.balance_after_picousd) for entry in purse.entries] == [
        (lot.lot_id, -usd(1), 0),
        (None, -usd("0.25"), -usd("0.25")),
    ]
    assert (purse.wallet.balance_picousd, purse.rests()) == (-usd("0.25"), [])


@pytest.mark.parametrize(
    ("dollars", "balance", "rests"),
    [("0.24", "-0.01", []), ("0.25", 0, []), ("0.26", "0.01", ["0.01"]), (10, "9.75", ["9.75"])],
)
def test_the_next_credit_nets_a_debt_first(dollars: str | int, balance: str | int, rests: list[str]) -> None:
    purse = holding(1)
    purse.uses("1.25")
    purse.does(rules.purchase, "p-2", usd(dollars))
    assert purse.wallet.balance_picousd == usd(balance)
    assert purse.rests() == [usd(rest) for rest in rests]


def test_what_netted_a_debt_is_burnt_and_cannot_be_refunded() -> None:
    purse = holding(1)
    purse.uses("1.25")
    purse.does(rules.purchase, "p-2", usd(5))
    refused(purse, "more_than_unburnt", rules.refund, "r-1", "p-2", usd("4.76"))
    purse.does(rules.refund, "r-1", "p-2", usd("4.75"))
    assert purse.wallet.balance_picousd == 0


# Pause and resume.


def test_a_new_team_pauses_until_it_buys() -> None:
    purse = Purse()
    (paused,) = purse.told(CreditsPaused)
    assert (paused.pause_number, paused.balance_picousd, paused.crossing) == (1, 0, None)
    events = purse.does(rules.purchase, "p-1", usd(10))
    assert kinds(events) == ["purchase", "credits.resumed"]
    assert (purse.wallet.paused, purse.wallet.pause_number) == (False, 1)


@pytest.mark.parametrize(("dollars", "pauses"), [("9.99", 0), (10, 1), ("10.01", 1)])
def test_a_balance_of_0_or_less_pauses(dollars: str | int, pauses: int) -> None:
    purse = holding(10)
    purse.uses(dollars)
    assert [(event.pause_number, event.balance_picousd) for event in purse.told(CreditsPaused)] == [
        (2, usd(10) - usd(dollars))
    ] * pauses


def test_a_pause_is_told_once_and_by_the_event_that_reached_it() -> None:
    purse = holding(1)
    assert purse.uses("0.5") == []
    (paused,) = purse.uses("0.5")
    assert isinstance(paused, CreditsPaused)
    assert (paused.org_seq, paused.crossing) == (purse.organization.org_seq, CROSSING)
    assert purse.uses("0.5") == purse.uses("0.5") == []
    assert kinds(purse.settle()) == ["burn", "burn"]


@pytest.mark.parametrize(("dollars", "resumed"), [("0.50", False), ("0.51", True)])
def test_a_pause_ends_above_0_whatever_raised_the_balance(dollars: str | int, resumed: bool) -> None:
    for rule, what in (
        (rules.purchase, ("p-2", usd(dollars))),
        (rules.grant, (usd(dollars), None)),
        (rules.adjust, ("credit", usd(dollars))),
        (rules.correct, (usd(dollars), "2026-05")),
    ):
        purse = holding(1)
        purse.uses("1.5")
        purse.does(rule, *what)
        assert [event.pause_number for event in purse.told(CreditsResumed)] == [2] * resumed
        assert purse.wallet.paused is not resumed


def test_month_end_does_not_end_a_pause() -> None:
    purse = holding(1)
    purse.uses(1)
    assert purse.waits_until(later(JUNE_BEGINS, days=2)) == []
    assert purse.wallet.paused


def test_the_next_pause_has_the_next_number() -> None:
    purse = holding(1)
    purse.uses(1)
    purse.does(rules.purchase, "p-2", usd(1))
    purse.uses(1)
    assert [event.pause_number for event in purse.told(CreditsPaused)] == [2, 3]


# Refunds, adjustments, corrections.


def test_a_refund_takes_the_unburnt_rest_of_its_own_purchase() -> None:
    purse = holding(10, 20)
    purse.uses(4)
    refused(purse, "more_than_unburnt", rules.refund, "r-1", "p-1", usd("6.01"))
    (entry,) = purse.does(rules.refund, "r-1", "p-1", usd(6))
    assert isinstance(entry, LedgerEntry)
    assert (entry.type, entry.amount_picousd, entry.balance_after_picousd) == ("refund", -usd(6), usd(20))
    assert purse.rests() == [usd(20)]
    assert purse.wallet.payments["p-1"].refunded_picousd == usd(6)


def test_a_purchase_may_be_refunded_in_parts_up_to_its_rest() -> None:
    purse = holding(10)
    purse.does(rules.refund, "r-1", "p-1", usd(4))
    refused(purse, "more_than_unburnt", rules.refund, "r-2", "p-1", usd("6.01"))
    purse.does(rules.refund, "r-2", "p-1", usd(6))
    assert kinds(purse.events)[-2:] == ["refund", "credits.paused"]
    refused(purse, "more_than_unburnt", rules.refund, "r-3", "p-1", usd("0.01"))


def test_only_a_purchase_can_be_refunded() -> None:
    purse = holding(10)
    purse.does(rules.refund, "r-1", "p-1", usd(1))
    refused(purse, "unknown_payment", rules.refund, "r-2", "p-9", usd(1))
    refused(purse, "unknown_payment", rules.refund, "r-2", "r-1", usd(1))


def test_a_payment_id_is_used_once_for_ever_whatever_for() -> None:
    purse = holding(10)
    purse.does(rules.refund, "r-1", "p-1", usd(10))
    for used in ("p-1", "r-1"):
        refused(purse, "payment_id_used", rules.purchase, used, usd(10))
        refused(purse, "payment_id_used", rules.refund, used, "p-1", usd(1))


@pytest.mark.parametrize(
    ("rule", "what"),
    [
        (rules.purchase, ("p-2", 0)),
        (rules.grant, (0, None)),
        (rules.refund, ("r-1", "p-1", 0)),
        (rules.adjust, ("credit", 0)),
        (rules.adjust, ("debit", 0)),
        (rules.request_purchase, (0, "c", OWNER)),
    ],
)
def test_an_amount_of_0_is_refused(rule: Any, what: tuple[Any, ...]) -> None:
    refused(holding(10), "amount_is_zero", rule, *what)


def test_a_chargeback_takes_from_lots_in_order_and_may_go_below_zero() -> None:
    purse = holding(1)
    purse.does(rules.grant, usd(2), None)
    promotional, paid = purse.lots
    events = purse.does(rules.adjust, "debit", usd(5))
    assert [
        (entry.lot_id, entry.amount_picousd, entry.balance_after_picousd)
        for entry in events
        if isinstance(entry, LedgerEntry)
    ] == [(promotional.lot_id, -usd(2), usd(1)), (paid.lot_id, -usd(1), 0), (None, -usd(2), -usd(2))]
    assert kinds(events) == ["adjust", "adjust", "adjust", "credits.paused"]
    assert [event.org_seq for event in events] == list(range(events[0].org_seq, events[0].org_seq + 4))


def test_a_correction_gives_back_as_a_burn_of_its_charge_month_in_a_lot_of_its_own() -> None:
    purse = holding(10)
    purse.uses(4, month="2026-04")
    purse.settle()
    purse.organization.next_seq()  # the correction's rows
    (entry,) = purse.does(rules.correct, usd(1), "2026-04")
    assert isinstance(entry, LedgerEntry)
    assert (entry.type, entry.amount_picousd, str(entry.charge_month)) == ("burn", usd(1), "2026-04")
    assert entry.org_seq == purse.organization.org_seq
    burnt = sum(entry.amount_picousd for entry in purse.entries if str(entry.charge_month) == "2026-04")
    assert burnt == -usd(3)  # R41: what April's rows cost, to the last picodollar
    assert [(lot.kind, lot.rest_picousd) for lot in purse.lots] == [("paid", usd(6)), ("correction", usd(1))]
    refused(purse, "more_than_unburnt", rules.refund, "r-1", "p-1", usd("6.01"))


# Expiry.


def test_a_lot_expires_at_its_instant_and_only_what_is_unburnt() -> None:
    purse = holding(10)
    purse.does(rules.grant, usd(5), micros(JUNE_BEGINS))
    purse.uses(2)
    assert purse.waits_until(later(JUNE_BEGINS, micros=-1)) == []
    (entry,) = purse.waits_until(JUNE_BEGINS)
    assert isinstance(entry, LedgerEntry)
    assert (entry.type, entry.amount_picousd, entry.balance_after_picousd) == ("expiry", -usd(3), usd(10))
    # The first instant of a month is that month's.
    assert (entry.at_micros, str(entry.charge_month)) == (micros(JUNE_BEGINS), "2026-06")
    assert entry.cause == EntryCause(kind="expiry", id=entry.lot_id or "")


def test_what_is_burnt_does_not_expire() -> None:
    purse = holding(10)
    purse.does(rules.grant, usd(5), micros(JUNE_BEGINS))
    purse.uses(5)
    purse.settle()
    assert purse.wallet.due_micros is None
    assert purse.waits_until(later(JUNE_BEGINS, days=1)) == []


def test_paid_credits_never_expire() -> None:
    assert holding(10).wallet.due_micros is None


def test_the_last_lot_to_expire_pauses() -> None:
    purse = Purse()
    purse.does(rules.grant, usd(5), micros(JUNE_BEGINS))
    assert kinds(purse.waits_until(JUNE_BEGINS)) == ["expiry", "credits.paused"]


def test_lots_of_one_instant_expire_together_and_others_at_their_own() -> None:
    purse = holding(1)
    june_2 = later(JUNE_BEGINS, days=1)
    for dollars, expires in ((1, june_2), (2, JUNE_BEGINS), (3, june_2)):
        purse.does(rules.grant, usd(dollars), micros(expires))
    purse.events.clear()
    purse.waits_until(later(JUNE_BEGINS, days=9))
    assert [(entry.at_micros, entry.amount_picousd) for entry in purse.entries] == [
        (micros(JUNE_BEGINS), -usd(2)),
        (micros(june_2), -usd(1)),
        (micros(june_2), -usd(3)),
    ]


@pytest.mark.parametrize("micros_before", [0, 1])
def test_what_has_expired_is_not_granted(micros_before: int) -> None:
    refused(holding(1), "already_expired", rules.grant, usd(1), micros(NOON) - micros_before)


# Notices.


def test_a_low_balance_is_told_once_at_its_threshold() -> None:
    purse = holding(10)
    purse.does(rules.set_notice, usd(4))
    assert purse.uses("5.99") == []
    (low,) = purse.uses("0.01")
    assert isinstance(low, BalanceLow)
    assert (low.balance_picousd, low.threshold_picousd) == (usd(4), usd(4))
    assert purse.uses(1) == []


def test_one_event_that_does_it_all_pauses_first_and_tells_last() -> None:
    purse = holding(10)
    purse.does(rules.set_notice, usd(4))
    purse.does(rules.set_auto_reload, True, usd(3), usd(20), None)
    assert kinds(purse.uses(11)) == ["credits.paused", "balance.low", "reload.requested"]


@pytest.mark.parametrize(("dollars", "told"), [(1, 1), ("1.01", 2)])
def test_it_is_told_again_only_after_the_balance_was_above_it(dollars: str | int, told: int) -> None:
    purse = holding(10)
    purse.does(rules.set_notice, usd(4))
    purse.uses(7)
    purse.does(rules.purchase, "p-2", usd(dollars))
    purse.uses("0.01")
    assert len(purse.told(BalanceLow)) == told


@pytest.mark.parametrize(("threshold", "told"), [("9.99", 1), (10, 0), (11, 0)])
def test_a_notice_set_where_the_balance_is_already_is_not_told(threshold: str | int, told: int) -> None:
    purse = holding(10)
    assert purse.does(rules.set_notice, usd(threshold)) == []
    purse.uses("0.01")
    assert len(purse.told(BalanceLow)) == told


def test_a_notice_taken_back_is_told_no_more() -> None:
    purse = holding(10)
    purse.does(rules.set_notice, usd(4))
    purse.does(rules.set_notice, None)
    assert purse.uses(9) == []


# Plans, invoices, the end.


def test_to_enterprise_the_pause_ends_and_the_balance_stays_for_the_way_back() -> None:
    purse = holding(1)
    purse.uses("1.5")
    assert kinds(purse.moves_to("enterprise")) == ["credits.resumed"]
    assert purse.wallet.balance_picousd == -usd("0.5")
    assert kinds(purse.moves_to("team")) == ["credits.paused"]
    assert purse.wallet.pause_number == 3


def test_a_balance_survives_enterprise_and_nothing_is_told_of_it_there() -> None:
    purse = holding(10)
    purse.does(rules.set_notice, usd(4))
    assert purse.moves_to("enterprise") == []
    purse.does(rules.adjust, "debit", usd(7))
    assert purse.told(BalanceLow) == []
    assert kinds(purse.moves_to("team")) == []  # low already: whoever set the notice sees it
    assert purse.rests() == [usd(3)]


@pytest.mark.parametrize(
    ("rule", "what"),
    [
        (rules.set_notice, (usd(1),)),
        (rules.set_auto_reload, (True, usd(1), usd(2), None)),
        (rules.request_purchase, (usd(1), "c", OWNER)),
    ],
)
def test_on_enterprise_there_is_no_balance_to_fill(rule: Any, what: tuple[Any, ...]) -> None:
    refused(Purse(plan="enterprise"), "not_on_enterprise", rule, *what)


def test_a_payment_that_is_in_is_credited_on_enterprise_too() -> None:
    purse = Purse(plan="enterprise")
    assert kinds(purse.does(rules.purchase, "p-1", usd(5))) == ["purchase"]
    assert purse.wallet.balance_picousd == usd(5)


@pytest.mark.parametrize(
    ("balance", "total", "moved"), [(10, 4, -4), (10, 10, -10), (10, 25, -10), (-3, 25, 3), (-3, 0, 3), (0, 5, 0)]
)
def test_an_invoice_takes_the_balance_up_to_its_total_and_a_debt_whole(balance: int, total: int, moved: int) -> None:
    purse = Purse(plan="enterprise")
    if balance:
        purse.does(rules.adjust, "credit" if balance > 0 else "debit", usd(abs(balance)))
    purse.events.clear()
    purse.does(rules.offset_invoice, usd(total))
    assert sum(entry.amount_picousd for entry in purse.entries if entry.type == "offset") == usd(moved)
    assert purse.wallet.balance_picousd == usd(balance) + usd(moved)


def test_buying_asks_billing_and_credits_nothing() -> None:
    purse = holding(1)
    (asked,) = purse.does(rules.request_purchase, usd(50), "c-9", OWNER)
    (again,) = purse.does(rules.request_purchase, usd(50), "c-10", OWNER)
    assert isinstance(asked, PurchaseRequested)
    assert isinstance(again, PurchaseRequested)
    assert asked.purchase_id != again.purchase_id
    assert (asked.amount_picousd, purse.wallet.balance_picousd) == (usd(50), usd(1))


def test_closing_refunds_what_is_paid_and_unburnt_and_nothing_else() -> None:
    purse = holding(10, 20)
    purse.does(rules.grant, usd(5), None)
    purse.uses(8)
    purse.settle()
    purse.events.clear()
    purse.does(rules.close)
    assert purse.moved() == [("refund", -usd(7)), ("refund", -usd(20))]
    assert purse.wallet.balance_picousd == 0
    purse = holding(10)
    purse.does(rules.grant, usd(5), None)
    purse.does(rules.close)
    assert purse.rests() == [usd(5)]


def test_the_watch_is_what_is_to_be_looked_at_first() -> None:
    purse = holding(10)
    assert purse.wallet.watch_picousd == 0
    purse.does(rules.set_notice, usd(2))
    purse.does(rules.set_auto_reload, True, usd(5), usd(20), None)
    assert purse.wallet.watch_picousd == usd(5)
    purse.uses(6)  # a reload is under way
    assert purse.wallet.watch_picousd == usd(2)
    purse.uses(2)  # the notice is told
    assert purse.wallet.watch_picousd == 0
    purse.uses(2)
    assert purse.wallet.watch_picousd == rules.NEVER_PICOUSD


def test_a_wallet_nobody_has_set_the_watch_of_is_looked_at() -> None:
    purse = holding(10)
    purse.wallet.watch_picousd = type(purse.wallet)(org_id="x").watch_picousd
    assert purse.uses(1) == []
    assert purse.wallet.watch_picousd == 0


def test_an_entry_without_a_cause_is_a_bug() -> None:
    purse = Purse()
    with pytest.raises(AssertionError, match="without a cause"):
        rules.purchase(Booking(purse.state, purse.organization, purse.wallet, micros(NOON)), "p", usd(1))
