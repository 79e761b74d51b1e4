"""What a ledger said comes in, and lies in ClickHouse as the sink would have put it; and a story of everything billed.

The story, May 2026. acme (Enterprise) uses three products; some of April comes late, one event is corrected, and of its
first invoice a part is taken back, of its second one a part is paid. globex (Enterprise) is corrected to below zero.
lumen (Team) buys credits, burns some, and goes over to Enterprise with what is left.
"""

from collections.abc import Callable
from typing import Any

from pipeline.topics import INVOICES, LEDGER_ENTRIES, PRICED_USAGE
from sinks.claims import take_over
from sinks.clickhouse import ClickHouse
from sinks.event_table import EventTable
from sinks.migrate import migrate
from sinks.priced_usage import PricedUsage
from sinks.tables import Table
from tests.support.builders import BILLING, Wire, add_member, command, event, register, set_credits
from tests.support.ledger import LedgerInMemory
from tests.support.sink_world import KafkaRecord

TABLES: tuple[tuple[str, Callable[[], Table]], ...] = (
    (PRICED_USAGE.name, PricedUsage),
    (LEDGER_ENTRIES.name, lambda: EventTable("ledger_entries")),
    (INVOICES.name, lambda: EventTable("billing_events")),
)

MILLION = 1_000_000


async def stored(ledger: LedgerInMemory, database: ClickHouse) -> None:
    """Everything the ledger wrote since the last time goes the way of the sink."""
    outputs = ledger.take_outputs()
    for topic, table in TABLES:
        claim = await take_over(database, "log-1", topic, [0])
        progress = await table().progress(database, claim)
        begin = progress.stored[0].resume
        values = outputs.get(topic, ())
        records = [KafkaRecord(begin + offset, value) for offset, value in enumerate(values)]
        for insert in progress.inserts(claim, records) if records else ():
            await database.insert(insert.statement, insert.body, log_comment=claim.name)


async def migrated(url: str, name: str) -> ClickHouse:
    """A database with all tables and views."""
    database = ClickHouse(url, name)
    await migrate(database)
    return database


def correction(wrong: Wire, event_id: str, **right: Any) -> Wire:
    """The event that corrects another."""
    said = {name: value for name, value in wrong.items() if name not in ("org_id", "event_id", "source", "corrects")}
    return {**wrong, "event_id": event_id, **right, "corrects": {"event_id": wrong["event_id"], "original": said}}


def a_story() -> LedgerInMemory:
    """The story up to June the 10th."""
    ledger = LedgerInMemory()
    april, may = "2026-04-28T10:00:00Z", "2026-05-10T12:00:00Z"
    start = "2026-04-20T08:00:00Z"
    ledger.commands(register(), set_credits(), add_member(), at=start)
    ledger.commands(register("globex"), set_credits(org_id="globex"), add_member("bob", org_id="globex"), at=start)
    ledger.commands(register("lumen", plan="team"), set_credits(org_id="lumen"), at=start)
    ledger.commands(add_member("lena", org_id="lumen"), at=start)
    paid = {"org_id": "lumen", "payment_id": "pay-1", "amount_usd": "50.00"}
    ledger.commands(command("confirm_payment", BILLING, command_id="pay-1", **paid), at=start)

    too_much = event("g-1", org_id="globex", user_id="bob", output_tokens=2 * MILLION, occurred_at=april)
    ledger.usage(too_much, event("a-0", output_tokens=1_234, occurred_at=april), at=april)
    ledger.usage(event("l-1", org_id="lumen", user_id="lena", output_tokens=MILLION, occurred_at=april), at=april)
    ledger.wait_until("2026-05-05T00:00:00Z")

    wrong = event("a-1", product="claude-code", input_tokens=3_000_001, output_tokens=7_777_777, occurred_at=may)
    ledger.usage(
        wrong,
        event(
            "a-2", product="claude-code", cache_read_tokens=81_234_567, cache_write_5m_tokens=33_333, occurred_at=may
        ),
        event("a-3", product="cowork", model="claude-opus-4-7", output_tokens=1, occurred_at=may),
        event("a-4", web_search_requests=1_037, input_tokens=17, occurred_at=may),
        event("a-5", model="claude-haiku-4-5", processing="batch", output_tokens=1_001, occurred_at=may),
        event("a-6", product="cowork", output_tokens=4_321, occurred_at="2026-04-29T00:00:00Z"),  # April is closed
        correction(wrong, "a-7", output_tokens=777_777),
        correction(too_much, "g-2", output_tokens=1),
        at="2026-05-11T00:00:00Z",
    )
    ledger.usage(event("l-2", org_id="lumen", user_id="lena", output_tokens=MILLION, occurred_at=may), at=may)
    ledger.commands(command("change_plan", BILLING, org_id="lumen", command_id="up", plan="enterprise"), at=may)
    ledger.usage(
        event("l-3", org_id="lumen", user_id="lena", output_tokens=2_000_001, occurred_at=may),
        at="2026-05-12T00:00:00Z",
    )
    note = {"invoice_number": 1, "amount_usd": "0.01", "note": "Outage on 28 April <b>& refund</b>"}
    ledger.commands(command("issue_credit_note", BILLING, command_id="note", **note), at="2026-05-20T00:00:00Z")

    ledger.wait_until("2026-06-05T00:00:00Z")
    for org_id, number, paid_usd in (("acme", 2, "30.00"), ("acme", 1, "0.01"), ("lumen", 1, "10.00")):
        of_invoice = {
            "org_id": org_id,
            "invoice_number": number,
            "payment_id": f"bank-{number}",
            "amount_usd": paid_usd,
        }
        ledger.commands(
            command("confirm_payment", BILLING, command_id=f"paid-{number}", **of_invoice), at="2026-06-08T09:00:00Z"
        )
    june = "2026-06-10T00:00:00Z"
    ledger.usage(event("a-8", output_tokens=MILLION, occurred_at=june), at=june)
    return ledger
