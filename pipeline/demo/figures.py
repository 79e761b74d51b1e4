"""What the demo shows: Kafka's topics and ClickHouse's views in; sums, breaches and the proof that they agree out.

Money is whole picodollars inside and exact decimal dollars in `json()`. Source: docs/rules.md R13, R41.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Protocol

from pipeline.topics import ACCOUNT_EVENTS, DEAD_LETTERS, LEDGER_STATE, LIMIT_BREACHES, PRICED_USAGE
from schemas.events import CommandRefused, LimitBreached, LimitResumed
from schemas.money import picousd_from_usd, usd_from_picousd

TOPICS_READ = (PRICED_USAGE, LEDGER_STATE, LIMIT_BREACHES, ACCOUNT_EVENTS, DEAD_LETTERS)

OUTCOMES = ("accepted", "duplicates", "dead_letters", "forwarded")

_BY = {
    "organizations": ("month_to_date_by_organization", ("org_id",)),
    "tiers": ("month_to_date_by_tier", ("org_id", "seat_tier")),
    "members": ("month_to_date_by_member", ("org_id", "user_id")),
}
_CELLS = {"organizations": "organization_month", "tiers": "tier_month", "members": "member_month"}

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
class Claim:
    """Something that must be equal, by where it was found."""

    what: str
    values: dict[str, int]
    is_money: bool = False

    @property
    def agrees(self) -> bool:
        return len(set(self.values.values())) == 1

    def json(self) -> dict[str, Any]:
        """Money as exact dollars."""
        values = {where: usd_from_picousd(value) if self.is_money else value for where, value in self.values.items()}
        return {"what": self.what, "values": values, "agrees": self.agrees}


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that is shown. `events` counts what became of every event read; its parts add up to `read`."""

    events: dict[str, int]
    organizations: list[MonthToDate]
    tiers: list[MonthToDate]
    members: list[MonthToDate]
    breaches: list[dict[str, Any]]
    resumes: list[dict[str, Any]]
    refusals: list[dict[str, Any]]
    dead_letters: list[dict[str, Any]]
    proof: list[Claim]

    @property
    def agree(self) -> bool:
        return all(claim.agrees for claim in self.proof)

    def json(self) -> dict[str, Any]:
        """For a program: money as exact decimal dollars, `*_usd`."""
        tables = {name: [row.json(keys) for row in getattr(self, name)] for name, (_, keys) in _BY.items()}
        events = {name: _dollars(getattr(self, name)) for name in ("breaches", "resumes", "refusals", "dead_letters")}
        document = {"events": self.events, **tables, **events}
        return document | {"proof": [claim.json() for claim in self.proof], "agree": self.agree}


def collect(records: Records, query: Query, events_sent: int) -> Figures:
    """The figures of a run that is over.

    Args:
        records: all that was committed to each of TOPICS_READ.
        query: ClickHouse.
        events_sent: how many events were sent, good and bad.
    """
    cells = _cells(records[LEDGER_STATE.name])
    rows = [json.loads(line) for record in records[PRICED_USAGE.name] for line in record.value.splitlines()]
    tables = {name: _month_to_date(query, *_BY[name], cells) for name in _BY}
    counters = _sum_of_counters(cells)
    events = {"read": counters["usage_events"], **{name: counters[name] for name in OUTCOMES}}
    return Figures(
        events=events,
        **tables,
        breaches=_data(records[LIMIT_BREACHES.name], LimitBreached.TYPE),
        resumes=_data(records[LIMIT_BREACHES.name], LimitResumed.TYPE),
        refusals=_data(records[ACCOUNT_EVENTS.name], CommandRefused.TYPE),
        dead_letters=_dead_letters(records[DEAD_LETTERS.name]),
        proof=[
            *_proof_of_events(events, events_sent, len(records[DEAD_LETTERS.name]), len(rows), query),
            *_proof_of_money(rows, tables, cells),
        ],
    )


def rows_stored(query: Query) -> int:
    """How many priced rows ClickHouse has."""
    return int(next(iter(query("SELECT count() FROM priced_usage")))[0])


def rows_published(records: Records) -> int:
    """How many priced rows lie in Kafka."""
    return sum(record.value.count(b"\n") for record in records[PRICED_USAGE.name])


def _cells(records: Iterable[Any]) -> dict[str, list[dict[str, Any]]]:
    """The live cells of `ledger-state` by kind: the last record of a key counts."""
    latest = {(record.partition, record.key): record.value for record in records}
    by_kind: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for value in latest.values():
        cell = json.loads(value) if value else {}
        by_kind[cell.get("cell", "")].append(cell)
    return by_kind


def _sum_of_counters(cells: Mapping[str, list[dict[str, Any]]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for cell in cells["counters"]:
        total.update({name: count for name, count in cell.items() if isinstance(count, int)})
    return total


def _month_to_date(
    query: Query, view: str, names: tuple[str, ...], cells: Mapping[str, list[dict[str, Any]]]
) -> list[MonthToDate]:
    limits = {(cell["org_id"],): cell.get("limit_picousd") for cell in cells["organization"]}
    columns = "spend_usd, included_value_usd, after_pause_usd, credits_events, included_events"
    keys = ", ".join(names)
    rows = query(f"SELECT month, {keys}, {columns} FROM {view} ORDER BY org_id, month, spend_usd DESC, {keys}")
    table = []
    for month, *rest in rows:
        who, numbers = tuple(rest[: len(names)]), rest[len(names) :]
        spend, included, after_pause = map(_picousd, numbers[:3])
        credits_events, included_events = map(int, numbers[3:])
        limit = limits.get(who)
        table.append(
            MonthToDate(
                month=month,
                who=who,
                spend_picousd=spend,
                included_picousd=included,
                after_pause_picousd=after_pause,
                credits_events=credits_events,
                included_events=included_events,
                limit_picousd=int(limit) if limit is not None else None,
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


def _proof_of_events(events: Mapping[str, int], events_sent: int, letters: int, rows: int, query: Query) -> list[Claim]:
    """R41, of events; a forwarded one is read twice: where it was found, and where it belongs."""
    return [
        Claim("events sent were read", {"sent + forwarded": events_sent + events["forwarded"], "read": events["read"]}),
        Claim(
            "events read are accounted for",
            {"read": events["read"], " + ".join(OUTCOMES): sum(events[outcome] for outcome in OUTCOMES)},
        ),
        Claim(
            "accepted events are rows",
            {"accepted": events["accepted"], "priced-usage": rows, "ClickHouse": rows_stored(query)},
        ),
        Claim("dead letters are kept", {"counted": events["dead_letters"], "dead-letters": letters}),
    ]


def _proof_of_money(
    rows: Sequence[Mapping[str, Any]],
    tables: Mapping[str, Sequence[MonthToDate]],
    cells: Mapping[str, list[dict[str, Any]]],
) -> Iterable[Claim]:
    """R41, of money: what Kafka's rows, ClickHouse and the ledger's own memory say, per organisation and month."""
    published: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        published[row["charge_month"], row["org_id"], row["funding"]] += int(row["cost_picousd"])
    for scope in tables["organizations"]:
        month, (org_id,) = scope.month, scope.who
        remembered = {
            name: [cell for cell in cells[kind] if (cell["month"], cell["org_id"]) == (month, org_id)]
            for name, kind in _CELLS.items()
        }
        yield Claim(
            f"spend of {org_id}, {month}",
            {
                "priced-usage": published[month, org_id, "credits"],
                "ClickHouse": scope.spend_picousd,
                "ledger-state": _total(remembered["organizations"], "spend_picousd"),
                "its tiers": _total(remembered["tiers"], "spend_picousd"),
                "its members": _total(remembered["members"], "spend_picousd"),
            },
            is_money=True,
        )
        yield Claim(
            f"included usage of {org_id}, {month}",
            {
                "priced-usage": published[month, org_id, "included"],
                "ClickHouse": scope.included_picousd,
                "ledger-state": _total(remembered["organizations"], "included_picousd"),
            },
            is_money=True,
        )


def _total(cells: Iterable[Mapping[str, Any]], name: str) -> int:
    return sum(int(cell.get(name, 0)) for cell in cells)


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
