"""Recorded messages: a real ledger's topics come in; tests/data/recorded_messages.jsonl goes out, and is read back.

`python -m tests.support.recorded` records them anew, on a Kafka of its own: the scripted month of the fault tests, one
dead letter of it redriven and one discarded; contacts and mails as gate and mailer encode them. Of each kind as many
are kept as it takes to see every field once, the shortest first. Record anew when there is something new to see; what
is there already is what must still decode.
"""

import asyncio
import base64
import json
import logging
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from click.testing import CliRunner

from pipeline.agents.commands import InvalidCommand, UnreadableCommand, read_command
from pipeline.agents.decoding import BadEvent, decode_event
from pipeline.cli import main as command_line
from pipeline.contacts import encoded
from pipeline.demo.reading import read_topics
from pipeline.demo.system import environment
from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.engine.journal import ENGINE_CELL
from pipeline.engine.partitioning import partition_of
from pipeline.publisher import Outgoing, publish
from pipeline.settings import Settings
from pipeline.topics import (
    ACCOUNT_COMMANDS,
    CREDIT_STATUS,
    DEAD_LETTER_DECISIONS,
    DEAD_LETTERS,
    LEDGER_JOURNAL,
    LEDGER_STATE,
    LOG_ID,
    MAILS,
    MEMBER_CONTACTS,
    PRICED_USAGE,
    SEEN_IDS,
    TOPICS,
    USAGE_EVENTS,
)
from pipeline.topics_admin import create_topics
from schemas.contacts import Contact, Notices, contact_key
from schemas.mails import MailOutcome
from tests.faults.test_accounts_faults import ENDS, PARTITIONS, the_month
from tests.support.builders import as_json, micros, searches
from tests.support.ledger_cluster import everything_at, worker

FILE = Path(__file__).parents[1] / "data" / "recorded_messages.jsonl"
LAST = "2026-06-05T08:30:00Z"
_MOST_BYTES = 20_000


class Message(NamedTuple):
    """One record of a topic; `kind` is what lies in it, of all that may lie there."""

    topic: str
    kind: str
    key: bytes | None
    value: bytes


def recorded_messages() -> list[Message]:
    """What was recorded."""
    lines = map(json.loads, FILE.read_text().splitlines())
    return [
        Message(line["topic"], line["kind"], _bytes(line["key"]) if line["key"] else None, _bytes(line["value"]))
        for line in lines
    ]


def kind_of(topic: str, key: bytes | None, value: bytes) -> str | None:
    """What a record is; None where it is nothing: somebody sent it wrong on purpose."""
    if topic in (SEEN_IDS.name, LOG_ID.name, MEMBER_CONTACTS.name):
        return topic
    if topic == USAGE_EVENTS.name:
        return _kind_of_usage(value)
    if topic == ACCOUNT_COMMANDS.name:
        command = read_command(value)
        return None if isinstance(command, InvalidCommand | UnreadableCommand) else command.command
    if topic == LEDGER_STATE.name and key == ENGINE_CELL:
        return "engine"
    if topic == PRICED_USAGE.name:
        return "row"
    named_by = {
        LEDGER_STATE.name: "cell",
        LEDGER_JOURNAL.name: "kind",
        DEAD_LETTERS.name: "reason",
        DEAD_LETTER_DECISIONS.name: "decision",
        MAILS.name: "outcome",
    }
    said: Any = json.loads(key or b"")[0] if topic == CREDIT_STATUS.name else None
    kind: str = said or json.loads(value)[named_by.get(topic, "type")]
    return kind


def _kind_of_usage(value: bytes) -> str | None:
    try:
        wire = json.loads(value)
    except ValueError:
        return None
    events = wire if isinstance(wire, list) else [wire]
    if any(isinstance(decode_event(json.dumps(event).encode()), BadEvent) for event in events):
        return None
    return "several" if isinstance(wire, list) else "cloud event" if "specversion" in wire else "bare event"


def _chosen(messages: Iterable[Message]) -> Iterator[Message]:
    """The shortest of each kind, and those that show a field which no shorter one has."""
    seen: set[tuple[str, str, str]] = set()
    for message in sorted(messages, key=lambda one: (len(one.value), one.value)):
        fields = {(message.topic, message.kind, field) for field in _fields(message.value)}
        if not fields <= seen and len(message.value) <= _MOST_BYTES:
            seen |= fields
            yield message


def _fields(value: bytes) -> set[str]:
    """Every field and the type of what it holds, like `data.scope.kind: str`."""
    try:
        lines = list(map(json.loads, value.splitlines()))
    except ValueError:
        return {"bytes"}
    return {field for line in lines for field in _walk("", line)}


def _walk(path: str, wire: Any) -> Iterator[str]:
    if isinstance(wire, dict):
        for name, value in wire.items():
            yield from _walk(f"{path}.{name}", value)
    elif isinstance(wire, list) and wire:
        for value in wire:
            yield from _walk(path, value)
    else:
        yield f"{path}: {type(wire).__name__}"


async def _live(settings: Settings) -> None:
    """The month, worked through by a ledger."""
    await create_topics(settings)
    await publish(settings, [*the_month(), _several()], ticks_at_micros=micros(ENDS))
    with worker(settings) as running:
        await everything_at(micros(ENDS), settings, running)
    await publish(settings, _of_others())


def _several() -> Outgoing:
    """An array of events that are all good, which is short; the month has none."""
    of_whom = {"org_id": "umbrella", "user_id": "max", "occurred_at": LAST}
    events = [searches(f"several-{number}", 1, **of_whom) for number in range(2)]
    number = partition_of(b"umbrella", PARTITIONS)
    return Outgoing(USAGE_EVENTS.name, b"umbrella", as_json(events), micros(LAST), number)


def _of_others() -> Iterator[Outgoing]:
    """What gate and mailer write."""
    said = {"email": "ann@example.com", "display_name": "Ann", "notices": Notices(digest=False)}
    value, _ = encoded(Contact(changed=dict.fromkeys(said, 7), **said))
    yield Outgoing(MEMBER_CONTACTS.name, contact_key("acme", "ann"), value or b"", micros(LAST))
    of_whom = {"org_id": "acme", "user_id": "ann", "kind": "breach", "at_micros": micros(LAST)}
    for number, (outcome, code) in enumerate((("sent", None), ("refused", 550), ("given_up", None))):
        mail = MailOutcome(mail_id=f"m-{number}", outcome=outcome, smtp_code=code, **of_whom)
        yield Outgoing(MAILS.name, mail.mail_id.encode(), mail.model_dump_json().encode(), micros(LAST))


def _decide(settings: Settings, *words: str) -> None:
    arguments = ["dead-letters", *words, "--limit", "1", "--by", "olga", "--yes"]
    answer = CliRunner(env=environment(settings)).invoke(command_line, arguments)
    assert answer.exit_code == 0, answer.output


async def _read(settings: Settings) -> list[Message]:
    records = await read_topics(settings, TOPICS)
    return [
        Message(topic, kind, record.key, record.value)
        for topic, found in records.items()
        for record in found
        if record.value is not None and (kind := kind_of(topic, record.key, record.value)) is not None
    ]


def _text(value: bytes) -> Any:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _bytes(said: Any) -> bytes:
    return said.encode() if isinstance(said, str) else base64.b64decode(said["base64"])


def main() -> None:
    """Record."""
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, EmbeddedKafka(Path(folder) / "kafka") as kafka:
        settings = Settings(
            kafka_bootstrap_servers=kafka.bootstrap_servers,
            partitions=PARTITIONS,
            mode="replay",
            data_dir=Path(folder),
        )
        asyncio.run(_live(settings))
        _decide(settings, "redrive", "--reason", "unpriced")
        _decide(settings, "discard", "--reason", "malformed", "--why", "a test of theirs")
        messages = asyncio.run(_read(settings))
    chosen = sorted(_chosen(messages), key=lambda one: (one.topic, one.kind))
    with FILE.open("w") as file:
        for topic, kind, key, value in chosen:
            line = {"topic": topic, "kind": kind, "key": _text(key) if key else None, "value": _text(value)}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    print(f"{len(chosen)} messages in {FILE}")


if __name__ == "__main__":
    main()
