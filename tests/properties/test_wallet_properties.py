"""Random lives of a wallet: whatever is done in whatever order, lots, balance and entries agree (R38, R38b).

Settled, what the lots hold is the balance, or 0 where that is a debt: Σ rests = max(balance, 0). With usage not settled
yet the lots hold what the balance was before it: Σ rests = max(balance + unburnt, 0). At every moment the balance is
the sum of all entries less the usage that waits: balance = Σ entries − unburnt.
"""

import json
from collections import Counter
from random import Random
from typing import Any

import pytest

from pipeline.domain import wallet as rules
from pipeline.domain.refusals import Refused
from pipeline.domain.reloads import reload_id
from schemas.events import CreditsPaused, CreditsResumed, envelope
from schemas.instants import MICROS_PER_HOUR
from schemas.ledger import LedgerEntry, ReloadRequested
from tests.support.builders import CENT_PICOUSD, later, micros
from tests.support.wallets import Purse, kinds, put_together

SEEDS = range(60)


def some(random: Random) -> int:
    """An amount, often a small one so that many are equal, sometimes none."""
    return random.choice((0, 1, 1, 2, 3, random.randint(1, 40))) * CENT_PICOUSD


def one_command(random: Random, purse: Purse, step: int) -> tuple[Any, ...]:
    """A rule and what it is given; ids repeat now and then."""
    an_id = f"p-{random.choice((step, step, step, random.randint(1, step + 1)))}"
    another = random.choice([*purse.wallet.payments, an_id])
    a_reload = max(1, purse.wallet.reload_number - random.randint(-1, 1))
    expires = random.choice((None, micros(purse.at) + random.randint(0, 48) * MICROS_PER_HOUR))
    maximum = random.choice((None, 50 * some(random)))
    choices: tuple[tuple[Any, ...], ...] = (
        (rules.purchase, an_id, 10 * some(random)),
        (rules.grant, 10 * some(random), expires),
        (rules.refund, an_id, another, some(random)),
        (rules.adjust, random.choice(("credit", "debit")), some(random)),
        (rules.correct, some(random) + CENT_PICOUSD, purse.state.calendar.month),
        (rules.offset_invoice, some(random)),
        (rules.set_notice, random.choice((None, some(random)))),
        (
            rules.set_auto_reload,
            random.random() < 0.8,
            some(random),
            10 * some(random),
            maximum,
        ),
        (rules.reload_paid, reload_id("acme", a_reload), an_id, 10 * some(random)),
        (rules.reload_failed, reload_id("acme", a_reload)),
    )
    return random.choice(choices)


def check(purse: Purse) -> None:
    wallet = purse.wallet
    unburnt = sum(purse.unburnt.values())
    assert wallet.balance_picousd == sum(entry.amount_picousd for entry in purse.entries) - unburnt
    assert wallet.unburnt_picousd() == max(wallet.balance_picousd + unburnt, 0)
    assert all(0 < lot.rest_picousd <= lot.amount_picousd for lot in wallet.lots.values())
    assert wallet.paused == (purse.organization.plan == "team" and wallet.balance_picousd <= 0)
    refundable = {payment.lot_id: payment for payment in wallet.payments.values() if payment.kind != "refund"}
    for payment in refundable.values():
        lot = wallet.lots.get(payment.lot_id)
        assert payment.refunded_picousd + (lot.rest_picousd if lot else 0) <= payment.amount_picousd


def live(seed: int, *, reborn: bool) -> Purse:
    """A random life; `reborn` drops the memory after each step and takes over from the cells."""
    random = Random(seed)
    purse = Purse()
    cells: dict[bytes, Any] = {}
    for step in range(200):
        act = random.random()
        if act < 0.5:
            purse.uses(str(random.randint(0, 20) / 100), random.choice((None, "2026-04")))
        elif act < 0.6:
            purse.waits_until(later(purse.at, hours=random.randint(1, 40)))
        elif act < 0.62:
            purse.moves_to(random.choice(("team", "team", "enterprise")))
        elif act < 0.66:
            purse.settle()
        else:
            command = one_command(random, purse, step)
            if command[0] is rules.correct:
                purse.organization.next_seq()  # its row
            try:
                purse.does(*command)
            except Refused:
                check(purse)
        check(purse)
        if reborn:
            purse.settle()
            for cell in purse.state.changed:
                cells[cell.key()] = cell
            purse.state.take_changes()
            kept = [type(cell).restored(_fields(cell)) for cell in cells.values() if cell.value() is not None]
            wallets = put_together(cell for cell in kept if type(cell).KIND != "organization")
            purse.wallet = wallets["acme"]
            rules.set_watch(purse.state, purse.organization, purse.wallet)
    purse.settle()
    check(purse)
    return purse


def lasting(purse: Purse) -> list[Any]:
    """All events but burns: those depend on where chunks end."""
    return [event for event in purse.events if not (isinstance(event, LedgerEntry) and event.type == "burn")]


def _fields(cell: Any) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(cell.value())
    del fields["cell"]
    return fields


@pytest.mark.parametrize("seed", SEEDS)
def test_balance_entries_and_lots_agree_all_along(seed: int) -> None:
    purse = live(seed, reborn=False)
    balance = 0
    for entry in purse.entries:
        balance += entry.amount_picousd
        assert entry.balance_after_picousd == balance
    ids = [envelope(event)["id"] for event in purse.events]
    assert len(set(ids)) == len(ids), "an id tells apart whatever was ever published"
    numbered = [
        event.org_seq for event in purse.events if not (isinstance(event, LedgerEntry) and event.type == "burn")
    ]
    assert numbered == sorted(set(numbered)), "everything but a burn has a number of its own, rising"
    assert [event.number for event in purse.told(ReloadRequested)] == list(range(1, purse.wallet.reload_number + 1))
    told = [event for event in purse.events if isinstance(event, CreditsPaused | CreditsResumed)]
    for number, event in enumerate(told):
        assert isinstance(event, CreditsResumed if number % 2 else CreditsPaused)
        assert event.pause_number == number // 2 + 1


@pytest.mark.parametrize("seed", range(12))
def test_a_wallet_reborn_at_every_step_lives_the_same_life(seed: int) -> None:
    once, often = live(seed, reborn=False), live(seed, reborn=True)
    assert lasting(once) == lasting(often)
    assert once.wallet.value() == often.wallet.value()
    assert once.rests() == often.rests()


def test_the_lives_are_full() -> None:
    """Every kind of entry and event a wallet has, often enough to be a test."""
    seen = Counter(kind for seed in SEEDS for kind in kinds(live(seed, reborn=False).events))
    rare = {kind: count for kind, count in seen.items() if count < 20}
    assert len(seen) == 12
    assert rare == {}
