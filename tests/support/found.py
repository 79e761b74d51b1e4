"""What a proof finds of one partition, made by hand: acme on Team, two rows of $1 and $2, one event twice, one bad."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.proof.equation import Equation, Found
from pipeline.proof.equations import equations
from pipeline.proof.outcome import AsOf, PartitionProof, Proof
from pipeline.proof.published import PricedRows, Published
from pipeline.proof.remembered import Remembered
from pipeline.proof.stored_billing import BilledSums
from tests.support.builders import DOLLAR_PICOUSD, Wire

AS_OF = AsOf(partition=0, seq=7, usage=4, commands=3, now_micros=1_770_000_000_000_000)


@dataclass(frozen=True)
class Record:
    """A record as Kafka hands it out."""

    value: bytes | None
    key: bytes | None = None
    offset: int = 0
    topic: str = "a-topic"
    partition: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass
class World:
    """What lies in each place; a test changes some of it."""

    rows: list[Wire] = field(default_factory=lambda: [row(1, 1), row(2, 2)])
    stored: list[Wire] | None = None  # None: as published
    entries: list[Wire] = field(default_factory=lambda: [entry("purchase", 10, 10, 0), entry("burn", -3, 7, 2)])
    letters: list[str] = field(default_factory=lambda: ["usage-events"])
    usage: list[bytes | None] = field(default_factory=lambda: [b"{}", b"[{}, {}]", b"{}"])
    counters: dict[str, int] = field(
        default_factory=lambda: {
            "usage_records": 3,
            "usage_events": 4,
            "accepted": 2,
            "duplicates": 1,
            "dead_letters": 1,
            "rows": 2,
        }
    )
    month: dict[str, Any] = field(default_factory=lambda: {"spend_picousd": dollars(3), "rows": 2})
    member: dict[str, Any] = field(default_factory=lambda: {"spend_picousd": dollars(3)})
    balance: int = 7
    lots: tuple[int, ...] = (3, 4)
    closed_through: str = "2026-01"

    def remembered(self) -> Remembered:
        month = {"org_id": "acme", "month": "2026-02"}
        remembered = Remembered()
        remembered.take(
            [
                cell("counters", (), **self.counters),
                cell("calendar", (), closed_through=self.closed_through),
                cell("organization", ("acme",), org_id="acme", org_seq=2),
                cell("organization_month", ("acme", "2026-02"), spend_picousd="1", **month),  # an older one
                cell("organization_month", ("acme", "2026-02"), **month | self.month),
                cell("tier_month", ("acme", "2026-02", "standard"), seat_tier="standard", **month | self.member),
                cell("member_month", ("acme", "ann", "2026-02"), user_id="ann", **month | self.member),
                cell("wallet", ("acme",), org_id="acme", balance_picousd=dollars(self.balance)),
                *(
                    cell("lot", ("acme", str(at)), org_id="acme", rest_picousd=dollars(rest))
                    for at, rest in enumerate(self.lots)
                ),
                cell("status_of_a_later_version", ("acme",), org_id="acme"),
            ]
        )
        return remembered

    def found(self) -> Found:
        published, stored = Published(self.closed_through), PricedRows(self.closed_through)
        stored.take([Record(json_lines(self.rows if self.stored is None else self.stored))])
        published.rows.take([Record(json_lines(self.rows))])
        published.entries.take([Record(as_envelope(one), offset=at) for at, one in enumerate(self.entries)])
        published.letters.take([Record(json.dumps({"origin": {"topic": topic}}).encode()) for topic in self.letters])
        published.usage.take([Record(value) for value in self.usage])
        return Found(0, self.remembered(), published, stored.sums, self.billed_in_clickhouse())

    def billed_in_clickhouse(self) -> BilledSums:
        """As published."""
        sums = BilledSums()
        for one in self.entries:
            sums.counts["ledger-entries"] += 1
            sums.balances[one["org_id"], one["account"]] += int(one["amount_picousd"])
        return sums

    def proof(self) -> Proof:
        found = self.found()
        return Proof([PartitionProof.of(found, AS_OF, equations(found), lambda _: None)])


def differing(found: Found) -> list[Equation]:
    return [equation for equation in equations(found) if not equation.agrees]


def dollars(amount: int) -> str:
    return str(amount * DOLLAR_PICOUSD)


def row(org_seq: int, usd: int, **fields: Any) -> Wire:
    usual: Wire = {
        "org_id": "acme",
        "org_seq": org_seq,
        "user_id": "ann",
        "seat_tier": "standard",
        "usage_month": "2026-02",
        "charge_month": "2026-02",
        "funding": "credits",
        "cost_picousd": dollars(usd),
        "input_offset": org_seq,
    }
    return usual | fields


def entry(kind: str, usd: int, balance: int, org_seq: int, **fields: Any) -> Wire:
    usual: Wire = {
        "org_id": "acme",
        "org_seq": org_seq,
        "type": kind,
        "account": "wallet",
        "charge_month": "2026-02",
        "amount_picousd": dollars(usd),
        "balance_after_picousd": dollars(balance),
    }
    return usual | fields


def cell(kind: str, identity: Iterable[str], **fields: Any) -> Record:
    key = json.dumps([kind, *identity], separators=(",", ":")).encode()
    return Record(json.dumps({"cell": kind, **fields}).encode(), key)


def json_lines(rows: Iterable[Wire]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in rows)


def as_envelope(data: Wire) -> bytes:
    return json.dumps({"specversion": "1.0", "data": data}).encode()


def without(found: Found, *topics: str, first_whole_month: str = "") -> Found:
    """As if Kafka had let go of the beginning of these topics."""
    return replace(found, deleted=frozenset(topics), first_whole_month=first_whole_month)
