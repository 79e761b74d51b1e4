"""What came of a proof: how many equations hold, which do not, as of when; for people, programs and metrics."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pipeline.proof.equation import OUTCOMES, Equation, Found, shown
from schemas.instants import format_instant
from schemas.money import usd_from_picousd

_MOST_DIFFERENCES = 20
_COUNTS = ("usage_records", "usage_events", *OUTCOMES, "corrections", "rows")


@dataclass(frozen=True, slots=True)
class AsOf:
    """Where a partition stood: its transaction, how far it had read its inputs, and its ledger time."""

    partition: int
    seq: int
    usage: int
    commands: int
    now_micros: int

    def json(self) -> dict[str, Any]:
        """Ledger time as text; null before there is any."""
        now = format_instant(self.now_micros) if self.now_micros else None
        return {name: getattr(self, name) for name in ("partition", "seq", "usage", "commands")} | {"now": now}


@dataclass(slots=True)
class Tally:
    """All equations of one name and the same places: how many there are, how many do not hold, their sum by place."""

    name: str
    is_money: bool
    compared: int = 0
    differing: int = 0
    values: Counter[str] = field(default_factory=Counter)

    def add(self, compared: int, differing: int, values: Mapping[str, int]) -> None:
        """Count one equation, or another tally."""
        self.compared += compared
        self.differing += differing
        for place, value in values.items():
            self.values[place] += value

    @property
    def agrees(self) -> bool:
        return not self.differing

    @property
    def what(self) -> str:
        """The name, and of how many it is."""
        return f"{self.name} ({self.compared:,})"

    def amount(self, value: int) -> str:
        """A value, as it is shown."""
        return shown(value, is_money=self.is_money)

    def json(self) -> dict[str, Any]:
        """Money as exact dollars."""
        values = {place: usd_from_picousd(v) if self.is_money else v for place, v in self.values.items()}
        counts = {"compared": self.compared, "differing": self.differing}
        return {"what": self.name, **counts, "values": values, "agrees": self.agrees}


Tallies = dict[tuple[str, ...], Tally]
"""By name and places."""


@dataclass(slots=True)
class PartitionProof:
    """One partition.

    Attributes:
        counts: what became of the events it read.
        differences: the first few equations that do not hold.
        first: the one that says most closely whose it is; `where` is a sentence on where its cause lies.
        not_provable: months whose rows Kafka does not keep any more, and topics that have deleted records.
    """

    as_of: AsOf
    counts: dict[str, int]
    tallies: Tallies = field(default_factory=dict)
    differences: list[Equation] = field(default_factory=list)
    first: Equation | None = None
    where: str = ""
    not_provable: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls, found: Found, as_of: AsOf, equations: Iterable[Equation], look: Callable[[Equation], None]
    ) -> "PartitionProof":
        """Look at each equation, and keep what does not grow with them."""
        counters = found.remembered.counters
        proof = cls(as_of, {name: getattr(counters, name) for name in _COUNTS})
        months = set()
        for equation in equations:
            look(equation)
            proof._count(equation)
            if equation.month and equation.month < found.first_whole_month:
                months.add(equation.month)
        proof.not_provable = sorted(months) + sorted(found.deleted)
        return proof

    @property
    def all_known_differences(self) -> list[Equation]:
        """The closest first, then the others in their order."""
        if self.first is None:
            return []
        return [self.first, *(equation for equation in self.differences if equation is not self.first)]

    def _count(self, equation: Equation) -> None:
        tally = self.tallies.setdefault((equation.name, *equation.values), Tally(equation.name, equation.is_money))
        tally.add(1, not equation.agrees, equation.values)
        if equation.agrees:
            return
        if len(self.differences) < _MOST_DIFFERENCES:
            self.differences.append(equation)
        if self.first is None or _closeness(equation) > _closeness(self.first):
            self.first = equation


@dataclass(frozen=True, slots=True)
class Proof:
    """All partitions."""

    partitions: list[PartitionProof]

    @property
    def agrees(self) -> bool:
        return all(tally.agrees for tally in self.tallies.values())

    @property
    def tallies(self) -> Tallies:
        """Those of all partitions together."""
        all_together: Tallies = {}
        for proof in self.partitions:
            for key, tally in proof.tallies.items():
                total = all_together.setdefault(key, Tally(tally.name, tally.is_money))
                total.add(tally.compared, tally.differing, tally.values)
        return all_together

    @property
    def counts(self) -> Counter[str]:
        """What became of the events read, of all partitions together."""
        counts: Counter[str] = Counter()
        for proof in self.partitions:
            counts.update(proof.counts)
        return counts

    @property
    def not_provable(self) -> list[str]:
        """What Kafka does not keep any more: months, then topics."""
        return sorted({what for proof in self.partitions for what in proof.not_provable})

    def json(self) -> dict[str, Any]:
        """For a program: money as exact decimal dollars."""
        return {
            "agree": self.agrees,
            "partitions": [proof.as_of.json() | proof.counts for proof in self.partitions],
            "equations": [tally.json() for tally in self.tallies.values()],
            "differences": [
                equation.json()
                | {"partition": proof.as_of.partition, "where": proof.where if equation is proof.first else None}
                for proof in self.partitions
                for equation in proof.all_known_differences
            ],
            "not_provable": self.not_provable,
        }


class Gauge(NamedTuple):
    """One figure as a metrics endpoint would publish it."""

    name: str
    labels: dict[str, str]
    value: float


def gauges(proof: Proof) -> Iterator[Gauge]:
    """The proof as metrics: alarm on `usage_credits_proof_differing` above 0, and on an `as_of` that stands still."""
    for part in proof.partitions:
        partition = {"partition": str(part.as_of.partition)}
        yield Gauge("usage_credits_proof_as_of_seconds", partition, part.as_of.now_micros / 1_000_000)
        yield Gauge("usage_credits_proof_transaction", partition, part.as_of.seq)
        for outcome, count in part.counts.items():
            yield Gauge("usage_credits_proof_counts", partition | {"outcome": outcome}, count)
    compared: Counter[str] = Counter()
    differing: Counter[str] = Counter()
    for tally in proof.tallies.values():
        compared[tally.name] += tally.compared
        differing[tally.name] += tally.differing
        if tally.is_money:
            apart_picousd = max(tally.values.values()) - min(tally.values.values())
            yield Gauge("usage_credits_proof_difference_usd", {"equation": tally.name}, apart_picousd / 10**12)
    for name in compared:
        yield Gauge("usage_credits_proof_compared", {"equation": name}, compared[name])
        yield Gauge("usage_credits_proof_differing", {"equation": name}, differing[name])


def _closeness(equation: Equation) -> int:
    """How closely an equation says whose it is."""
    return bool(equation.org_id) + equation.is_of_a_part
