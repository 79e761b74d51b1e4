"""On real Kafka: a month ends and closes for a few dozen organisations, and the worker is killed while it bills them,
before and after commits; each is billed once, as by a ledger that nobody disturbed (R39, R40, R43, R44).

Usage keeps coming of some organisations, so these are billed when it does, the others in their turn.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.engine.partitioning import partition_of
from pipeline.publisher import Outgoing
from pipeline.replay import read_event
from pipeline.settings import Settings
from pipeline.topics import ACCOUNT_COMMANDS, INVOICES, USAGE_EVENTS
from schemas.invoices import InvoiceDrafted, InvoiceFinalized, StatementIssued
from schemas.month import Month
from tests.support import builders
from tests.support.builders import BILLING, Wire, as_json, later, micros, searches, user
from tests.support.ledger_cluster import Death, written_through
from tests.support.undisturbed import compare

PARTITIONS = 4
MAY = Month(2026, 5)
BEGINS = "2026-05-30T09:00:00Z"
MAY_ENDS = "2026-06-01T00:00:00Z"
MAY_CLOSES = "2026-06-04T00:00:00Z"
ENDS = "2026-06-04T01:00:00Z"

ENTERPRISE = [f"enterprise-{n:02d}" for n in range(32)]
TEAM = [f"team-{n:02d}" for n in range(15)]
CHANGED = "team-to-enterprise"
"""Has both: a statement of its wallet, and a bill for what it used since."""

DEATHS = [
    Death(1, "before", "month_ended"),
    Death(2, "after", "month_ended"),
    Death(2, "after", "month_closed"),
    Death(3, "before", "month_closed"),
]
"""Each worker's own count of commits that leave organisations of their partition unbilled."""


class Script:
    """What is sent, in the order of its arrival."""

    def __init__(self) -> None:
        self.records: list[Outgoing] = []
        self._now = micros(BEGINS)

    def at(self, instant: str) -> None:
        self._now = micros(instant)

    def says(self, org_id: str, actor: Wire, what: str, **fields: Any) -> None:
        command = builders.command(what, actor, org_id=org_id, command_id=f"c-{len(self.records)}", **fields)
        self._send(ACCOUNT_COMMANDS.name, org_id, command)

    def uses(self, org_id: str, cents: int, *, occurred_at: str, product: str = "chat") -> None:
        event_id = f"e-{len(self.records)}"
        event = searches(event_id, cents, org_id=org_id, occurred_at=occurred_at, product=product)
        self._send(USAGE_EVENTS.name, org_id, event)

    def _send(self, topic: str, org_id: str, wire: Wire) -> None:
        key = org_id.encode()
        self.records.append(Outgoing(topic, key, as_json(wire), self._now, partition_of(key, PARTITIONS)))
        self._now += 10_000


def the_turn_of_the_month() -> list[Outgoing]:
    """Everybody used something in May. Every third one goes on in June, those last in the alphabet first."""
    script = Script()
    everybody = [*ENTERPRISE, *TEAM, CHANGED]
    for org_id in everybody:
        plan = "enterprise" if org_id in ENTERPRISE else "team"
        script.says(org_id, BILLING, "register_organization", plan=plan, primary_owner="olga")
        script.says(org_id, user("olga"), "set_credits", enabled=True)
        script.says(org_id, user("olga"), "add_member", user_id="ann")
        if plan == "team":
            script.says(org_id, BILLING, "confirm_payment", payment_id="p-1", amount_usd="20")
    for number, org_id in enumerate(everybody):
        for product in ("chat", "cowork", "excel"):
            script.uses(org_id, 10 + number, occurred_at=BEGINS, product=product)
    script.says(CHANGED, BILLING, "change_plan", plan="enterprise")
    script.uses(CHANGED, 55, occurred_at=BEGINS)
    for instant in (MAY_ENDS, MAY_CLOSES):
        script.at(later(instant, seconds=-5))
        for org_id in everybody[::5]:
            script.uses(org_id, 3, occurred_at=later(instant, seconds=-6))
        script.at(instant)
        for org_id in everybody[::-3]:
            script.uses(org_id, 7, occurred_at=instant)
            if instant == MAY_ENDS:
                script.uses(org_id, 2, occurred_at=later(MAY_ENDS, micros=-1))  # late
    return script.records


@pytest.mark.kafka
@pytest.mark.faults
async def test_a_month_is_billed_once_although_the_worker_is_killed_four_times_while_it_does(
    kafka: EmbeddedKafka, topic_prefix: str, tmp_path: Path
) -> None:
    settings = Settings(
        kafka_bootstrap_servers=kafka.bootstrap_servers,
        topic_prefix=topic_prefix,
        partitions=PARTITIONS,
        mode="replay",
        session_timeout_ms=1_500,
        data_dir=tmp_path,
    )
    records = the_turn_of_the_month()
    written = await written_through(DEATHS, settings, records, micros(ENDS))
    compare(written, records, PARTITIONS, micros(ENDS))
    billed = [read_event(record.value) for record in written[INVOICES.name]]
    assert counted(billed, InvoiceDrafted) == once([*ENTERPRISE, CHANGED])
    assert counted(billed, InvoiceFinalized) == once([*ENTERPRISE, CHANGED])
    assert counted(billed, StatementIssued) == once([*TEAM, CHANGED])
    drafted = [event.org_id for event in billed if isinstance(event, InvoiceDrafted)]
    assert 4 <= steps_back(drafted) < len(drafted) // 2, "some are billed when their usage comes, some in their turn"


def counted(billed: Iterable[Any], kind: type) -> Counter[tuple[str, Month]]:
    return Counter((event.org_id, event.month) for event in billed if type(event) is kind)


def once(org_ids: Iterable[str]) -> Counter[tuple[str, Month]]:
    return Counter((org_id, MAY) for org_id in org_ids)


def steps_back(org_ids: Sequence[str]) -> int:
    """How often the alphabet is left; each partition after the first one does so once."""
    return sum(later < sooner for sooner, later in pairwise(org_ids))
