"""Spend limits: who crosses, what is published, who is paused, and when that ends (R19-R29). A search costs a cent."""

import pytest

from schemas.events import Crossing, LimitBreached, LimitResumed
from schemas.month import Month
from tests.support.builders import CENT_PICOUSD as CENT
from tests.support.builders import DOLLAR_PICOUSD as DOLLAR
from tests.support.builders import add_member, event, later, micros, searches, set_credits, set_limit
from tests.support.ledger import LedgerInMemory, acme

MAY = Month(2026, 5)
JUNE = Month(2026, 6)
JUNE_BEGINS = "2026-06-01T00:00:00Z"
MAY_CLOSES = "2026-06-04T00:00:00Z"


def limited(usd: str | None) -> LedgerInMemory:
    ledger = acme()
    ledger.commands(set_limit(usd), at="2026-05-01T00:00:01Z")
    return ledger


def after_pause(ledger: LedgerInMemory) -> dict[str, bool]:
    return {row.event_id: row.after_pause for row in ledger.rows}


# Crossing.


def test_a_cent_below_the_limit_nothing_happens() -> None:
    ledger = limited("1.00")
    ledger.usage(searches("a", 99))
    assert ledger.limit_events == []


def test_spend_that_reaches_the_limit_is_a_breach() -> None:
    ledger = limited("1.00")
    ledger.usage(searches("a", 99), searches("b", 1))
    (breach,) = ledger.breaches
    assert breach.spend_picousd == breach.limit_picousd == DOLLAR
    assert breach.overshoot_picousd == 0


def test_the_event_that_crosses_is_charged_in_full_and_what_went_over_is_on_the_breach() -> None:
    ledger = limited("1.00")
    ledger.usage(searches("a", 90), searches("b", 25, source="chat"), searches("c", 5))
    assert [row.cost_picousd for row in ledger.rows] == [90 * CENT, 25 * CENT, 5 * CENT]
    (breach,) = ledger.breaches
    assert breach == LimitBreached(
        org_id="acme",
        org_seq=9,  # three commands of the setup, the limit, a row, its notices at 50 and 80 %, a row, and then this
        at_micros=micros("2026-05-10T12:00:00Z"),
        scope={"kind": "organization"},
        month=MAY,
        limit_version=1,
        episode=1,
        limit_picousd=100 * CENT,
        spend_picousd=115 * CENT,
        overshoot_picousd=15 * CENT,
        cause="usage",
        crossing=Crossing(event_id="b", source="chat", input_partition=0, input_offset=1, input_index=0),
        paused_from_micros=micros("2026-05-10T12:00:00Z"),
        paused_until_micros=micros(JUNE_BEGINS),
    )


def test_everybody_is_paused_from_the_breach_on_and_no_sooner() -> None:
    """The breach lies before the first usage it marks, in one chunk and in one record too (R29)."""
    ledger = limited("1.00")
    ledger.commands(add_member("bob"))
    ledger.usage([searches("a", 100), searches("b", 1, user_id="bob")], searches("c", 1))
    assert after_pause(ledger) == {"a": False, "b": True, "c": True}
    crossing, *later_rows = ledger.rows
    (breach,) = ledger.breaches
    assert crossing.org_seq < breach.org_seq < min(row.org_seq for row in later_rows)
    assert ledger.spend_picousd("organization_month", "acme", "2026-05") == 102 * CENT


def test_however_much_follows_a_breach_is_published_once() -> None:
    ledger = limited("1.00")
    ledger.usage(*(searches(f"e-{number}", 60) for number in range(5)))
    ledger.restart()
    ledger.usage(searches("once-more", 60), searches("e-1", 60), at="2026-05-20T00:00:00Z")
    assert len(ledger.breaches) == 1


def test_included_usage_neither_counts_nor_is_paused() -> None:
    ledger = limited("1.00")
    ledger.usage(searches("a", 500, funding="included"), searches("b", 100), searches("c", 500, funding="included"))
    (breach,) = ledger.breaches
    assert breach.spend_picousd == 100 * CENT
    assert after_pause(ledger) == {"a": False, "b": False, "c": False}
    assert ledger.cell("organization_month", "acme", "2026-05")["included_picousd"] == str(1_000 * CENT)


def test_usage_while_credits_are_off_is_charged_and_marked() -> None:
    ledger = acme()
    ledger.commands(set_credits(False, command_id="off"))
    ledger.usage(searches("a", 5), searches("b", 5, funding="included"))
    ledger.commands(set_credits(True, command_id="on"))
    ledger.usage(searches("c", 5))
    assert after_pause(ledger) == {"a": True, "b": False, "c": False}
    assert ledger.spend_picousd("organization_month", "acme", "2026-05") == 10 * CENT


def test_without_a_limit_nothing_is_ever_breached() -> None:
    ledger = limited(None)
    ledger.usage(searches("a", 100_000))
    assert ledger.limit_events == []


# Changing a limit.


def test_a_raised_limit_resumes_and_the_next_breach_is_another_episode() -> None:
    ledger = limited("1.00")
    ledger.usage(searches("a", 100))
    ledger.commands(set_limit("1.50"))
    ledger.usage(searches("b", 49), searches("c", 1), searches("d", 1))
    first, resumed, second = ledger.limit_events
    assert isinstance(first, LimitBreached)
    assert (first.limit_version, first.episode) == (1, 1)
    assert isinstance(resumed, LimitResumed)
    assert (resumed.limit_version, resumed.episode) == (2, 1)
    assert (resumed.limit_picousd, resumed.spend_picousd) == (150 * CENT, 100 * CENT)
    assert isinstance(second, LimitBreached)
    assert (second.limit_version, second.episode) == (2, 2)
    assert after_pause(ledger) == {"a": False, "b": False, "c": False, "d": True}


def test_a_lifted_limit_resumes_too() -> None:
    ledger = limited("1.00")
    ledger.usage(searches("a", 100))
    ledger.commands(set_limit(None))
    ledger.usage(searches("b", 500))
    (resumed,) = ledger.resumes
    assert resumed.limit_picousd is None
    assert after_pause(ledger) == {"a": False, "b": False}
    assert len(ledger.breaches) == 1


@pytest.mark.parametrize(("usd", "breached"), [("1.01", False), ("1.00", True), ("0.99", True)])
def test_a_lowered_limit_acts_at_once(usd: str, breached: bool) -> None:
    ledger = limited("5")
    ledger.usage(searches("a", 100))
    ledger.commands(set_limit(usd), at="2026-05-12T00:00:00Z")
    assert len(ledger.breaches) == breached
    for breach in ledger.breaches:
        assert (breach.cause, breach.crossing, breach.limit_version) == ("limit_changed", None, 2)
        assert breach.overshoot_picousd == 100 * CENT - breach.limit_picousd
        assert breach.paused_from_micros == micros("2026-05-12T00:00:00Z")
    ledger.usage(searches("b", 0))
    assert after_pause(ledger)["b"] is breached


def test_changed_but_still_reached_is_a_breach_of_the_new_version_without_a_resume() -> None:
    ledger = limited("1")
    ledger.usage(searches("a", 300))
    ledger.commands(set_limit("2"), set_limit("0.50"))
    assert ledger.resumes == []
    assert [(breach.limit_version, breach.episode) for breach in ledger.breaches] == [(1, 1), (2, 1), (3, 1)]
    assert [breach.overshoot_picousd for breach in ledger.breaches] == [200 * CENT, 100 * CENT, 250 * CENT]


def test_setting_the_same_limit_again_changes_nothing() -> None:
    ledger = limited("1")
    ledger.usage(searches("a", 100))
    ledger.commands(set_limit("1.00", command_id="again"), set_limit("1.0", command_id="and again"))
    assert len(ledger.limit_events) == 1
    assert ledger.cell("organization", "acme")["limit_version"] == 1


def test_a_limit_that_is_not_reached_changes_without_an_event() -> None:
    ledger = limited("5")
    ledger.usage(searches("a", 100))
    ledger.commands(set_limit("6"), set_limit(None), set_limit("7"))
    assert ledger.limit_events == []
    assert ledger.cell("organization", "acme")["limit_version"] == 4


def test_every_published_event_has_an_id_of_its_own_and_the_same_one_on_any_day() -> None:
    ids = []
    for _ in range(2):
        ledger = limited("1")
        ledger.usage(searches("a", 300))
        ledger.commands(set_limit("2"), set_limit("5"), set_limit("1", command_id="back"), set_limit(None))
        ids.append([envelope["id"] for envelope in ledger.envelopes("limit-breaches")])
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == len(ids[0]) == 5


# A limit of 0.


def test_a_limit_of_nothing_is_breached_when_it_is_set() -> None:
    ledger = limited("0")
    (breach,) = ledger.breaches
    assert (breach.spend_picousd, breach.overshoot_picousd, breach.cause) == (0, 0, "limit_changed")
    ledger.usage(searches("a", 1))
    assert after_pause(ledger) == {"a": True}
    assert len(ledger.breaches) == 1


def test_in_later_months_a_limit_of_nothing_is_breached_by_the_first_charged_event() -> None:
    ledger = limited("0")
    ledger.wait_until(JUNE_BEGINS)
    assert len(ledger.breaches) == 1
    ledger.usage(searches("included", 5, funding="included", occurred_at=JUNE_BEGINS), at=JUNE_BEGINS)
    assert len(ledger.breaches) == 1
    ledger.usage(searches("a", 5, occurred_at=JUNE_BEGINS), at=JUNE_BEGINS)
    _, breach = ledger.breaches
    assert (breach.month, breach.overshoot_picousd, breach.cause) == (JUNE, 5 * CENT, "usage")


# Months.


def test_the_next_month_begins_unpaused_and_without_a_resume() -> None:
    ledger = limited("1")
    last, first = later(JUNE_BEGINS, micros=-1000), JUNE_BEGINS
    ledger.usage(searches("a", 100))
    ledger.usage(searches("last-of-may", 1, occurred_at=last), at=last)
    ledger.usage(searches("first-of-june", 1, occurred_at=first), at=first)
    assert after_pause(ledger) == {"a": False, "last-of-may": True, "first-of-june": False}
    assert len(ledger.limit_events) == 1
    ledger.usage(searches("b", 99, occurred_at=first), at=first)
    assert [breach.month for breach in ledger.breaches] == [MAY, JUNE]


def test_late_usage_of_an_ended_month_adds_to_it_and_publishes_nothing() -> None:
    """The organisation's spend of May passes its limit in June: no breach, and June goes on (R19)."""
    ledger = limited("1")
    ledger.usage(searches("a", 99))
    ledger.usage(searches("late", 50), searches("b", 1, occurred_at=JUNE_BEGINS), at=JUNE_BEGINS)
    assert ledger.limit_events == []
    assert ledger.spend_picousd("organization_month", "acme", "2026-05") == 149 * CENT
    assert ledger.spend_picousd("organization_month", "acme", "2026-06") == 1 * CENT
    assert after_pause(ledger) == {"a": False, "late": False, "b": False}


def test_a_limit_changed_in_june_says_nothing_of_may() -> None:
    ledger = limited("1")
    ledger.usage(searches("a", 100))
    ledger.commands(set_limit("5"), set_limit("0.50"), at=JUNE_BEGINS)
    assert len(ledger.limit_events) == 1


def test_late_usage_while_the_month_that_runs_is_paused_is_marked() -> None:
    """Pauses are those of the moment it is processed (R20a)."""
    ledger = limited("1")
    ledger.usage(searches("june", 100, occurred_at=JUNE_BEGINS), searches("late", 1), at=JUNE_BEGINS)
    assert after_pause(ledger) == {"june": False, "late": True}


def test_usage_of_a_month_not_begun_counts_there_and_pauses_nobody_before_it_begins() -> None:
    """A product's clock runs five minutes ahead over the month's end (R19)."""
    ledger = limited("1")
    minute_before = later(JUNE_BEGINS, minutes=-1)
    ledger.usage(
        searches("early", 100, occurred_at=JUNE_BEGINS), searches("now", 1, occurred_at=minute_before), at=minute_before
    )
    (breach,) = ledger.breaches
    assert (breach.month, breach.at_micros) == (JUNE, micros(minute_before))
    assert breach.paused_from_micros == micros(JUNE_BEGINS)
    assert breach.paused_until_micros == micros("2026-07-01T00:00:00Z")
    ledger.usage(searches("then", 1, occurred_at=JUNE_BEGINS), at=JUNE_BEGINS)
    assert after_pause(ledger) == {"early": False, "now": False, "then": True}
    assert ledger.spend_picousd("organization_month", "acme", "2026-05") == 1 * CENT


def test_a_limit_raised_before_a_breached_month_begins_resumes_it() -> None:
    ledger = limited("1")
    minute_before = later(JUNE_BEGINS, minutes=-1)
    ledger.usage(searches("early", 100, occurred_at=JUNE_BEGINS), at=minute_before)
    ledger.commands(set_limit("2"), at=minute_before)
    (resumed,) = ledger.resumes
    assert resumed.month == JUNE
    ledger.usage(searches("then", 1, occurred_at=JUNE_BEGINS), at=JUNE_BEGINS)
    assert after_pause(ledger)["then"] is False


# Closed months.


@pytest.mark.parametrize(
    ("arrives", "charge_month"), [(later(MAY_CLOSES, micros=-1000), MAY), (MAY_CLOSES, JUNE)], ids=["open", "closed"]
)
def test_late_usage_counts_in_its_month_until_that_is_closed(arrives: str, charge_month: Month) -> None:
    ledger = limited("1")
    ledger.wait_until(arrives)
    ledger.usage(searches("late", 70), at=arrives)
    (row,) = ledger.rows
    assert (row.usage_month, row.charge_month) == (MAY, charge_month)
    assert row.after_pause is False
    spend = {month: ledger.spend_picousd("organization_month", "acme", month) for month in ("2026-05", "2026-06")}
    assert spend == {"2026-05": 70 * CENT if charge_month == MAY else 0, "2026-06": 0}


def test_prior_period_usage_counts_toward_no_limit() -> None:
    ledger = limited("1")
    ledger.wait_until(MAY_CLOSES)
    ledger.usage(searches("late", 5_000), event("june", occurred_at=MAY_CLOSES), at=MAY_CLOSES)
    assert ledger.limit_events == []
    assert ledger.cell("organization_month", "acme", "2026-06")["prior_period_picousd"] == str(50 * DOLLAR)
    for key in (("tier_month", "acme", "2026-06", "standard"), ("member_month", "acme", "ann", "2026-06")):
        assert ledger.spend_picousd(*key) == 0


def test_prior_period_usage_while_paused_is_marked() -> None:
    ledger = limited("1")
    ledger.wait_until(MAY_CLOSES)
    ledger.usage(searches("june", 100, occurred_at=MAY_CLOSES), searches("late", 5), at=MAY_CLOSES)
    assert after_pause(ledger) == {"june": False, "late": True}
