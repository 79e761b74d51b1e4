"""What a chaos run sends: a seed in; a random history of accounts out, in slices with a tick after each.

The history is one the auditor agrees with the ledger about, so what an undisturbed ledger says is right. At its end lie
a few events in the wrong partition: earlier, their place among others would be a matter of timing (R43, R44).
"""

import json
from dataclasses import dataclass
from random import Random

from pipeline.engine.partitioning import partition_of
from pipeline.publisher import Outgoing
from pipeline.topics import ACCOUNT_COMMANDS, USAGE_EVENTS
from tests.support.auditor import Auditor, comparison
from tests.support.auditor.basics import SECOND, text_of
from tests.support.histories import Histories

_MILLISECOND = 1_000
_MISPLACED = 3
_TOPICS = {"usage": USAGE_EVENTS.name, "command": ACCOUNT_COMMANDS.name}


@dataclass(frozen=True, slots=True)
class Slice:
    """Records in the order of their arrival; the tick says that nothing earlier than `until_micros` will come."""

    records: list[Outgoing]
    until_micros: int


@dataclass(frozen=True, slots=True)
class Load:
    """All of it.

    Attributes:
        ends_micros: when all is over. It is told once the last slice is read, forwards included: what is taken after
            the last tick would leave spend that is told 10 s later, and that instant would never come.
    """

    slices: list[Slice]
    ends_micros: int

    def as_it_lies(self, partitions: int) -> list[Outgoing]:
        """Every record and every tick but the last ones, in the order of offsets."""
        found: list[Outgoing] = []
        for piece in self.slices:
            found += piece.records
            if piece is self.slices[-1]:
                break
            for topic in _TOPICS.values():
                found += [Outgoing(topic, None, b"", piece.until_micros, number) for number in range(partitions)]
        return found


def load_of(seed: int, slices: int, partitions: int, length: int) -> Load:
    """A history of about `length` records.

    Raises:
        Disagreement: the auditor and the ledger disagree about it, so nothing can be said of faults.
    """
    history = Histories(seed, length)
    said = list(history)
    comparison.compare(said, comparison.way_of(seed), history.auditor)
    records = [_record(kind, body, at, partitions) for at, kind, body in said if kind in _TOPICS]
    now = history.auditor.now + SECOND
    records += _misplaced(history.auditor, Random(seed), now, partitions)
    return Load(_cut(records, slices, now + SECOND), now + 20 * SECOND)


def _record(kind: str, body: dict[str, object], at: int, partitions: int) -> Outgoing:
    key = str(body["org_id"]).encode()
    return Outgoing(_TOPICS[kind], key, json.dumps(body).encode(), at, partition_of(key, partitions))


def _misplaced(auditor: Auditor, chance: Random, now: int, partitions: int) -> list[Outgoing]:
    """To each partition at most one: which of two comes first would be a matter of timing too."""
    known = sorted(auditor.organizations)
    one_of_each = {partition_of(org_id.encode(), partitions): org_id for org_id in chance.sample(known, len(known))}
    found = []
    for number, org_id in enumerate(list(one_of_each.values())[:_MISPLACED]):
        event = {
            "org_id": org_id,
            "user_id": chance.choice(sorted(auditor.organizations[org_id].members)),
            "event_id": f"misplaced-{number}",
            "product": "chat",
            "model": "claude-sonnet-4-6",
            "occurred_at": text_of(now - SECOND),
            "funding": "credits",
            "input_tokens": 1_000 + number,
        }
        record = _record("usage", event, now + number * _MILLISECOND, partitions)
        found.append(record._replace(partition=((record.partition or 0) + 1) % partitions))
    return found


def _cut(records: list[Outgoing], slices: int, ends_micros: int) -> list[Slice]:
    """Only where time goes on, so that a tick lies between: later than what it follows, or that would wait for more."""
    found: list[Slice] = []
    begin = 0
    for number in range(1, slices):
        end = max(begin + 1, len(records) * number // slices)
        while end < len(records) and records[end].arrival_micros <= records[end - 1].arrival_micros + _MILLISECOND:
            end += 1
        if end >= len(records):
            break
        found.append(Slice(records[begin:end], records[end].arrival_micros - _MILLISECOND))
        begin = end
    return [*found, Slice(records[begin:], ends_micros)]
