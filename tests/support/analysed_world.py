"""A small world for analysts, told by a real ledger in memory; and all of it in ClickHouse, as the sink would put it.

It is Friday, 18 September 2026, noon; the story begins on Monday, 17 August. acme (Enterprise) has limits of all three
kinds: ann reaches that of her seat, ben his own, which is then raised. lumen and volta (Team) burn what they bought,
volta to below zero. Some usage comes late, one event is corrected, two cannot be billed. A web search is a cent, so
`searches(…, 170)` costs $1.70. docs/analysts.md asks its questions of this world.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby

from pipeline.list_prices import list_prices
from pipeline.topics import CREDIT_STATUS
from sinks.claims import take_over
from sinks.clickhouse import ClickHouse
from sinks.list_prices import store_prices
from sinks.migrate import migrate
from sinks.sink import TABLES, accept_log
from tests.support.builders import (
    BILLING,
    Wire,
    add_member,
    command,
    correction,
    event,
    micros,
    register,
    searches,
    set_credits,
    set_limit,
    user,
)
from tests.support.ledger import LedgerInMemory
from tests.support.sink_world import KafkaRecord

LOG_ID = "analysts"
NOON = "2026-09-18T12:00:00Z"
FIRST_DAY = datetime(2026, 8, 17, 9, tzinfo=UTC)
WEEKDAYS = 5

# A day of Claude Code with a warm cache.
CACHED = {
    "product": "claude-code",
    "input_tokens": 9_000,
    "output_tokens": 25_000,
    "cache_read_tokens": 1_800_000,
    "cache_write_5m_tokens": 120_000,
}

Said = tuple[str, str, Wire]
"""When it arrived, on which input, what."""


def analysed() -> LedgerInMemory:
    """The world up to that noon."""
    ledger = LedgerInMemory()
    said = sorted([*_commands(), *_days(), *_out_of_the_ordinary()], key=lambda entry: entry[0])
    for (at, to), entries in groupby(said, key=lambda entry: entry[:2]):
        wires = [wire for _, _, wire in entries]
        (ledger.usage if to == "usage" else ledger.commands)(*wires, at=at)
        if at == "2026-09-18T09:30:00Z":  # ben is heard, pia is not
            request_id = ledger.answers[-1].after["request_id"]
            granted = command("approve_request", command_id="grant", request_id=request_id, limit_usd="12.00")
            ledger.commands(granted, at="2026-09-18T11:30:00Z")
        if at == "2026-09-02T10:00:00Z":
            request_id = ledger.answers[-1].after["request_id"]
            ledger.commands(
                command("deny_request", command_id="deny", request_id=request_id), at="2026-09-03T08:00:00Z"
            )
    ledger.idle(micros(NOON))
    return ledger


async def in_clickhouse(ledger: LedgerInMemory, url: str, name: str) -> ClickHouse:
    """A database of its own that holds all of it."""
    database = ClickHouse(url, name)
    await migrate(database)
    await store_prices(database, list_prices())
    await accept_log(database, LOG_ID)
    for topic, table in TABLES.items():
        if topic == CREDIT_STATUS.name:
            kept = ledger.latest[topic].items()
            records = [KafkaRecord(offset, value, key=key) for offset, (key, value) in enumerate(kept)]
        else:
            records = [KafkaRecord(offset, value) for offset, value in enumerate(ledger.outputs.get(topic, ()))]
        claim = await take_over(database, LOG_ID, topic, [0])
        progress = await table.progress(database, claim)
        for insert in progress.inserts(claim, records) if records else ():
            await database.insert(insert.statement, insert.body, log_comment=claim.name)
    return database


def _commands() -> Iterator[Said]:
    founded = "2026-08-17T08:00:00Z"
    for org_id, plan in (("acme", "enterprise"), ("lumen", "team"), ("volta", "team")):
        yield founded, "commands", register(org_id, plan=plan)
        yield founded, "commands", set_credits(org_id=org_id)
    for org_id, user_id, seat_tier in (
        *(("acme", user_id, "standard") for user_id in ("ann", "ben", "dan")),
        ("acme", "pia", "premium"),
        ("lumen", "lena", "standard"),
        ("lumen", "leo", "standard"),
        ("volta", "vera", "premium"),
    ):
        yield founded, "commands", add_member(user_id, org_id=org_id, seat_tier=seat_tier)
    for org_id, usd in (("lumen", "300.00"), ("volta", "20.00")):
        paid = {"org_id": org_id, "payment_id": f"pay-{org_id}", "amount_usd": usd}
        yield founded, "commands", command("confirm_payment", BILLING, command_id=f"pay-{org_id}", **paid)
    september = "2026-09-01T00:00:00Z"
    yield september, "commands", set_limit("100.00")
    yield september, "commands", command("set_tier_limit", command_id="each", seat_tier="standard", limit_usd="20.00")
    pool = {"seat_tier": "premium", "limit_usd": "22.00", "basis": "whole_tier"}
    yield september, "commands", command("set_tier_limit", command_id="pool", **pool)
    yield september, "commands", command("set_user_limit", command_id="own", user_id="ben", limit_usd="8.00")
    off = {"org_id": "lumen", "user_id": "leo", "enabled": False}
    yield september, "commands", command("set_member_credits", command_id="off", **off)
    yield "2026-09-10T12:00:00Z", "commands", command("remove_member", command_id="gone", user_id="dan")
    for at, user_id, kind in (
        ("2026-09-02T10:00:00Z", "pia", "credits"),
        ("2026-09-08T12:00:00Z", "dan", "credits"),
        ("2026-09-16T14:00:00Z", "ann", "premium_seat"),
        ("2026-09-18T09:30:00Z", "ben", "credits"),
    ):
        yield at, "commands", command("request_credits", user(user_id), command_id=f"ask-{user_id}", kind=kind)


def _days() -> Iterator[Said]:
    """What is used on working days at nine."""
    for day in range(33):
        moment = FIRST_DAY + timedelta(days=day)
        at, week, weekday = moment.isoformat().replace("+00:00", "Z"), *divmod(day, 7)
        if weekday >= WEEKDAYS:
            continue
        yield at, "usage", searches(f"ann-{day}", 150 + 10 * week, occurred_at=at)
        yield at, "usage", event(f"pia-{day}", user_id="pia", occurred_at=at, **CACHED)
        yield at, "usage", searches(f"lena-{day}", 800, org_id="lumen", user_id="lena", occurred_at=at)
        if weekday == 0:
            yield at, "usage", searches(f"ben-{day}", 60, user_id="ben", funding="included", occurred_at=at)
        if weekday == WEEKDAYS - 1:
            yield (
                at,
                "usage",
                searches(f"ben-{day}", 300, user_id="ben", product="cowork", model="claude-opus-4-7", occurred_at=at),
            )
        if moment.month == 9 and moment.day >= 14:
            yield at, "usage", searches(f"vera-{day}", 500, org_id="volta", user_id="vera", occurred_at=at)


def _out_of_the_ordinary() -> Iterator[Said]:
    august = "2026-08-30T10:00:00Z"
    yield "2026-09-01T10:00:00Z", "usage", searches("late", 40, user_id="ben", occurred_at=august)
    yield "2026-09-09T08:00:00Z", "usage", searches("too-late", 70, user_id="ben", occurred_at=august)
    wrong = searches("wrong", 900, user_id="pia", occurred_at="2026-09-09T11:00:00Z")
    yield "2026-09-09T11:00:00Z", "usage", wrong
    yield "2026-09-09T15:00:00Z", "usage", correction("right", 90, wrong)
    left = "2026-09-11T10:00:00Z"
    yield left, "usage", searches("left", 50, user_id="dan", occurred_at=left)
    unpriced = {"model": "claude-unheard-of", "input_tokens": 12_000, "output_tokens": 345}
    yield "2026-09-17T10:00:00Z", "usage", event("new", occurred_at="2026-09-17T10:00:00Z", **unpriced)
    yield (
        "2026-09-18T11:00:00Z",
        "usage",
        event("who", user_id="zoe", input_tokens=1_000, occurred_at="2026-09-18T11:00:00Z"),
    )
