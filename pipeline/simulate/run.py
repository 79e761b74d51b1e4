"""A scenario goes in: commands and usage with their instants; what the ledger published, month by month, comes out.

The ledger is the very one that runs on Kafka (pipeline/replay.py). Beside it stands a billing service of its own: what
auto-reload and owners ask it to collect is answered, paid or failed, some seconds later. Source: docs/rules.md R5, R44.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

from pipeline.domain.pricing import CompiledPrices, PriceBook
from pipeline.domain.rules import Rules
from pipeline.replay import LedgerInMemory, Record, read_event
from pipeline.simulate.accounts_shape import Billing
from pipeline.simulate.billing import answer_of
from pipeline.simulate.limits_in_force import LimitsInForce, limits_in_force
from pipeline.simulate.spend import Spend
from pipeline.simulate.usage import Arriving
from pipeline.topics import DEAD_LETTERS, PRICED_USAGE, TOPICS
from schemas.commands import BuyCredits, Command, SetAutoReload
from schemas.dead_letters import DeadLetter
from schemas.events import LedgerEvent
from schemas.instants import MICROS_PER_SECOND
from schemas.ledger import PurchaseRequested, ReloadRequested
from schemas.month import Month

_FOR_EVER = 2**62


@dataclass(frozen=True, slots=True)
class Timed:
    """A command and its arrival."""

    at_micros: int
    command: Command


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything that decides a run. `books` are price books by the instant from which they hold, by time."""

    from_micros: int
    commands: Sequence[Timed]
    usage: Sequence[Arriving]
    books: Sequence[tuple[int, PriceBook]]
    until_micros: int
    billing: Billing = field(default_factory=Billing)
    rules: Rules = field(default_factory=Rules)


@dataclass(slots=True)
class Outcome:
    """What came of it.

    Attributes:
        spend: what was charged, by month and whose it was.
        limits: which limits were in force at the end of each month, or at the end of the run.
        events: everything published as a CloudEvent, in order of time.
        dead_letters: with the place each was read at.
        counts: what became of records, as the ledger counts it.
        left_out: records that come after the end.
    """

    spend: Spend = field(default_factory=Spend)
    limits: dict[str, LimitsInForce] = field(default_factory=dict)
    events: list[LedgerEvent] = field(default_factory=list)
    dead_letters: list[tuple[str, DeadLetter]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    left_out: int = 0


def simulate(scenario: Scenario) -> Outcome:
    """Run the scenario to its end."""
    return _Run(scenario).outcome()


class _Run:
    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._books = list(scenario.books)
        self._ledger = LedgerInMemory(prices=CompiledPrices(self._books.pop(0)[1]), rules=scenario.rules)
        self._outcome = Outcome()
        self._places = [event.place for event in scenario.usage]
        self._records = self._merged()
        self._answers: list[tuple[int, int, Command]] = []
        self._asked = 0
        self._may_ask = any(isinstance(timed.command, SetAutoReload | BuyCredits) for timed in scenario.commands)
        self._month: Month | None = None
        self._after_micros = scenario.billing.after_seconds * MICROS_PER_SECOND

    def outcome(self) -> Outcome:
        """Take records until there are none, then let time pass."""
        ledger, until_micros = self._ledger, self._scenario.until_micros
        done = 0
        while True:
            next_micros = min(self._arrival(done), self._answers[0][0] if self._answers else _FOR_EVER)
            at_micros = min(next_micros, until_micros)
            self._wait(at_micros)
            if self._answers and self._answers[0][0] <= at_micros:
                # As any command it comes before usage of the same instant.
                answered_at_micros, _, command = heappop(self._answers)
                ledger.process([_command_record(ledger, command, answered_at_micros)])
                self._collect()
                continue
            if next_micros > until_micros:
                break
            end = self._slice(done, at_micros)
            ledger.process(self._records[done:end])
            done = end
            self._collect()
        self._outcome.limits[str(Month.containing(until_micros))] = limits_in_force(ledger)
        self._outcome.events.sort(key=lambda event: (event.at_micros, event.org_id, event.org_seq))
        self._outcome.counts = ledger.counts
        return self._outcome

    def _merged(self) -> list[Record]:
        """Both inputs as one sequence: by arrival, a command before usage (R44)."""
        ledger, scenario = self._ledger, self._scenario
        commands = [
            _command_record(ledger, timed.command, timed.at_micros)
            for timed in sorted(scenario.commands, key=lambda timed: timed.at_micros)
        ]
        usage = [ledger.record("usage", event.value, event.at_micros) for event in scenario.usage]
        merged = sorted([*commands, *usage], key=lambda record: (record.timestamp, record.input == "usage"))
        taken = [record for record in merged if record.timestamp * 1_000 <= scenario.until_micros]
        self._outcome.left_out = len(merged) - len(taken)
        return taken

    def _arrival(self, index: int) -> int:
        return self._records[index].timestamp * 1_000 if index < len(self._records) else _FOR_EVER

    def _wait(self, at_micros: int) -> None:
        """Let time pass up to an instant, stopping where something falls due, a month ends, or another book holds."""
        ledger = self._ledger
        if self._month is None:
            ledger.move_to(at_micros)
            self._month = Month.containing(at_micros)
        while True:
            due_micros = ledger.machine.next_due_micros() or _FOR_EVER
            answer_micros = self._answers[0][0] if self._answers else _FOR_EVER
            book_micros = self._books[0][0] if self._books else _FOR_EVER
            stop_micros = min(due_micros, self._month.end_micros, book_micros)
            if stop_micros > min(at_micros, answer_micros):
                break
            if self._books and book_micros <= stop_micros:
                ledger.prices = CompiledPrices(self._books.pop(0)[1])
                ledger.restart()
                continue
            if stop_micros >= self._month.end_micros:
                self._outcome.limits[str(self._month)] = limits_in_force(ledger)
                self._month = self._month.next()
            ledger.move_to(stop_micros)
            self._collect()

    def _slice(self, begin: int, at_micros: int) -> int:
        """The end of the records that may be taken at once: none behind an answer that these may bring about."""
        limits = [
            self._ledger.machine.next_due_micros() or _FOR_EVER,
            at_micros + self._after_micros if self._may_ask else _FOR_EVER,
            self._answers[0][0] if self._answers else _FOR_EVER,
            self._books[0][0] if self._books else _FOR_EVER,
        ]
        end = begin + 1
        while end < len(self._records) and self._arrival(end) < min(limits):
            end += 1
        return end

    def _collect(self) -> None:
        """Keep what was published; have billing answer what it was asked."""
        outputs = self._ledger.take_outputs()
        for lines in outputs.get(PRICED_USAGE.name, ()):
            self._outcome.spend.add_lines(lines)
        for value in outputs.get(DEAD_LETTERS.name, ()):
            letter = DeadLetter.model_validate_json(value)
            self._outcome.dead_letters.append((self._place(letter), letter))
        events = [read_event(value) for topic in sorted(outputs.keys() - _NO_EVENTS) for value in outputs[topic]]
        self._outcome.events += events
        for event in events:
            if isinstance(event, ReloadRequested | PurchaseRequested):
                self._ask_billing(event)

    def _place(self, letter: DeadLetter) -> str:
        if letter.origin.topic.endswith("usage-events"):
            return self._places[letter.origin.offset]
        return f"command {letter.origin.offset}"

    def _ask_billing(self, asked: ReloadRequested | PurchaseRequested) -> None:
        command = answer_of(asked, self._scenario.billing)
        if command is not None:
            self._asked += 1
            heappush(self._answers, (asked.at_micros + self._after_micros, self._asked, command))


_NO_EVENTS = {PRICED_USAGE.name, DEAD_LETTERS.name, *(topic.name for topic in TOPICS if topic.compacted)}


def _command_record(ledger: LedgerInMemory, command: Command, at_micros: int) -> Record:
    return ledger.record("commands", command.model_dump_json().encode(), at_micros)
