"""Fuzzing in memory: a seed and the number of a round come in; what became of its records goes out.

A round is a few ledgers, one a partition, that know the accounts and are then given some records in chunks. It begins
with nothing from the round before, so a failure is reproduced by its round alone.
"""

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

from pipeline.agents.decoding import decode_record
from pipeline.engine.contract import EventFailed, Input
from pipeline.engine.partitioning import partition_of
from pipeline.engine.records import forward_headers, is_tick
from pipeline.topics import LEDGER_STATE
from schemas.instants import MICROS_PER_DAY, parse_instant
from tests.fuzz import accounting, oracle
from tests.fuzz.accounting import TOPIC_OF
from tests.fuzz.originals import accounts
from tests.fuzz.records import Fuzzed, fuzzed
from tests.support.builders import as_json
from tests.support.ledger import LedgerInMemory, Record
from tests.support.undisturbed import assert_same, said_by

PARTITIONS = 2
ROUND_RECORDS = 2_000
CUT_OTHERWISE_EVERY = 50
_OPENS = parse_instant("2026-05-20T00:00:00Z")
_LASTS = 18 * MICROS_PER_DAY
"""Over the end of a month, and its close."""
_STEP = _LASTS // ROUND_RECORDS // 1_000 * 1_000


class Found(Exception):
    """Something that must not be; `record` is the culprit, where it is known."""

    def __init__(self, seed: int, round_number: int, what: str, record: Fuzzed | None = None) -> None:
        super().__init__(what)
        self.seed, self.round_number, self.record = seed, round_number, record


def clock(number: int) -> int:
    """When a record arrives."""
    return _OPENS + _STEP * (1 + number % ROUND_RECORDS)


@dataclass
class _Ledger(LedgerInMemory):
    """Holds the equation against the counters after every chunk."""

    taken: dict[Input, list[Record]] = field(default_factory=lambda: {"usage": [], "commands": []})

    def _chunk(self, records: Any) -> int:
        taken = super()._chunk(records)
        for record in records[:taken]:
            self.taken[record.input].append(record)
        accounting.equation_of(accounting.counters_in(self.cells))
        return taken


def play(seed: int, round_number: int, records: int = ROUND_RECORDS) -> Counter[str]:
    """One round; outcomes by kind and reason.

    Raises:
        Found: what must not be.
    """
    first = round_number * ROUND_RECORDS
    given = [fuzzed(seed, number, clock, PARTITIONS) for number in range(first, first + records)]
    _against_the_models(seed, round_number, given)
    chance = Random(f"{seed} round {round_number}")
    whole = _ledgers(seed, round_number, given, chance, reborn=False)
    outcomes: Counter[str] = Counter(records=len(given))
    for ledger in whole:
        counters = accounting.counters_in(ledger.cells)
        try:
            outcomes += accounting.check(accounting.Partition(ledger.partition, ledger.taken, ledger.outputs, counters))
        except (AssertionError, ValueError) as error:
            raise Found(seed, round_number, f"partition {ledger.partition}: {error}") from error
    if round_number % CUT_OTHERWISE_EVERY == 0:
        _cut_otherwise(seed, round_number, given, chance, whole)
    outcomes["ticks"] = sum(is_tick(_as_record(record, 0)) for record in given)
    return +outcomes


def _against_the_models(seed: int, round_number: int, given: list[Fuzzed]) -> None:
    usage = [(record, record.value) for record in given if record.input == "usage" and record.value]
    decoded = []
    for record, value in usage:
        try:
            decoded.append(decode_record(value))
            oracle.compare(value, decoded[-1])
        except Exception as error:
            raise Found(seed, round_number, f"{type(error).__name__}: {error}", record) from error
    try:
        oracle.compare_together([value for _, value in usage], decoded)
    except Exception as error:
        raise Found(seed, round_number, f"{type(error).__name__}: {error}") from error


def _ledgers(seed: int, round_number: int, given: list[Fuzzed], chance: Random, *, reborn: bool) -> list[_Ledger]:
    """Ledgers that were given all of it, in chunks by chance; what one finds of another's comes to that one last."""
    sizes = (1, 2, 7, 40) if reborn else (1, 20, 300, 1_000)
    ledgers = [
        _Ledger(partition=number, partitions=PARTITIONS, chunk_sizes=lambda: chance.choice(sizes), reborn=reborn)
        for number in range(PARTITIONS)
    ]
    for wire in accounts():
        ledger = ledgers[partition_of(wire["org_id"].encode(), PARTITIONS)]
        ledger.process([ledger.record("commands", as_json(wire), _OPENS)])
    by_place: dict[Any, Fuzzed] = {}
    for ledger in ledgers:
        records = []
        for record in given:
            if record.partition != ledger.partition or is_tick(_as_record(record, 0)):
                continue  # of a tick the engine itself takes care
            made = ledger.record(record.input, record.value, clock(record.number), record.headers)
            made.key = record.key
            by_place[ledger.partition, made.input, made.offset] = record
            records.append(made)
        _process(ledger, records, seed, round_number, by_place)
    strays = [(ledger.partition, forward) for ledger in ledgers for forward in ledger.forwards]
    for ledger in ledgers:
        records = [
            ledger.record(stray.input, stray.value, clock(-1), forward_headers(stray, TOPIC_OF[stray.input], found_in))
            for found_in, stray in strays
            if partition_of(stray.key, PARTITIONS) == ledger.partition
        ]
        _process(ledger, records, seed, round_number, by_place)
    for ledger in ledgers:
        ledger.idle(_OPENS + 2 * _LASTS)
    return ledgers


def _process(ledger: _Ledger, records: list[Record], seed: int, round_number: int, by_place: dict[Any, Fuzzed]) -> None:
    try:
        ledger.process(records)
    except EventFailed as error:
        culprit = by_place.get((ledger.partition, error.place.input, error.place.offset))
        raise Found(seed, round_number, str(error), culprit) from error
    except Exception as error:
        raise Found(seed, round_number, f"{type(error).__name__}: {error}") from error


def _cut_otherwise(seed: int, round_number: int, given: list[Fuzzed], chance: Random, whole: list[_Ledger]) -> None:
    """Cut into other chunks, and by workers that have just taken over, it must come to the same (R44)."""
    for one, other in zip(whole, _ledgers(seed, round_number, given, chance, reborn=True), strict=True):
        try:
            assert_same(_lasting(other), _lasting(one), f"partition {one.partition}, cut otherwise")
        except AssertionError as error:
            raise Found(seed, round_number, str(error)) from error


def _lasting(ledger: _Ledger) -> dict[str, list[Any]]:
    """Without answers to commands: those whose time is over lie on for a while, which goes by chunks."""
    said = said_by(ledger)
    said[LEDGER_STATE.name] = [cell for cell in said[LEDGER_STATE.name] if not cell[0].startswith(b'["command",')]
    return said


def _as_record(record: Fuzzed, offset: int) -> Record:
    return Record(record.input, offset, 0, record.value, record.headers, record.key)
