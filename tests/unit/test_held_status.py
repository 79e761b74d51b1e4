"""Credit status under load: decisions are told at once, spend alone within ten seconds, a share of it a chunk (R34)."""

import json
from typing import Any

import pytest

from pipeline.domain.status import TOLD_AT_ONCE
from pipeline.engine.contract import Effects
from tests.support.builders import NOON, add_member, command, later, searches, set_limit
from tests.support.ledger import LedgerInMemory, acme


def member(ledger: LedgerInMemory, user_id: str) -> dict[str, Any]:
    """The record a product has of a member."""
    found: dict[str, Any] = json.loads(ledger.latest["credit-status"][f'["member","acme","{user_id}"]'.encode()])
    return found


def limited(usd: str) -> LedgerInMemory:
    ledger = acme()
    ledger.commands(
        add_member("bob"), command("set_user_limit", command_id="limit", user_id="ann", limit_usd=usd), at=NOON
    )
    return ledger


def test_spend_that_is_held_back_is_told_within_ten_seconds_also_while_others_are_busy() -> None:
    ledger = limited("100")
    ledger.usage(searches("a", 400), at=later(NOON, seconds=1))  # $4, and told: nothing was before
    ledger.usage(searches("b", 400), at=later(NOON, seconds=2))  # $8: 4 % of the limit more
    assert member(ledger, "ann")["spend_picousd"] == str(4 * 10**12)
    for second in range(3, 12):
        ledger.usage(searches(f"others-{second}", 1, user_id="bob"), at=later(NOON, seconds=second))
    assert member(ledger, "ann")["spend_picousd"] == str(4 * 10**12)
    ledger.usage(searches("others", 1, user_id="bob"), at=later(NOON, seconds=12))
    assert member(ledger, "ann")["spend_picousd"] == str(8 * 10**12)


def test_a_twentieth_of_the_limit_is_told_at_once() -> None:
    ledger = limited("100")
    ledger.usage(searches("a", 400), at=later(NOON, seconds=1))
    ledger.usage(searches("b", 500), at=later(NOON, seconds=2))
    assert member(ledger, "ann")["spend_picousd"] == str(9 * 10**12)


def test_what_was_charged_to_a_month_not_begun_is_told_when_it_begins() -> None:
    """A clock that is ahead: the breach was published, and admission must deny from the month's first instant."""
    june = "2026-06-01T00:00:00Z"
    ledger = limited("1")
    ledger.commands(set_limit("1000"), at=NOON)
    ledger.usage(searches("early", 200, occurred_at=june), at="2026-05-31T23:58:00Z")
    assert [breach.paused_from_micros for breach in ledger.breaches] == [ledger.breaches[0].month.start_micros]
    ledger.usage(searches("others", 1, user_id="bob", occurred_at=june), at=later(june, seconds=1))
    assert ledger.decision_from_status("acme", "ann", ledger.now_micros).reasons == ("user_limit",)


def test_a_month_that_begins_tells_every_breach_at_once_and_a_share_of_the_rest_with_each_transaction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    june = "2026-06-01T00:00:00Z"
    ledger = acme()
    people = [f"u-{number:04d}" for number in range(2 * TOLD_AT_ONCE)]
    ledger.commands(*(add_member(who, command_id=who) for who in people))
    limits = [
        command("set_user_limit", command_id=f"limit-{who}", user_id=who, limit_usd="0.01") for who in people[-2:]
    ]
    ledger.commands(*limits)
    ledger.usage(
        *(searches(f"early-{who}", 1, user_id=who, occurred_at=june) for who in people), at="2026-05-31T23:58:00Z"
    )
    assert not any("spend_picousd" in member(ledger, who) for who in people)

    told: list[set[str]] = []
    commit = ledger._commit

    def watched(effects: Effects, last_arrival_micros: int = 0) -> None:
        commit(effects, last_arrival_micros)
        told.append({who for who in people if "spend_picousd" in member(ledger, who)})

    monkeypatch.setattr(ledger, "_commit", watched)
    ledger.usage(searches("first", 1, occurred_at=june), at=later(june, seconds=1))
    assert told[0] >= set(people[-2:])
    assert len(told[0]) <= TOLD_AT_ONCE + 2
    for second in range(2, 5):
        ledger.usage(searches(f"at-{second}", 1, occurred_at=june), at=later(june, seconds=second))
    assert told[-1] == set(people)


def test_a_chunk_tells_a_share_of_many_and_every_decision() -> None:
    ledger = acme()
    people = [f"u-{number:04d}" for number in range(TOLD_AT_ONCE + 100)]
    ledger.commands(*(add_member(who, command_id=who) for who in people))
    ledger.commands(command("set_user_limit", command_id="limit", user_id=people[-1], limit_usd="0.01"))
    ledger.take_outputs()
    ledger.usage([searches(who, 1, user_id=who) for who in people], at=later(NOON, seconds=1))
    spent = [who for who in people if "spend_picousd" in member(ledger, who)]
    assert people[-1] in spent
    assert len(spent) <= TOLD_AT_ONCE + 1
    ledger.usage(searches("others", 1), at=later(NOON, seconds=12))
    assert all("spend_picousd" in member(ledger, who) for who in people)
