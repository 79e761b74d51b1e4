"""Whether every record is accounted for: what one partition read and wrote comes in; how many came to what goes out.

Source: docs/rules.md R16, R17, R41.
"""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.agents.dead_letters import letter_id
from pipeline.agents.decoding import decode_record, raw_event
from pipeline.engine.contract import Input, InputRecord
from pipeline.replay import read_event
from pipeline.topics import (
    ACCOUNT_COMMANDS,
    ACCOUNT_EVENTS,
    DEAD_LETTERS,
    LEDGER_ENTRIES,
    LIMIT_BREACHES,
    NOTIFICATIONS,
    PRICED_USAGE,
    RELOAD_REQUESTS,
    USAGE_EVENTS,
)
from schemas.dead_letters import KEPT_BYTES, DeadLetter, Reason
from schemas.events import CommandApplied, CommandRefused, CommandRepeated
from schemas.priced import PricedUsage

TOPIC_OF: dict[Input, str] = {"usage": USAGE_EVENTS.name, "commands": ACCOUNT_COMMANDS.name}
_EVENTS = (LIMIT_BREACHES, ACCOUNT_EVENTS, LEDGER_ENTRIES, RELOAD_REQUESTS, NOTIFICATIONS)
_ANSWERS = {CommandApplied: "applied", CommandRefused: "refused", CommandRepeated: "repeated"}


@dataclass(frozen=True, slots=True)
class Partition:
    """What one partition of a ledger read, without ticks, and what it wrote.

    Attributes:
        read: records by input, each with what the decoder makes of it.
        outputs: topic → values.
        counters: the cell of that name.
    """

    number: int
    read: Mapping[Input, Sequence[InputRecord]]
    outputs: Mapping[str, Sequence[bytes]]
    counters: Mapping[str, int]


def equation_of(counters: Mapping[str, int]) -> None:
    """R41, of usage and of commands."""
    said = Counter(counters)
    accounted = said["accepted"] + said["duplicates"] + said["dead_letters"] + said["forwarded"]
    assert said["usage_events"] == accounted, f"{said['usage_events']} events, {accounted} accounted for: {said}"
    assert said["rows"] == said["accepted"] + said["corrections"], said
    kinds = ("applied", "refused", "repeated", "unreadable", "forwarded")
    answered = sum(said[f"commands_{kind}"] for kind in kinds)
    assert said["commands"] == answered, f"{said['commands']} commands, {answered} accounted for: {said}"


def check(partition: Partition) -> Counter[str]:
    """Check it all; outcomes of usage, and of commands, by kind and reason.

    Raises:
        AssertionError: with what is not accounted for.
    """
    said = Counter(partition.counters)
    equation_of(said)
    usage, commands = partition.read["usage"], partition.read["commands"]
    places = {
        ("usage", record.offset, index): record for record in usage for index in range(len(decode_record(record.value)))
    }
    assert said["usage_records"] == len(usage), f"{len(usage)} records, {said['usage_records']} counted"
    assert said["usage_events"] == len(places), f"{len(places)} events, {said['usage_events']} counted"
    assert said["commands"] == len(commands), f"{len(commands)} commands, {said['commands']} counted"
    places |= {("commands", record.offset, 0): record for record in commands}

    found: Counter[str] = Counter()
    rows = _rows(partition, places, said, found)
    letters = _letters(partition, places, said, found)
    assert not rows & letters, f"priced and a dead letter at once: {list(rows & letters)[:3]}"
    _answers(partition, said, found)
    for name in ("duplicates", "forwarded", "commands_forwarded"):
        found[name] += said[name]
    return +found


def _rows(partition: Partition, places: Mapping[Any, Any], said: Counter[str], found: Counter[str]) -> set[Any]:
    """The places that were priced, each once."""
    priced: Counter[Any] = Counter()
    for line in b"".join(partition.outputs.get(PRICED_USAGE.name, ())).splitlines():
        row = PricedUsage.model_validate_json(line)
        assert row.cost_picousd == sum(row.parts_picousd), f"a row does not add up: {line!r}"
        assert row.input_partition == partition.number
        priced["usage", row.input_offset, row.input_index] += 1
        found["corrections" if row.corrects else "accepted"] += 1
    assert priced.total() == said["rows"], f"{priced.total()} rows, {said['rows']} counted"
    assert len(priced) == said["accepted"], f"{len(priced)} places priced, {said['accepted']} counted"
    assert priced.keys() <= places.keys(), f"rows of nothing that was read: {list(priced.keys() - places.keys())[:3]}"
    found["corrections"] //= 2  # the reverse and the right one
    return set(priced)


def _letters(partition: Partition, places: Mapping[Any, Any], said: Counter[str], found: Counter[str]) -> set[Any]:
    """The places that became dead letters, each once, with their bytes."""
    by_id = {
        letter_id(TOPIC_OF[to], partition.number, offset, index): (to, offset, index) for to, offset, index in places
    }
    refused = set()
    for value in partition.outputs.get(DEAD_LETTERS.name, ()):
        letter = DeadLetter.model_validate_json(value)
        place = by_id.get(letter.dead_letter_id)
        assert place is not None, f"a dead letter of nothing that was read: {value[:500]!r}"
        assert place not in refused, f"two dead letters of one place: {value[:500]!r}"
        refused.add(place)
        assert letter.reason is not Reason.INTERNAL_ERROR, f"a bug: {value[:500]!r}"
        _bytes_of(letter, places[place], place[2])
        found[f"{'dead letter' if place[0] == 'usage' else 'unreadable command'} {letter.reason}"] += 1
    numbers = Counter(place[0] for place in refused)
    assert numbers["usage"] == said["dead_letters"], f"{numbers} dead letters, {said['dead_letters']} counted"
    assert numbers["commands"] == said["commands_unreadable"], f"{numbers}, {said['commands_unreadable']} counted"
    return refused


def _bytes_of(letter: DeadLetter, record: InputRecord, index: int) -> None:
    value = record.value or b""
    kept = base64.b64decode(letter.payload)
    whole = value if letter.length_bytes == len(value) else raw_event(value, index)
    assert kept == whole[:KEPT_BYTES], f"a dead letter of other bytes: {kept[:200]!r} of {value[:500]!r}"
    assert (letter.length_bytes, letter.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())


def _answers(partition: Partition, said: Counter[str], found: Counter[str]) -> None:
    """Every answer is one; and all else that was published can be read again."""
    answers: Counter[str] = Counter()
    for topic in _EVENTS:
        for value in partition.outputs.get(topic.name, ()):
            event = read_event(value)
            if topic is not ACCOUNT_EVENTS:
                continue
            assert isinstance(event, CommandApplied | CommandRefused | CommandRepeated)
            kind = _ANSWERS[type(event)]
            answers[kind] += 1
            if isinstance(event, CommandRefused):
                assert event.reason != "internal_error", f"a bug: {value[:500]!r}"
                kind = f"refused {event.reason}"
            found[f"command {kind}"] += 1
    for kind in _ANSWERS.values():
        assert answers[kind] == said[f"commands_{kind}"], f"{answers} answers, counted {said}"


def counters_in(cells: Mapping[bytes, bytes]) -> dict[str, int]:
    """The cell, without its name."""
    cell = json.loads(cells.get(b'["counters"]', b"{}"))
    return {name: count for name, count in cell.items() if name != "cell"}
