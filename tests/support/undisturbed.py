"""What a ledger says that nobody disturbed, and what a disturbed one said, in a form that can be compared (R44).

Records in the order of their arrival, or what lies in Kafka, come in; lists that can be compared come out.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from itertools import zip_longest
from operator import attrgetter
from typing import Any

from pipeline.agents.dead_letters import letter_id
from pipeline.engine.contract import Input
from pipeline.engine.partitioning import partition_of
from pipeline.engine.records import forward_headers
from pipeline.publisher import Outgoing
from pipeline.replay import read_event
from pipeline.topics import (
    ACCOUNT_COMMANDS,
    CREDIT_STATUS,
    DEAD_LETTERS,
    INVOICES,
    LEDGER_ENTRIES,
    LEDGER_OUTPUTS,
    LEDGER_STATE,
    LIMIT_BREACHES,
    PRICED_USAGE,
    USAGE_EVENTS,
)
from schemas.admission import decide
from schemas.ledger import LedgerEntry
from schemas.month import Month
from schemas.status import LimitedStatus, OrganizationStatus, TierStatus, read_status, status_key
from tests.support.builders import Wire
from tests.support.ledger import LedgerInMemory, Record

INPUTS: dict[str, Input] = {USAGE_EVENTS.name: "usage", ACCOUNT_COMMANDS.name: "commands"}

Outputs = Mapping[str, Sequence[bytes]]
"""Topic → values, in order; of one partition."""

Latest = Mapping[bytes, bytes]
"""Key → the last value, of a compacted topic's partition."""


def said(outputs: Outputs, status: Latest, cells: Latest, at_micros: int) -> dict[str, list[Any]]:
    """One partition's outputs and memory in a form that does not depend on where chunks end (R44).

    Record by record, but for two: of burns their sums (R38a), of status what was told last of each thing, and held at
    `at_micros`. What a month's end brings several organisations may come in any order of theirs.
    """
    events = map(read_event, outputs.get(LEDGER_ENTRIES.name, ()))
    entries = [event for event in events if isinstance(event, LedgerEntry)]
    balances_add_up(entries)
    rows: list[Wire] = [json.loads(line) for line in b"".join(outputs.get(PRICED_USAGE.name, ())).splitlines()]
    forwarded = {row["input_offset"] for row in rows if "origin_topic" in row}
    return {
        **{topic.name: list(outputs.get(topic.name, ())) for topic in LEDGER_OUTPUTS},
        DEAD_LETTERS.name: list(map(letter_in_place, outputs.get(DEAD_LETTERS.name, ()))),
        PRICED_USAGE.name: list(map(in_place, rows)),
        LIMIT_BREACHES.name: [breach_in_place(value, forwarded) for value in outputs.get(LIMIT_BREACHES.name, ())],
        LEDGER_ENTRIES.name: sorted([entry for entry in entries if not is_burn(entry)], key=attrgetter("org_id")),
        INVOICES.name: sorted(map(read_event, outputs.get(INVOICES.name, ())), key=attrgetter("org_id")),
        "burns": sorted(burns(entries).items()),
        CREDIT_STATUS.name: [lasting(key, status[key], at_micros) for key in sorted(status)],
        "decisions": [decision(status, key, at_micros) for key in sorted(status) if key.startswith(b'["member"')],
        LEDGER_STATE.name: [(key, remembered(cells[key])) for key in sorted(cells)],
    }


def in_place(row: Wire) -> Wire:
    """A row; one that was forwarded lies wherever its transaction put it."""
    return {name: value for name, value in row.items() if name != "input_offset" or "origin_topic" not in row}


def breach_in_place(value: bytes, forwarded: Set[int]) -> Wire:
    """A breach or a pause; the event that made it may be one that was forwarded."""
    event: Wire = json.loads(value)
    crossing = event["data"].get("crossing")
    if crossing and crossing["input_offset"] in forwarded:
        del crossing["input_offset"]
    return event


def letter_in_place(value: bytes) -> Wire:
    """A dead letter; the id of one that was forwarded goes by where its transaction put it."""
    letter: Wire = json.loads(value)
    origin = letter["origin"]
    if letter["dead_letter_id"] != letter_id(origin["topic"], origin["partition"], origin["offset"], origin["index"]):
        del letter["dead_letter_id"]
    return letter


def is_burn(entry: LedgerEntry) -> bool:
    """One that sums up what a chunk burnt; what a correction gives back to a wallet is an entry of its own."""
    return entry.type == "burn" and (entry.amount_picousd < 0 or entry.account == "unbilled")


def burns(entries: Iterable[LedgerEntry]) -> Counter[tuple[str, ...]]:
    """Sums by organisation and account, of each month and of each lot."""
    sums: Counter[tuple[str, ...]] = Counter()
    for entry in filter(is_burn, entries):
        sums[entry.org_id, entry.account, "month", str(entry.charge_month)] += entry.amount_picousd
        sums[entry.org_id, entry.account, "lot", entry.lot_id or ""] += entry.amount_picousd
    return sums


def balances_add_up(entries: Iterable[LedgerEntry]) -> None:
    """Each entry goes on where the one before it ended, so no burn is missing, double or out of order."""
    balances: Counter[tuple[str, str]] = Counter()
    latest_seq: Counter[str] = Counter()
    for entry in entries:
        assert entry.org_seq >= latest_seq[entry.org_id], f"{entry} after {latest_seq[entry.org_id]}"
        latest_seq[entry.org_id] = entry.org_seq
        account = entry.org_id, entry.account
        balances[account] += entry.amount_picousd
        assert entry.balance_after_picousd == balances[account], f"{entry} after a balance of {balances[account]}"


def lasting(key: bytes, value: bytes, at_micros: int) -> Wire:
    """A status without how far the chunk was that told it; spend of an ended month is none."""
    status = read_status(key, value)
    told = status.model_dump(exclude={"org_seq", "month", "spend_picousd"})
    if isinstance(status, LimitedStatus):
        told["spend_picousd"] = status.spend_picousd if status.month == str(Month.containing(at_micros)) else 0
    return told


def remembered(cell: bytes) -> Wire:
    """A cell without what status was told last."""
    return {name: value for name, value in json.loads(cell).items() if not name.startswith("told_")}


def decision(status: Latest, key: bytes, at_micros: int) -> Any:
    """Whether this member may go on, as a product decides that has nothing but the status (R34)."""
    _, org_id, user_id = json.loads(key)
    member: Any = read_status(key, status[key])
    keys = status_key("org", org_id), status_key("tier", org_id, member.seat_tier)
    organization, tier = (read_status(key, status[key]) for key in keys)
    assert isinstance(organization, OrganizationStatus)
    assert isinstance(tier, TierStatus)
    return user_id, decide(organization, tier, member, at_micros)


def undisturbed(records: Iterable[Outgoing], partitions: int, until_micros: int) -> list[LedgerInMemory]:
    """A ledger per partition that had everything at once; what one finds that is another's comes to that one last.

    A record without key is a tick: it takes an offset, and time goes on to it (R44).
    """
    ledgers = [LedgerInMemory(partition=number, partitions=partitions) for number in range(partitions)]
    taken: dict[int, list[Record]] = defaultdict(list)
    for record in records:
        number, to = record.partition or 0, INPUTS[record.topic]
        made = ledgers[number].record(to, record.value, record.arrival_micros)
        if record.key is not None:
            taken[number].append(made)
        else:
            ledgers[number].process(taken.pop(number, []))
            ledgers[number].move_to(record.arrival_micros)
    for number, rest in taken.items():
        ledgers[number].process(rest)
    topics = {name: topic for topic, name in INPUTS.items()}
    for ledger in ledgers:
        for forward in ledger.forwards:
            owner = ledgers[partition_of(forward.key, partitions)]
            headers = forward_headers(forward, topics[forward.input], ledger.partition)
            arrived = forward.source.timestamp * 1_000
            owner.process([owner.record(forward.input, forward.value, arrived, headers)])
    for ledger in ledgers:
        ledger.idle(until_micros)
    return ledgers


def said_by(ledger: LedgerInMemory) -> dict[str, list[Any]]:
    return said(ledger.outputs, ledger.latest[CREDIT_STATUS.name], ledger.cells, ledger.now_micros)


def latest(records: Iterable[Any]) -> dict[bytes, bytes]:
    """What lies under each key; the engine's own, which begins with a zero byte, is not the ledger's."""
    values = {record.key: record.value for record in records if not record.key.startswith(b"\x00")}
    return {key: value for key, value in values.items() if value is not None}


def assert_same(found: dict[str, list[Any]], expected: dict[str, list[Any]], where: str) -> None:
    """The first difference is told, not all of it."""
    assert found.keys() == expected.keys()
    for topic in expected:
        for number, (ours, theirs) in enumerate(zip_longest(found[topic], expected[topic])):
            assert ours == theirs, f"{where}, {topic}, number {number}:\n  found    {ours}\n  expected {theirs}"


def compare(written: Mapping[str, Sequence[Any]], records: Iterable[Outgoing], partitions: int, at_micros: int) -> None:
    """Hold what lies in Kafka, as (topic → its records), against what nobody disturbed.

    Raises:
        AssertionError: with the first difference.
    """
    for ledger in undisturbed(records, partitions, at_micros):
        here = {topic: [one for one in written[topic] if one.partition == ledger.partition] for topic in written}
        outputs = {topic: [record.value for record in here[topic]] for topic in here}
        found = said(outputs, latest(here[CREDIT_STATUS.name]), latest(here[LEDGER_STATE.name]), at_micros)
        assert_same(found, said_by(ledger), f"partition {ledger.partition}")
