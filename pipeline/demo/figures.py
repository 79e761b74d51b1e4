"""What the demo shows: Kafka's topics, ClickHouse's views and the proof in; tables, breaches and what agrees out.

Money is whole picodollars inside and exact decimal dollars in `json()`. Source: docs/rules.md R13, R41.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Protocol

from pipeline.proof.equation import OUTCOMES, Equation
from pipeline.proof.outcome import Proof, Tally
from pipeline.topics import ACCOUNT_EVENTS, DEAD_LETTERS, LEDGER_STATE, LIMIT_BREACHES
from schemas.events import CommandRefused, LimitBreached, LimitResumed
from schemas.money import picousd_from_usd, usd_from_picousd

TOPICS_READ = (LEDGER_STATE, LIMIT_BREACHES, ACCOUNT_EVENTS, DEAD_LETTERS)

_BY = {
    "organizations": ("month_to_date_by_organization", ("org_id",)),
    "tiers": ("month_to_date_by_tier", ("org_id", "seat_tier")),
    "members": ("month_to_date_by_member", ("org_id", "user_id")),
}

Records = Mapping[str, Sequence[Any]]
"""Topic → its records."""


class Query(Protocol):
    """Runs a SELECT on ClickHouse and gives its rows."""

    def __call__(self, sql: str, /) -> Iterable[Sequence[Any]]: ...


@dataclass(frozen=True, slots=True)
class MonthToDate:
    """One row of a month-to-date table; `who` is organisation, then tier or member where it is theirs."""

    month: str
    who: tuple[str, ...]
    spend_picousd: int
    included_picousd: int
    after_pause_picousd: int
    credits_events: int
    included_events: int
    limit_picousd: int | None = None

    def json(self, keys: Sequence[str]) -> dict[str, Any]:
        """With `who` spelled out under its names, and money as exact dollars."""
        fields = asdict(self)
        return {**dict(zip(keys, fields.pop("who"), strict=True)), **_dollars(fields)}


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that is shown.

    Attributes:
        events: what became of every event read; its parts add up to `read`.
        proof: what must be equal: of each organisation by itself, of everybody else as sums.
        agree: whether all of it is, also what `proof` sums up.
    """

    events: dict[str, int]
    organizations: list[MonthToDate]
    tiers: list[MonthToDate]
    members: list[MonthToDate]
    breaches: list[dict[str, Any]]
    resumes: list[dict[str, Any]]
    refusals: list[dict[str, Any]]
    dead_letters: list[dict[str, Any]]
    proof: list[Equation | Tally]
    agree: bool

    def json(self) -> dict[str, Any]:
        """For a program: money as exact decimal dollars, `*_usd`."""
        tables = {name: [row.json(keys) for row in getattr(self, name)] for name, (_, keys) in _BY.items()}
        events = {name: _dollars(getattr(self, name)) for name in ("breaches", "resumes", "refusals", "dead_letters")}
        document = {"events": self.events, **tables, **events}
        return document | {"proof": [equal.json() for equal in self.proof], "agree": self.agree}


def collect(records: Records, query: Query, proof: Proof, equations: Sequence[Equation], events_sent: int) -> Figures:
    """The figures of a run that is over.

    Args:
        records: all that was committed to each of TOPICS_READ.
        query: ClickHouse.
        equations: all that the proof looked at.
        events_sent: how many events were sent, good and bad.
    """
    limits = _limits(records[LEDGER_STATE.name])
    read = proof.counts["usage_events"]
    sent = Equation(
        "events sent were read", {"sent + forwarded": events_sent + proof.counts["forwarded"], "read": read}
    )
    return Figures(
        events={"read": read, **{name: proof.counts[name] for name in OUTCOMES}},
        **{name: _month_to_date(query, *_BY[name], limits) for name in _BY},
        breaches=_data(records[LIMIT_BREACHES.name], LimitBreached.TYPE),
        resumes=_data(records[LIMIT_BREACHES.name], LimitResumed.TYPE),
        refusals=_data(records[ACCOUNT_EVENTS.name], CommandRefused.TYPE),
        dead_letters=_dead_letters(records[DEAD_LETTERS.name]),
        proof=[sent, *_shown(proof, equations)],
        agree=proof.agrees and sent.agrees,
    )


def _shown(proof: Proof, equations: Sequence[Equation]) -> Iterable[Equation | Tally]:
    """What organisations were charged, each by itself; of the rest how many there are and what they come to."""
    own = [equation for equation in equations if equation.is_money and equation.month and not equation.is_of_a_part]
    names = {equation.name for equation in own}
    rest = [tally for tally in proof.tallies.values() if tally.name not in names and any(tally.values.values())]
    return [*sorted(own, key=lambda equation: (equation.org_id, equation.month)), *rest]


def _limits(records: Iterable[Any]) -> dict[str, int]:
    """What limits the organisations have now: the last record of a key counts."""
    latest = {record.key: record.value for record in records if record.key.startswith(b'["organization",')}
    cells = [json.loads(value) for value in latest.values() if value]
    return {cell["org_id"]: int(cell["limit_picousd"]) for cell in cells if cell.get("limit_picousd") is not None}


def _month_to_date(query: Query, view: str, names: tuple[str, ...], limits: Mapping[str, int]) -> list[MonthToDate]:
    columns = "spend_usd, included_value_usd, after_pause_usd, credits_events, included_events"
    keys = ", ".join(names)
    rows = query(f"SELECT month, {keys}, {columns} FROM {view} ORDER BY org_id, month, spend_usd DESC, {keys}")
    table = []
    for month, *rest in rows:
        who, numbers = tuple(rest[: len(names)]), rest[len(names) :]
        spend, included, after_pause = map(_picousd, numbers[:3])
        credits_events, included_events = map(int, numbers[3:])
        table.append(
            MonthToDate(
                month=month,
                who=who,
                spend_picousd=spend,
                included_picousd=included,
                after_pause_picousd=after_pause,
                credits_events=credits_events,
                included_events=included_events,
                limit_picousd=limits.get(who[0]) if len(who) == 1 else None,
            )
        )
    return table


def _data(records: Iterable[Any], kind: str) -> list[dict[str, Any]]:
    """The data of all CloudEvents of a type, by time."""
    events = [json.loads(record.value) for record in records]
    return sorted((event["data"] for event in events if event["type"] == kind), key=lambda data: data["at"])


def _dead_letters(records: Iterable[Any]) -> list[dict[str, Any]]:
    letters = [json.loads(record.value) for record in records]
    shown = ("reason", "detail", "org_id", "user_id", "event_id", "arrived_at", "length_bytes")
    return [{name: letter[name] for name in shown} for letter in sorted(letters, key=lambda x: x["arrived_at"])]


def _picousd(usd: Decimal) -> int:
    return picousd_from_usd(f"{usd:f}")


def _dollars(value: Any) -> Any:
    """Every `*_picousd` within as `*_usd`, exact."""
    if isinstance(value, dict):
        return {
            name.replace("_picousd", "_usd"): usd_from_picousd(int(inner))
            if name.endswith("_picousd") and inner is not None
            else _dollars(inner)
            for name, inner in value.items()
        }
    return [_dollars(inner) for inner in value] if isinstance(value, list | tuple) else value
