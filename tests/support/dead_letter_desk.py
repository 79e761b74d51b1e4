"""Dead letters on a real Kafka: a ledger in this process, letters nobody judged, and redriving that is killed.

    python -m tests.support.dead_letter_desk '{"call": "commit_transaction", "number": 1, "moment": "before"}' --yes

is `usage-credits dead-letters redrive --yes`, one dead letter a transaction, killed (-9) at that call of its producer.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Literal, NamedTuple

from aiokafka import AIOKafkaProducer
from click.testing import CliRunner, Result

from pipeline.agents import dead_letters
from pipeline.app import engine_settings, machine_factory
from pipeline.cli import main
from pipeline.demo.reading import ledger_has_read_everything, read_topics
from pipeline.demo.system import environment
from pipeline.engine.engine import Engine
from pipeline.engine.observer import Observer
from pipeline.engine.work import answer
from pipeline.publisher import Outgoing, publish
from pipeline.settings import Settings
from pipeline.topics import ACCOUNT_COMMANDS, DEAD_LETTER_DECISIONS, DEAD_LETTERS, PRICED_USAGE, USAGE_EVENTS
from schemas.dead_letters import DeadLetter, DeadLetterDecision, Origin, Reason
from schemas.instants import format_instant
from schemas.priced import PricedUsage
from tests.support.builders import Wire, as_json, event

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 60.0


def now() -> str:
    """This instant, to the millisecond."""
    return format_instant(time.time_ns() // 1_000_000 * 1_000)


@asynccontextmanager
async def ledger(settings: Settings, observer: Observer | None = None) -> AsyncIterator[None]:
    """The real ledger, without Faust, while the block lasts."""
    engine = Engine(engine_settings(settings), machine_factory(settings), answer, observer=observer)
    task = asyncio.create_task(engine.run())
    try:
        yield
    finally:
        await engine.stop()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def settled(settings: Settings) -> None:
    """Wait until the ledger has read everything."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        await ledger_has_read_everything(settings, lambda _read, _there: None, lambda: None)


async def send_usage(settings: Settings, *values: object, partition: int | None = None) -> None:
    """A record each; an array goes to the partition of its first event's organisation."""
    await publish(settings, [_outgoing(USAGE_EVENTS.name, value, partition) for value in values])


async def send_commands(settings: Settings, *wires: Wire) -> None:
    await publish(settings, [_outgoing(ACCOUNT_COMMANDS.name, wire, None) for wire in wires])


def _outgoing(topic: str, value: Any, partition: int | None) -> Outgoing:
    first = value[0] if isinstance(value, list) else value
    key = None if isinstance(first, bytes) else first["org_id"].encode()
    return Outgoing(topic, key, value if isinstance(value, bytes) else as_json(value), 0, partition)


# What came of it.


async def letters_of(settings: Settings) -> list[DeadLetter]:
    records = (await read_topics(settings, [DEAD_LETTERS]))[DEAD_LETTERS.name]
    return [DeadLetter.model_validate_json(record.value) for record in records]


async def rows_of(settings: Settings) -> list[PricedUsage]:
    records = (await read_topics(settings, [PRICED_USAGE]))[PRICED_USAGE.name]
    return [PricedUsage.model_validate_json(line) for record in records for line in record.value.splitlines()]


async def decisions_of(settings: Settings) -> list[DeadLetterDecision]:
    records = (await read_topics(settings, [DEAD_LETTER_DECISIONS]))[DEAD_LETTER_DECISIONS.name]
    return [DeadLetterDecision.model_validate_json(record.value) for record in records]


async def redriven_records(settings: Settings, topic: str = USAGE_EVENTS.name) -> list[Any]:
    """Records of an input that came by a detour, with their headers as a mapping."""
    records = (await read_topics(settings, [USAGE_EVENTS, ACCOUNT_COMMANDS]))[topic]
    return [record for record in records if record.headers]


# Letters that no ledger wrote.


def letter(raw: bytes, offset: int, *, topic: str = USAGE_EVENTS.name, partition: int = 0, **fields: Any) -> DeadLetter:
    """The dead letter of an unknown organisation's event, or of whatever these bytes are."""
    found = dead_letters.Found(
        dead_letters.letter_id(topic, partition, offset, 0),
        Origin(topic=topic, partition=partition, offset=offset, index=0),
        time.time_ns() // 1_000,
    )
    made = dead_letters.of_command(raw, Reason.UNKNOWN_ORGANIZATION, "organization acme is not registered", found)
    return made.model_copy(update={"org_id": "acme", **fields})


async def file_letters(settings: Settings, letters: Iterable[DeadLetter]) -> None:
    """Have them in `dead-letters`, each in the number of its origin's partition."""
    await publish(
        settings,
        [
            Outgoing(
                DEAD_LETTERS.name,
                one.dead_letter_id.encode(),
                one.model_dump_json().encode(),
                one.arrived_at_micros,
                one.origin.partition % settings.partitions,
            )
            for one in letters
        ],
    )


async def file_some(settings: Settings, count: int) -> list[DeadLetter]:
    """So many, of an organisation that nobody knows, in all partitions."""
    letters = [
        letter(as_json(event(f"e-{number}", occurred_at=now())), number, partition=number % settings.partitions)
        for number in range(count)
    ]
    await file_letters(settings, letters)
    return letters


# The command.


async def run(settings: Settings, *arguments: str, stdin: str | None = None) -> Result:
    """`usage-credits dead-letters` with these settings."""
    command = ["dead-letters", *arguments]
    return await asyncio.to_thread(CliRunner().invoke, main, command, input=stdin, env=environment(settings))


async def answer_of(settings: Settings, *arguments: str, exit_code: int = 0) -> Any:
    """What it says to a program."""
    result = await run(settings, *arguments, "--json")
    assert result.exit_code == exit_code, result.output
    return json.loads(result.stdout)


class Death(NamedTuple):
    """The n-th call of one of the producer's methods, and whether Kafka has heard of it."""

    call: Literal["send", "commit_transaction"]
    number: int
    moment: Literal["before", "after"]


async def redrive_and_die(settings: Settings, death: Death) -> None:
    """Redrive all in another process, which is killed there."""
    command = [sys.executable, "-m", "tests.support.dead_letter_desk", json.dumps(death._asdict()), "--yes"]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, env=environment(settings), capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def _die_at(death: Death) -> None:
    method = getattr(AIOKafkaProducer, death.call)
    calls = count(1)

    async def call_and_die(producer: Any, *arguments: Any, **named: Any) -> Any:
        is_last = next(calls) == death.number
        if is_last and death.moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answered = await method(producer, *arguments, **named)
        if is_last:
            if death.call == "send":
                await answered
            os.kill(os.getpid(), signal.SIGKILL)
        return answered

    setattr(AIOKafkaProducer, death.call, call_and_die)


if __name__ == "__main__":
    from pipeline.dead_letters import deciding

    deciding.BATCH_LETTERS = 1
    _die_at(Death(**json.loads(sys.argv[1])))
    main(["dead-letters", "redrive", *sys.argv[2:]])
