"""The ledger does what the auditor says: random histories of whole accounts, in random chunks, with restarts."""

import os
import random
from collections import Counter
from typing import Any

import pytest

from schemas.events import (
    CommandApplied,
    CommandRefused,
    CommandRepeated,
    CreditsPaused,
    CreditsResumed,
    LedgerEvent,
    LimitBreached,
    LimitResumed,
)
from schemas.ledger import LedgerEntry, PurchaseRequested, ReloadRequested
from schemas.notifications import AutoReloadSuspended, BalanceLow, RequestsDigest, ThresholdReached
from schemas.priced import PricedUsage
from tests.support.auditor import Auditor, outputs
from tests.support.auditor.outputs import Scope
from tests.support.histories import Histories
from tests.support.ledger import LedgerInMemory, Record

SEEDS = range(int(os.environ.get("AUDITOR_SEEDS", "100")))
FIRST_SEED = int(os.environ.get("AUDITOR_FIRST_SEED", "0"))


@pytest.mark.parametrize("tens", range(0, len(SEEDS), 10))
def test_random_accounts_come_to_what_the_auditor_says(tens: int) -> None:
    for seed in SEEDS[tens : tens + 10]:
        compare(FIRST_SEED + seed)


def compare(seed: int) -> None:
    """One history through both; the seed is in every failure."""
    histories = Histories(seed)
    history = list(histories)
    auditor = histories.auditor
    chance = random.Random(seed)
    ledger = LedgerInMemory(chunk_sizes=lambda: chance.choice((1, 2, 5, 40, 300)), reborn=seed % 3 == 0)
    records: list[Record] = []
    for at, kind, body in history:
        if kind == "tick":
            ledger.process(records)
            records = []
            ledger.move_to(at)
        else:
            records.append(ledger.record("commands" if kind == "command" else "usage", body, at))
    ledger.process(records)
    ledger.move_to(auditor.now)
    for org_id in auditor.organizations:
        lots = _lot_numbers(ledger, org_id)
        found = {event.org_seq: _said(event, lots) for event in ledger.published(org_id) if not _is_burn(event)}
        expected = dict(enumerate(auditor.published(org_id), start=1))
        for org_seq in range(1, max([*found, *expected], default=0) + 1):
            assert found.get(org_seq) == expected.get(org_seq), (
                f"seed {seed}, {org_id}, org_seq {org_seq}:\n"
                f"  ledger  {found.get(org_seq)}\n  auditor {expected.get(org_seq)}"
            )
        compare_money(seed, ledger, auditor, org_id, lots)
        compare_decisions(seed, ledger, auditor, org_id)
    assert [(letter.org_id, letter.event_id, letter.reason.value) for letter in ledger.dead_letters] == [
        (org_id, event_id, reason) for org_id, _, event_id, reason in auditor.dead
    ], f"seed {seed}"


def compare_money(seed: int, ledger: LedgerInMemory, auditor: Auditor, org_id: str, lots: dict[str, int]) -> None:
    """Burns are settled a chunk at a time, so their sums are compared, by month and by lot (R38a, R41)."""
    by_month: Counter[tuple[str, str]] = Counter()
    by_lot: Counter[int | None] = Counter()
    for event in ledger.published(org_id):
        if isinstance(event, LedgerEntry) and event.type == "burn":
            by_month[event.account, str(event.charge_month)] += event.amount_picousd
            if event.account == "wallet":
                by_lot[lots[event.lot_id] if event.lot_id else None] += event.amount_picousd
    right_by_month: Counter[tuple[str, str]] = Counter()
    right_by_lot: Counter[int | None] = Counter()
    for (account, month, lot), amount in auditor.burns(org_id).items():
        right_by_month[account, month] += amount
        if account == "wallet":
            right_by_lot[lot] += amount
    assert _not_zero(by_month) == _not_zero(right_by_month), f"seed {seed}, {org_id}"
    assert _not_zero(by_lot) == _not_zero(right_by_lot), f"seed {seed}, {org_id}"
    organization = ledger.machine.state.organizations[org_id]
    assert organization.wallet.balance_picousd == auditor.balance(org_id), f"seed {seed}, {org_id}"
    rests = {lots[lot.lot_id]: lot.rest_picousd for lot in organization.wallet.lots.values()}
    assert rests == _not_zero(auditor.lots(org_id)), f"seed {seed}, {org_id}"


def compare_decisions(seed: int, ledger: LedgerInMemory, auditor: Auditor, org_id: str) -> None:
    """From the published status alone, now and after the month's end, as a product with a copy of it would (R34)."""
    for record in ledger.machine.statuses.due(auditor.now + 10_000_000):
        ledger.latest["credit-status"][record.key()] = record.value()
    for at in (auditor.now, auditor.now + 40 * 86_400_000_000):
        for user_id in [*auditor.organizations[org_id].members, "nobody"]:
            ours, right = ledger.decision_from_status(org_id, user_id, at), auditor.decision(org_id, user_id, at)
            assert (ours.allowed, ours.reasons, ours.headroom_picousd) == (
                right.allowed,
                right.reasons,
                right.headroom,
            ), f"seed {seed}, {org_id}, {user_id} at {at}"


def _not_zero(amounts: Any) -> dict[Any, int]:
    return {key: amount for key, amount in amounts.items() if amount}


def _is_burn(event: LedgerEvent | PricedUsage) -> bool:
    return isinstance(event, LedgerEntry) and event.type == "burn"


def _lot_numbers(ledger: LedgerInMemory, org_id: str) -> dict[str, int]:
    """Lots by the order in which they were added: of two in one chunk, by their `org_seq`."""
    numbers: dict[str, int] = {}
    for event in ledger.published(org_id):
        if isinstance(event, LedgerEntry) and event.amount_picousd > 0 and event.lot_id is not None:
            numbers.setdefault(event.lot_id, len(numbers) + 1)
    return numbers


LEGS = {("", 0): "usage", ("x", 0): "reversal", ("x", 1): "replacement"}


def _said(event: LedgerEvent | PricedUsage, lots: dict[str, int]) -> object:
    """In the auditor's own words."""
    if isinstance(event, PricedUsage):
        return outputs.Row(
            event.source,
            event.event_id,
            LEGS["x" if event.corrects else "", event.leg],
            event.user_id,
            event.seat_tier,
            event.model,
            event.cost_picousd,
            str(event.usage_month),
            str(event.charge_month),
            event.funding,
            event.after_pause,
        )
    if isinstance(event, CommandApplied):
        return outputs.Applied(event.command_id)
    if isinstance(event, CommandRefused):
        return outputs.Refused(event.command_id, event.reason)
    if isinstance(event, CommandRepeated):
        return outputs.Repeated(event.command_id)
    if isinstance(event, LimitBreached):
        crossing = None if event.crossing is None else (event.crossing.source, event.crossing.event_id)
        return outputs.Breach(
            _scope(event),
            str(event.month),
            event.limit_version,
            event.episode,
            event.cause,
            event.limit_picousd,
            event.spend_picousd,
            event.overshoot_picousd,
            crossing,
            event.paused_from_micros,
            event.paused_until_micros,
        )
    if isinstance(event, LimitResumed):
        return outputs.Resume(
            _scope(event),
            str(event.month),
            event.limit_version,
            event.episode,
            event.cause,
            event.limit_picousd,
            event.spend_picousd,
        )
    if isinstance(event, ThresholdReached):
        return outputs.Threshold(
            _scope(event),
            str(event.month),
            event.limit_version,
            event.percent,
            event.spend_picousd,
            event.limit_picousd,
        )
    return _said_of_money(event, lots)


def _said_of_money(event: LedgerEvent, lots: dict[str, int]) -> object:
    if isinstance(event, CreditsPaused):
        return outputs.CreditsPaused(event.pause_number)
    if isinstance(event, CreditsResumed):
        return outputs.CreditsResumed(event.pause_number)
    if isinstance(event, BalanceLow):
        return outputs.BalanceLow(event.balance_picousd, event.threshold_picousd)
    if isinstance(event, ReloadRequested):
        return outputs.ReloadRequested(event.reload_id, event.number, event.amount_picousd, event.balance_picousd)
    if isinstance(event, AutoReloadSuspended):
        return outputs.AutoReloadSuspended(event.reason, event.reload_id)
    if isinstance(event, PurchaseRequested):
        return outputs.PurchaseRequested(event.purchase_id, event.amount_picousd, event.actor.id)
    if isinstance(event, RequestsDigest):
        return outputs.Digest(
            event.day,
            tuple(
                outputs.Outstanding(
                    request.request_id,
                    request.user_id,
                    request.kind,
                    request.asked_at_micros,
                    request.seat_tier,
                    request.spend_picousd,
                )
                for request in event.requests
            ),
        )
    assert isinstance(event, LedgerEntry), event
    lot = None if event.lot_id is None else lots[event.lot_id]
    cause = (event.cause.kind, str(lots[event.cause.id]) if event.cause.kind == "expiry" else event.cause.id)
    return outputs.Entry(
        event.at_micros,
        event.type,
        event.account,
        event.amount_picousd,
        event.balance_after_picousd,
        str(event.charge_month),
        lot,
        cause,
    )


def _scope(event: Any) -> Scope:
    scope = event.scope
    return Scope(scope.kind, getattr(scope, "seat_tier", None), getattr(scope, "user_id", None))
