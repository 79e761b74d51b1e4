"""`prove` on a real Kafka and a real ClickHouse: everything agrees after a month with everything, also while a worker
runs; and each planted defect is found, and its place named (R41)."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import chain, count, islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from click.testing import CliRunner

from pipeline.cli import main
from pipeline.demo.system import environment
from pipeline.embedded.clickhouse import EmbeddedClickHouse
from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.proof.stored import StoredRows
from pipeline.proof.stored_billing import TABLES as BILLING_TABLES
from pipeline.proof.stored_billing import StoredBilling
from pipeline.publisher import Outgoing, publish
from pipeline.settings import Settings
from pipeline.topics import (
    ACCOUNT_COMMANDS,
    DEAD_LETTERS,
    INVOICES,
    LEDGER_ENTRIES,
    LEDGER_STATE,
    PRICED_USAGE,
    USAGE_EVENTS,
    Topic,
)
from pipeline.topics_admin import create_topics
from schemas.instants import format_instant
from sinks.clickhouse import ClickHouse
from sinks.migrate import migrations
from tests.faults.test_accounts_faults import ENDS, PARTITIONS, the_month
from tests.support.builders import BILLING, add_member, as_json, micros, register, searches, set_credits
from tests.support.builders import command as command_of
from tests.support.ledger_cluster import everything_at, worker
from tests.support.proof_world import (
    Copied,
    Damage,
    Original,
    change,
    copy_of,
    copy_of_database,
    proved,
    running_sink,
)

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]


@pytest.fixture(scope="module")
async def month(
    kafka: EmbeddedKafka,
    clickhouse: EmbeddedClickHouse,
    fresh_name: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Original:
    """Both plans, corrections, duplicates, dead letters, forwards, a closed month: worked through and stored."""
    settings = Settings(
        kafka_bootstrap_servers=kafka.bootstrap_servers,
        clickhouse_url=clickhouse.url,
        clickhouse_database=fresh_name("proof"),
        topic_prefix=fresh_name("proof") + ".",
        partitions=PARTITIONS,
        mode="replay",
        session_timeout_ms=6_000,
        data_dir=tmp_path_factory.mktemp("proof"),
    )
    await create_topics(settings)
    await publish(settings, the_month(), ticks_at_micros=micros(ENDS))
    async with running_sink(settings):
        with worker(settings) as running:
            await everything_at(micros(ENDS), settings, running)
        proof = await proved(settings, wait_seconds=30)
    assert proof.agrees, proof.json()
    return await Original.of(settings)


async def test_everything_agrees_after_a_month_with_everything(month: Original) -> None:
    proof = await proved(month.settings)
    assert proof.agrees
    assert all(
        proof.counts[name] for name in ("accepted", "duplicates", "dead_letters", "forwarded", "corrections", "rows")
    )
    assert all(part.as_of.seq for part in proof.partitions)
    compared = {tally.name for tally in proof.tallies.values() if any(tally.values.values())}
    assert compared == {
        "records read",
        "events read",
        "dead letters",
        "dead letters, commands",
        "events accepted",
        "rows, a correction's two",
        "rows by month",
        "spend",
        "usage of closed months",
        "burnt for usage",
        "included usage",
        "tier's spend",
        "member's spend",
        "account wallet",
        "account unbilled",
        "account receivable",
        "unburnt credits",
        "ledger entries",
        "drafts, invoices, statements",
        "to be invoiced",
        "invoiced",
        "in whole cents",
        "set against invoices",
        "paid of invoices",
        "open of invoices",
        "open after payments",
        "statement of a closed month",
        "invoice of a closed month",
        "statement's closing",
        "double entry",
    }


# Planted defects: one in each partition at a time. Of each it is said which equation differs, and where its cause lies.


class Defect(NamedTuple):
    """What is done to the records of a topic in one partition, and what the proof must say of it."""

    topic: Topic
    damage: Damage
    what: str
    where: str


def in_rows(edit: Callable[[list[bytes]], list[bytes]]) -> Damage:
    """Do something to the rows of the first record that holds several."""

    def damage(records: list[Copied]) -> None:
        at = next(at for at, record in enumerate(records) if len(lines(record)) > 1)
        records[at] = records[at]._replace(value=b"".join(edit(lines(records[at]))))

    return damage


def lines(record: Copied) -> list[bytes]:
    return (record.value or b"").splitlines(keepends=True)


def a_picodollar_more(line: bytes) -> bytes:
    row = msgspec.json.decode(line)
    return msgspec.json.encode(row | {"cost_picousd": str(int(row["cost_picousd"]) + 1)}) + b"\n"


def in_cell(kind: str, **changes: Any) -> Damage:
    """Write the last cell of a kind once more, with something else in it."""

    def damage(records: list[Copied]) -> None:
        key = f'["{kind}"'.encode()
        last = next(record for record in reversed(records) if record.value and (record.key or b"").startswith(key))
        records.append(change(last, **changes))

    return damage


def leave_out(*words: bytes) -> Damage:
    """The first record that has all of these words."""

    def damage(records: list[Copied]) -> None:
        del records[_first(records, words)]

    return damage


def in_data(*words: bytes, **changes: Any) -> Damage:
    """In the first event that has all of these words something else is said."""

    def damage(records: list[Copied]) -> None:
        at = _first(records, words)
        data = msgspec.json.decode(records[at].value or b"")["data"]
        records[at] = change(records[at], data=data | changes)

    return damage


def _first(records: list[Copied], words: Sequence[bytes]) -> int:
    return next(at for at, record in enumerate(records) if all(word in (record.value or b"") for word in words))


def a_cent_more_on_a_line(records: list[Copied]) -> None:
    at = _first(records, [INVOICE_TYPE])
    data = msgspec.json.decode(records[at].value or b"")["data"]
    line = data["lines"][0]
    changed = line | {"amount_picousd": str(int(line["amount_picousd"]) + 10**10)}
    records[at] = change(records[at], data=data | {"lines": [changed, *data["lines"][1:]]})


ROW_TWICE = Defect(PRICED_USAGE, in_rows(lambda rows: [*rows, rows[0]]), "rows by month", "comes after")
ROW_LOST = Defect(PRICED_USAGE, in_rows(lambda rows: rows[1:]), "rows by month", "is nowhere: a row is missing")
ROW_CHANGED = Defect(
    PRICED_USAGE, in_rows(lambda rows: [a_picodollar_more(rows[0]), *rows[1:]]), "spend", "cost_picousd is"
)
BURN_LOST = Defect(LEDGER_ENTRIES, leave_out(b'"type":"burn"'), "burnt for usage", "does not go on from")
INVOICE_TYPE, STATEMENT_TYPE = b"usage-credits.invoice.finalized", b"usage-credits.statement.issued"
LINE_CHANGED = Defect(INVOICES, a_cent_more_on_a_line, "in whole cents", "is more than its lines by 0 exact and")
INVOICE_CHANGED = Defect(INVOICES, in_data(INVOICE_TYPE, exact_picousd="1"), "invoiced", "is more than its lines by")
INVOICE_LOST = Defect(INVOICES, leave_out(INVOICE_TYPE), "account receivable", "its invoice 2026-05.1 is not in")
STATEMENT_LOST, STATEMENT_OF_WHO_IS_CLOSED_LOST = (
    Defect(INVOICES, leave_out(STATEMENT_TYPE), "statement of a closed month", f"nothing of {org_id} closes 2026-05")
    for org_id in ("acme", "hooli")
)
PAYMENT_CHANGED = Defect(
    INVOICES,
    in_data(b"usage-credits.payment.received", open_picousd="1"),
    "open after payments",
    "leaves 1 picodollars open, not",
)
OPENING_CHANGED = Defect(INVOICES, in_data(STATEMENT_TYPE, opening_picousd="1"), "statement's opening", "opens with 1")
CLOSING_CHANGED = Defect(INVOICES, in_data(STATEMENT_TYPE, closing_picousd="1"), "statement's closing", "closes with 1")
ROUNDING_LOST = Defect(LEDGER_ENTRIES, leave_out(b'"type":"rounding"'), "account receivable", "does not go on from")
ENTRY_IN_ANOTHER_MONTH = Defect(
    LEDGER_ENTRIES,
    in_data(b'"type":"purchase"', charge_month="2026-06"),
    "statement's closing",
    "the statement of 2026-05",
)
LETTER_LOST = Defect(DEAD_LETTERS, lambda records: records.clear(), "dead letters", "cell counters")


# Lots and balance differ: the wallet is where to begin.
LOT_CHANGED = Defect(LEDGER_STATE, in_cell("lot", rest_picousd="1"), "unburnt credits", "cell wallet")


def cell_changed(kind: str, name: str, value: object, what: str) -> Defect:
    return Defect(LEDGER_STATE, in_cell(kind, **{name: value}), what, f"cell {kind}")


NAMED_BY_WHAT_IS_LEFT = (
    LETTER_LOST,
    INVOICE_LOST,
    ENTRY_IN_ANOTHER_MONTH,
    STATEMENT_LOST,
    STATEMENT_OF_WHO_IS_CLOSED_LOST,
)


@pytest.mark.parametrize(
    "defects",
    [
        [ROW_TWICE, ROW_LOST, BURN_LOST, ROW_CHANGED],
        [
            cell_changed("wallet", "balance_picousd", "1", "account wallet"),
            cell_changed("organization_month", "spend_picousd", "1", "spend"),
            cell_changed("member_month", "spend_picousd", "1", "member's spend"),
            cell_changed("tier_month", "spend_picousd", "1", "tier's spend"),
        ],
        [
            cell_changed("counters", "duplicates", 1_000, "events read"),
            LOT_CHANGED,
            LETTER_LOST,
            cell_changed("organization", "unbilled_picousd", "1", "account unbilled"),
        ],
        [OPENING_CHANGED, CLOSING_CHANGED, LINE_CHANGED, INVOICE_LOST],
        [ENTRY_IN_ANOTHER_MONTH, CLOSING_CHANGED, INVOICE_CHANGED, ROUNDING_LOST],
        [STATEMENT_LOST, STATEMENT_OF_WHO_IS_CLOSED_LOST, LINE_CHANGED, PAYMENT_CHANGED],
    ],
    ids=[
        "rows and entries",
        "spend and balance",
        "counters, lots and letters",
        "invoices",
        "invoices and their entries",
        "statements and payments",
    ],
)
async def test_defects_in_kafka_are_found_and_their_places_named(
    month: Original, fresh_name: Callable[[str], str], defects: list[Defect]
) -> None:
    damages = {(defect.topic.name, number): defect.damage for number, defect in enumerate(defects)}
    proof = await proved(await copy_of(month, fresh_name("proof") + ".", damages))
    for number, (part, defect) in enumerate(zip(proof.partitions, defects, strict=True)):
        assert part.first is not None
        assert defect.what in part.first.name
        assert defect.where in part.where
        if defect not in NAMED_BY_WHAT_IS_LEFT:
            assert f"{defect.topic.name}[{number}] offset" in part.where


STORED = ("priced_usage", "ledger_entries", "billing_events")


def one_of(table: str, which: str, more: str = "1") -> str:
    """A row of globex: which of them, by `org_seq`."""
    return f"org_id = 'globex' AND org_seq = (SELECT {which}(org_seq) FROM {table} WHERE org_id = 'globex' AND {more})"


def delete(table: str, which: str, more: str = "1") -> str:
    return f"ALTER TABLE {table} DELETE WHERE {one_of(table, which, more)} SETTINGS mutations_sync = 1"


def double(table: str, which: str, more: str = "1") -> str:
    return f"INSERT INTO {table} SELECT * FROM {table} WHERE {one_of(table, which, more)}"


def change_amount(table: str, which: str) -> str:
    changed = "amount_usd = amount_usd + toDecimal128('0.000000000001', 12)"
    return f"ALTER TABLE {table} UPDATE {changed} WHERE {one_of(table, which)} SETTINGS mutations_sync = 1"


SOME = "quantileExact(0.5)"
INVOICE = "type = 'usage-credits.invoice.finalized'"


@pytest.mark.parametrize(
    ("statement", "where"),
    [
        (delete("priced_usage", SOME), "of the organisation is not in ClickHouse"),
        (delete("priced_usage", "max"), "of the organisation is not in ClickHouse"),
        (double("priced_usage", SOME), "is there twice"),
        (delete("ledger_entries", SOME), "is not in ClickHouse"),
        (double("ledger_entries", SOME), "is there twice"),
        (delete("billing_events", "min", INVOICE), "is not in ClickHouse"),
        (change_amount("ledger_entries", SOME), "picodollars in ClickHouse"),
    ],
)
async def test_a_row_lost_doubled_or_changed_in_clickhouse_is_found_and_named(
    month: Original, fresh_name: Callable[[str], str], statement: str, where: str
) -> None:
    proof = await proved(await copy_of_database(month.settings, fresh_name("proof"), STORED, statement))
    (part,) = (part for part in proof.partitions if part.first is not None)
    assert part.as_of.partition == 3
    assert where in part.where


async def test_months_of_which_kafka_let_go_are_named_and_still_compared_elsewhere(
    month: Original, fresh_name: Callable[[str], str]
) -> None:
    copy = await copy_of(month, fresh_name("proof") + ".", {})
    proof = await proved(copy)
    assert proof.agrees  # the defects that are found in copies are not the copies' own
    assert proof.not_provable == []
    admin = AIOKafkaAdminClient(**copy.kafka())
    await admin.start()
    try:
        first_of = TopicPartition(copy.topic_prefix + PRICED_USAGE.name, 3)
        await admin.delete_records({first_of: RecordsToDelete(1)})
    finally:
        await admin.close()
    proof = await proved(copy)
    assert proof.agrees, proof.json()
    assert proof.not_provable == ["2026-05", "2026-06", PRICED_USAGE.name]


async def test_the_command_exits_with_1_unless_everything_agrees(
    month: Original, fresh_name: Callable[[str], str]
) -> None:
    async def prove(settings: Settings) -> tuple[int, dict[str, Any]]:
        arguments = ["prove", "--json", "--wait", "0"]
        result = await asyncio.to_thread(CliRunner().invoke, main, arguments, env=environment(settings))
        return result.exit_code, json.loads(result.stdout)

    code, document = await prove(month.settings)
    assert (code, document["agree"], document["differences"]) == (0, True, [])
    damaged = await copy_of_database(month.settings, fresh_name("proof"), STORED, delete("priced_usage", SOME))
    code, document = await prove(damaged)
    assert (code, document["agree"]) == (1, False)
    assert "is not in ClickHouse" in document["differences"][0]["where"]


# While everything runs.


async def test_it_agrees_again_and_again_while_a_worker_and_a_sink_go_on(
    kafka: EmbeddedKafka, clickhouse: EmbeddedClickHouse, fresh_name: Callable[[str], str], tmp_path: Path
) -> None:
    settings = Settings(
        kafka_bootstrap_servers=kafka.bootstrap_servers,
        clickhouse_url=clickhouse.url,
        clickhouse_database=fresh_name("proof"),
        topic_prefix=fresh_name("proof") + ".",
        partitions=2,
        session_timeout_ms=6_000,
        data_dir=tmp_path,
    )
    await create_topics(settings)
    await publish(settings, accounts())
    events_read: list[int] = []
    with worker(settings):
        async with running_sink(settings), usage_goes_on(settings):
            while len({*events_read} - {0}) < 2:  # it is a proof of data that moves
                proof = await proved(settings, wait_seconds=30)
                assert proof.agrees, proof.json()
                events_read.append(proof.counts["usage_events"])
    assert events_read == sorted(events_read)


async def test_where_nothing_ever_ran_there_is_nothing_to_differ(
    kafka: EmbeddedKafka, clickhouse: EmbeddedClickHouse, fresh_name: Callable[[str], str]
) -> None:
    settings = Settings(
        kafka_bootstrap_servers=kafka.bootstrap_servers,
        clickhouse_url=clickhouse.url,
        clickhouse_database=fresh_name("nobody_made_this"),
        topic_prefix=fresh_name("proof") + ".",
        partitions=1,
    )
    await create_topics(settings)
    proof = await proved(settings)
    assert proof.agrees
    assert [part.as_of.seq for part in proof.partitions] == [0]


async def test_while_the_sink_still_makes_its_tables_nothing_is_stored_yet(
    clickhouse: EmbeddedClickHouse, fresh_name: Callable[[str], str]
) -> None:
    database = ClickHouse(clickhouse.url, fresh_name("half_made"))
    await database.create_database()
    rows = StoredRows(database, database.database, "log", 0, 1)
    billing = StoredBilling(database, database.database, "log", 0, dict.fromkeys(BILLING_TABLES, 1))
    for statement in chain.from_iterable(migration.statements for migration in migrations()):
        await database.run(statement)
        if await rows.exist():
            await rows.sums("")
        if await billing.exist():
            await billing.sums()
    assert (await rows.exist(), await billing.exist()) == (True, True)
    await database.close()


def accounts() -> Iterator[Outgoing]:
    for org_id, plan in (("acme", "team"), ("globex", "enterprise")):
        for command in (
            register(org_id, plan=plan),
            set_credits(org_id=org_id),
            add_member(org_id=org_id),
            command_of("confirm_payment", BILLING, org_id=org_id, command_id="p", payment_id="p", amount_usd="5"),
        ):
            yield Outgoing(ACCOUNT_COMMANDS.name, org_id.encode(), as_json(command), 0)


@asynccontextmanager
async def usage_goes_on(settings: Settings) -> AsyncIterator[None]:
    """Events of both organisations, every third in the wrong partition, until the block is left."""
    numbers = count()
    is_over = asyncio.Event()

    def usage() -> Iterator[Outgoing]:
        for number in islice(numbers, 30):
            org_id = ("acme", "globex")[number % 2]
            event = searches(f"e-{number}", 1, org_id=org_id, occurred_at=format_instant(time.time_ns() // 1_000))
            key = b"elsewhere" if number % 3 == 0 else org_id.encode()
            yield Outgoing(USAGE_EVENTS.name, key, as_json(event), 0)

    async def send() -> None:
        while not is_over.is_set():
            await publish(settings, usage())

    sending = asyncio.create_task(send())
    try:
        yield
    finally:
        is_over.set()
        await sending
