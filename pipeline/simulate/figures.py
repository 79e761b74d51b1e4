"""An outcome goes in; its JSON comes out: everything that was published and summed, money as exact decimal dollars."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.simulate.run import Outcome, Scenario
from pipeline.simulate.spend import Charged, Who
from schemas.dead_letters import DeadLetter
from schemas.events import LedgerEvent
from schemas.instants import format_instant
from schemas.ledger import LedgerEntry
from schemas.money import usd_from_picousd

EVENT_COUNTS = {
    "read": "usage_events",
    "accepted": "accepted",
    "duplicates": "duplicates",
    "dead_letters": "dead_letters",
}
COMMAND_COUNTS = {
    "read": "commands",
    "applied": "commands_applied",
    "refused": "commands_refused",
    "repeated": "commands_repeated",
}
_TABLES = {"organization": "organizations", "tier": "tiers", "member": "members"}
_SHOWN_OF_LETTER = ("reason", "detail", "org_id", "user_id", "event_id", "arrived_at", "length_bytes")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class EntrySum:
    """Ledger entries of one kind, added up."""

    org_id: str
    month: str
    account: str
    type: str
    entries: int
    amount_picousd: int


def as_json(scenario: Scenario, outcome: Outcome) -> Json:
    """Everything of one run."""
    return {
        "from": format_instant(scenario.from_micros),
        "until": format_instant(scenario.until_micros),
        "price_books": [book.version for _, book in scenario.books],
        "events": {name: outcome.counts[count] for name, count in EVENT_COUNTS.items()},
        "commands": {name: outcome.counts[count] for name, count in COMMAND_COUNTS.items()},
        "left_out": outcome.left_out,
        "month_to_date": _month_to_date(outcome),
        "published": _published(outcome.events),
        "ledger": [dollars(asdict(entry)) for entry in entry_sums(outcome.events)],
        "balances": [
            {"org_id": org_id, "account": account, "balance_usd": usd_from_picousd(balance)}
            for (org_id, account), balance in balances(outcome.events).items()
        ],
        "dead_letters": [_letter(place, letter) for place, letter in outcome.dead_letters],
    }


def both_as_json(was: tuple[Scenario, Outcome], would_be: tuple[Scenario, Outcome]) -> Json:
    """Two runs and the difference: what would be, less what was."""
    counts = [Counter(event.TYPE for event in outcome.events) for _, outcome in (was, would_be)]
    return {
        "was": as_json(*was),
        "would_be": as_json(*would_be),
        "difference": {
            "month_to_date": [
                {"month": month, **_named(who), **dollars(asdict(difference))}
                for month, who, difference in differences(was[1], would_be[1])
            ],
            "published": {
                _short(kind): counts[1][kind] - counts[0][kind]
                for kind in sorted(counts[0] | counts[1])
                if counts[0][kind] != counts[1][kind]
            },
        },
    }


def differences(was: Outcome, would_be: Outcome) -> list[tuple[str, Who, Charged]]:
    """What would be charged more, or less, where anything differs."""
    keys = dict.fromkeys([*was.spend.whose(), *would_be.spend.whose()])
    found = [(month, who, would_be.spend.of(month, who) - was.spend.of(month, who)) for month, who in keys]
    return [(month, who, difference) for month, who, difference in found if difference != Charged()]


def entry_sums(events: Iterable[LedgerEvent]) -> list[EntrySum]:
    """Ledger entries by organisation, month, account and type: in this order, types in that of their first."""
    sums: dict[tuple[str, str, str, str], list[int]] = {}
    for entry in events:
        if isinstance(entry, LedgerEntry):
            of = sums.setdefault((entry.org_id, str(entry.charge_month), entry.account, entry.type), [0, 0])
            of[0] += 1
            of[1] += entry.amount_picousd
    found = [EntrySum(*key, entries=count, amount_picousd=amount) for key, (count, amount) in sums.items()]
    return sorted(found, key=lambda entry: (entry.org_id, entry.month, entry.account))


def balances(events: Iterable[LedgerEvent]) -> dict[tuple[str, str], int]:
    """The balance of every account after its last entry, by organisation."""
    entries = [event for event in events if isinstance(event, LedgerEntry)]
    found = {(entry.org_id, entry.account): entry.balance_after_picousd for entry in entries}
    return dict(sorted(found.items()))


def dollars(value: Any) -> Any:
    """Every `*_picousd` within as `*_usd`, exact."""
    if isinstance(value, dict):
        return {
            name.replace("_picousd", "_usd"): usd_from_picousd(int(inner))
            if name.endswith("_picousd") and inner is not None
            else dollars(inner)
            for name, inner in value.items()
        }
    return [dollars(inner) for inner in value] if isinstance(value, list | tuple) else value


def _month_to_date(outcome: Outcome) -> Json:
    tables: dict[str, list[Json]] = {name: [] for name in _TABLES.values()}
    for month, who in outcome.spend.whose():
        limit = outcome.limits[month].of(who) if month in outcome.limits else None
        tables[_TABLES[who.kind]].append(
            {
                "month": month,
                **_named(who),
                **dollars(asdict(outcome.spend.of(month, who))),
                "limit_usd": None if limit is None else usd_from_picousd(limit.limit_picousd),
                "limit_applies_to": None if limit is None else limit.applies_to,
            }
        )
    return tables


def _published(events: Iterable[LedgerEvent]) -> Json:
    by_type: dict[str, list[Json]] = defaultdict(list)
    for event in events:
        by_type[_short(event.TYPE)].append(dollars(event.model_dump(mode="json")))
    return dict(sorted(by_type.items()))


def _letter(place: str, letter: DeadLetter) -> Json:
    wire = letter.model_dump(mode="json")
    return {"place": place, **{name: wire[name] for name in _SHOWN_OF_LETTER}}


def _named(who: Who) -> Json:
    return {name: value for name, value in who._asdict().items() if value}


def _short(kind: str) -> str:
    return kind.removeprefix("usage-credits.")
