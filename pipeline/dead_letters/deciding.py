"""Dead letters redriven or discarded: their ids and a verdict come in; how many, and which were held back, goes out."""

import time
from collections.abc import AsyncIterator, Set
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Literal

from pipeline.dead_letters.desk import Decided, claim_desk
from pipeline.dead_letters.reading import Filed, Reader, open_reader
from pipeline.dead_letters.redriving import HeldBack, Redriven, check_remembered, redriven
from pipeline.settings import Settings
from schemas.dead_letters import DeadLetterDecision

BATCH_LETTERS = 200
BATCH_BYTES = 2_000_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to become of dead letters, who says so and why.

    Attributes:
        also_forgotten: redrive also what may have been taken meanwhile without the ledger's remembering it.
    """

    decision: Literal["redriven", "discarded"]
    by: str
    why: str | None = None
    also_forgotten: bool = False


@dataclass(slots=True)
class Outcome:
    """What came of it.

    Attributes:
        decided: how many got this verdict now.
        decided_before: how many somebody had decided meanwhile; they are left as they are.
        held_back: why, by the dead letter's id; these are open still.
    """

    decided: int = 0
    decided_before: int = 0
    held_back: dict[str, str] = field(default_factory=dict)


async def decide(settings: Settings, ids: Set[str], verdict: Verdict, *, dry_run: bool = False) -> Outcome:
    """Give each of these dead letters that is open the verdict.

    Args:
        dry_run: find out what would come of it, and write nothing.

    Raises:
        Mendable: another run has taken over, or Kafka does not answer.
    """
    outcome = Outcome()
    claim = nullcontext() if dry_run else claim_desk(settings)
    async with open_reader(settings) as reader, open_reader(settings) as origins, claim as desk:
        # Read after the claim: from here on nobody else decides.
        decisions = await (reader.decisions() if desk is None else reader.decisions_after_claim())
        still_open = ids - decisions.keys()
        outcome.decided_before = len(ids) - len(still_open)
        async for batch in _batches(settings, reader, origins, still_open, verdict, outcome):
            if desk is not None:
                await desk.commit(batch)
            outcome.decided += len(batch)
    return outcome


async def _batches(
    settings: Settings, reader: Reader, origins: Reader, ids: Set[str], verdict: Verdict, outcome: Outcome
) -> AsyncIterator[list[Decided]]:
    """What is to be written, in pieces; in each partition in the order in which the ledger judged."""
    batch: list[Decided] = []
    size = 0
    async for filed in reader.letters(ids):
        try:
            record = await _record(settings, origins, filed, verdict)
        except HeldBack as why:
            outcome.held_back[filed.letter.dead_letter_id] = str(why)
            continue
        batch.append(Decided(_decision(filed, verdict), filed.partition, record))
        size += len(record.value) if record else 0
        if len(batch) >= BATCH_LETTERS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


async def _record(settings: Settings, origins: Reader, filed: Filed, verdict: Verdict) -> Redriven | None:
    if verdict.decision == "discarded":
        return None
    record = await redriven(filed, origins.record_at, settings.partitions)
    # In replay mode time is that of the records, and no clock tells what the ledger has forgotten.
    if settings.mode == "live" and not verdict.also_forgotten:
        check_remembered(filed.letter, record.value, time.time_ns() // 1_000, settings.horizon_days)
    return record


def _decision(filed: Filed, verdict: Verdict) -> DeadLetterDecision:
    return DeadLetterDecision(
        dead_letter_id=filed.letter.dead_letter_id,
        decision=verdict.decision,
        by=verdict.by,
        why=verdict.why,
        at_micros=time.time_ns() // 1_000,
    )
