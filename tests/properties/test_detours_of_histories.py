"""Random accounts, some of whose records came by a detour or say an earlier time: the same in any transactions.

The auditor knows no detours; but where transactions are cut, and restarts, must not matter to them either (R43, R44).
"""

from collections import Counter
from random import Random

import pytest

from pipeline.domain.rules import Rules
from pipeline.engine.records import ARRIVAL_HEADER, ORIGIN_HEADER
from schemas.ledger import LedgerEntry
from tests.support.auditor.basics import DAY, HOUR, SECOND
from tests.support.auditor.comparison import WatchedLedger, Way, way_of
from tests.support.histories import Histories
from tests.support.ledger import LedgerInMemory

TOPICS = {"command": ("commands", "account-commands"), "usage": ("usage", "usage-events")}


def worked_through(seed: int, way: Way) -> LedgerInMemory:
    """A fifth of the records first arrived elsewhere, up to a month before; some stamps go back, as producers' may."""
    chance, sizes = Random(seed), Random(seed)
    ledger = WatchedLedger(
        chunk_sizes=lambda: sizes.choice(way.sizes),
        reborn=way.reborn,
        rules=Rules(grace_hours=way.grace_hours, suppress_zero_invoices=way.suppress_zero_invoices),
    )
    records = []
    at = 0
    for number, said in enumerate(Histories(seed, auditor=way.auditor())):
        to, topic = TOPICS[said.kind]
        at = said.at - chance.choice((0,) * 30 + (SECOND, HOUR, 12 * HOUR))
        headers = []
        if chance.random() < 0.2:
            first = at - chance.choice((0, SECOND, HOUR, DAY, 3 * DAY, 10 * DAY, 33 * DAY))
            place = f"{topic}/3/{number}/0"
            headers = [(ARRIVAL_HEADER, b"%d" % first), (ORIGIN_HEADER, place.encode())]
        records.append(ledger.record(to, said.body, at, headers))
    ledger.process(records)
    ledger.move_to(at + DAY)
    return ledger


def told(ledger: LedgerInMemory, org_id: str) -> tuple[list[str], dict[object, int]]:
    """Everything in order but burns, which are made a transaction at a time: of them sums, by month and lot."""
    published, burns = [], Counter[object]()
    for event in ledger.published(org_id):
        if isinstance(event, LedgerEntry) and event.type == "burn":
            burns[event.account, event.charge_month] += event.amount_picousd
            burns[event.lot_id] += event.amount_picousd
        else:
            published.append(f"{type(event).__name__} {event.model_dump_json()}")
    return published, {of: amount for of, amount in burns.items() if amount}


@pytest.mark.parametrize("seed", range(4))
def test_records_that_came_by_a_detour_come_to_the_same_in_any_transactions(seed: int) -> None:
    way = way_of(seed)
    whole = worked_through(seed, way._replace(sizes=(300,), reborn=False))
    cut = worked_through(seed, way._replace(sizes=(1, 2, 5, 40), reborn=True))
    for org_id in whole.machine.state.organizations:
        assert told(whole, org_id) == told(cut, org_id)
    assert whole.dead_letters == cut.dead_letters
