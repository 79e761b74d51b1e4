"""What was published: records of `priced-usage`, `ledger-entries`, `dead-letters` and `usage-events` in, sums out.

Those of `invoices` are added up in billed.py, those of `account-events` in plans.py.

Plain additions over what lies in Kafka; nothing here knows how the ledger came to it.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pipeline.agents.decoding import decode_record
from pipeline.engine.records import is_tick
from pipeline.proof.billed import Billing
from pipeline.proof.plans import Plans
from pipeline.proof.records import at, read
from pipeline.proof.sums import OrganizationMonth, Sums
from pipeline.reading import Record
from pipeline.topics import (
    ACCOUNT_COMMANDS,
    ACCOUNT_EVENTS,
    DEAD_LETTERS,
    INVOICES,
    LEDGER_ENTRIES,
    PRICED_USAGE,
    USAGE_EVENTS,
)
from schemas.dead_letters import MAX_RECORD_BYTES

Mark = tuple[int, int, int]
"""Where the ledger processed the event of a row: input_offset, input_index, leg (decision 5)."""


class Row(msgspec.Struct, gc=False):
    """What the proof needs of a row (schemas/priced.py)."""

    org_id: str
    org_seq: int
    user_id: str
    seat_tier: str
    usage_month: str
    charge_month: str
    funding: str
    cost_picousd: str
    input_offset: int
    input_index: int = 0
    leg: int = 0

    @property
    def mark(self) -> Mark:
        return self.input_offset, self.input_index, self.leg


_decode_rows: Any = msgspec.json.Decoder(Row).decode_lines


def rows_of(record: Record) -> list[Row]:
    """The rows of a record of `priced-usage`; raises as `read` does."""
    rows: list[Row] = read(_decode_rows, record)
    return rows


@dataclass(slots=True)
class PricedRows:
    """What the rows of one partition add up to.

    Attributes:
        closed_through: of months up to this one, tiers and members are not added up.
        marks: of the last row of each charge month.
        disorder: of each organisation, the first row whose number is not beyond that of the row before.
    """

    closed_through: str
    sums: Sums = field(default_factory=Sums)
    marks: dict[str, Mark] = field(default_factory=dict)
    disorder: dict[str, str] = field(default_factory=dict)
    _seqs: dict[str, int] = field(default_factory=dict)

    def take(self, records: Sequence[Record]) -> None:
        """Records in order."""
        sums = self.sums
        for record in records:
            for line, row in enumerate(rows_of(record), start=1):
                month = sums.months[row.org_id, row.charge_month]
                month.rows += 1
                sums.rows += 1
                sums.events += row.leg == 0
                self.marks[row.charge_month] = row.mark
                last = self._seqs.get(row.org_id, 0)
                if row.org_seq <= last:
                    self.disorder.setdefault(row.org_id, _again(record, line, row, last))
                else:
                    self._seqs[row.org_id] = row.org_seq
                cost = int(row.cost_picousd)
                if row.funding != "credits":
                    month.included_picousd += cost
                elif row.usage_month != row.charge_month:
                    month.prior_period_picousd += cost
                else:
                    month.spend_picousd += cost
                    if row.charge_month > self.closed_through:
                        sums.tiers[row.org_id, row.charge_month, row.seat_tier] += cost
                        sums.members[row.org_id, row.charge_month, row.user_id] += cost


class _Cause(msgspec.Struct, gc=False):
    id: str = ""


class _Entry(msgspec.Struct, gc=False):
    org_id: str
    org_seq: int
    type: str
    account: str
    charge_month: str
    amount_picousd: str
    balance_after_picousd: str
    cause: _Cause = msgspec.field(default_factory=_Cause)


class _Envelope(msgspec.Struct, gc=False):
    data: _Entry


_decode_entry: Any = msgspec.json.Decoder(_Envelope).decode


@dataclass(slots=True)
class Entries:
    """What the entries of one partition add up to (R38).

    Attributes:
        sums: by organisation, charge month, account and type.
        balances: by organisation and account.
        breaks: by organisation and account, the first entry that does not go on where the one before it ended.
        invoices: by organisation and invoice, where the entry lies that clears its burn.
        unbilled: the number of the last burn on Enterprise, by organisation and charge month.
    """

    count: int = 0
    last_offset: int = -1
    sums: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    balances: defaultdict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    breaks: dict[tuple[str, str], str] = field(default_factory=dict)
    invoices: dict[tuple[str, str], str] = field(default_factory=dict)
    unbilled: dict[OrganizationMonth, int] = field(default_factory=dict)

    def burnt(self, *accounts: str) -> Counter[OrganizationMonth]:
        """What was burnt, above zero, by organisation and charge month; on these accounts, or on all."""
        burnt: Counter[OrganizationMonth] = Counter()
        for (org_id, month, account, kind), amount in self.sums.items():
            if kind == "burn" and (not accounts or account in accounts):
                burnt[org_id, month] -= amount
        return burnt

    def take(self, records: Sequence[Record]) -> None:
        """Records in order."""
        self.count += len(records)
        self.last_offset = records[-1].offset
        for record in records:
            entry: _Entry = read(_decode_entry, record).data
            amount, balance = int(entry.amount_picousd), int(entry.balance_after_picousd)
            account = entry.org_id, entry.account
            self.sums[entry.org_id, entry.charge_month, entry.account, entry.type] += amount
            if entry.type == "invoice" and entry.account == "unbilled":
                self.invoices[entry.org_id, entry.cause.id] = f"{at(record)}: org_seq {entry.org_seq}"
            elif entry.type == "burn" and entry.account == "unbilled":
                self.unbilled[entry.org_id, entry.charge_month] = entry.org_seq
            before = self.balances[account]
            self.balances[account] = before + amount
            if before + amount != balance and account not in self.breaks:
                self.breaks[account] = (
                    f"{at(record)}: {entry.type} of {amount} picodollars, org_seq {entry.org_seq}, does not go on from "
                    f"{before}, where the entries before it ended, but from {balance - amount}"
                )


class _Origin(msgspec.Struct):
    topic: str


class _DeadLetter(msgspec.Struct):
    origin: _Origin


_decode_letter: Any = msgspec.json.Decoder(_DeadLetter).decode


@dataclass(slots=True)
class Letters:
    """How many dead letters there are, of usage and of commands."""

    usage: int = 0
    commands: int = 0

    def take(self, records: Sequence[Record]) -> None:
        """Records in any order."""
        for record in records:
            is_command = read(_decode_letter, record).origin.topic == ACCOUNT_COMMANDS.name
            self.commands += is_command
            self.usage += not is_command


@dataclass(slots=True)
class UsageRead:
    """How much usage the ledger has read."""

    records: int = 0
    events: int = 0

    def take(self, records: Sequence[Record]) -> None:
        """Records in any order; ticks are none."""
        for record in records:
            if not is_tick(record):
                self.records += 1
                self.events += _events_in(record.value)


def _events_in(value: bytes | None) -> int:
    """How many events a record holds: one, unless it is an array, which is taken apart as the ledger does."""
    if not value or len(value) > MAX_RECORD_BYTES or value.lstrip(b" \t\r\n")[:1] != b"[":
        return 1
    return len(decode_record(value))


class Published:
    """All that one partition published, and the usage it had read for it.

    Attributes:
        first_kept_millis: when the first row that Kafka still keeps was written; None if there is none.
    """

    def __init__(self, closed_through: str) -> None:
        self.rows = PricedRows(closed_through)
        self.entries = Entries()
        self.billing = Billing()
        self.plans = Plans()
        self.letters = Letters()
        self.usage = UsageRead()
        self.first_kept_millis: int | None = None

    def take(self, topic_name: str, records: Sequence[Record]) -> None:
        """Records of a topic, by its name without the prefix, in order."""
        match topic_name:
            case PRICED_USAGE.name:
                if self.first_kept_millis is None:
                    self.first_kept_millis = records[0].timestamp
                self.rows.take(records)
            case LEDGER_ENTRIES.name:
                self.entries.take(records)
            case INVOICES.name:
                self.billing.take(records)
            case ACCOUNT_EVENTS.name:
                self.plans.take(records)
            case DEAD_LETTERS.name:
                self.letters.take(records)
            case USAGE_EVENTS.name:
                self.usage.take(records)


def _again(record: Record, line: int, row: Row, last: int) -> str:
    return f"{at(record)}, line {line}: org_seq {row.org_seq} of {row.org_id} comes after {last}: doubled, or misplaced"
