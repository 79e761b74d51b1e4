"""What the ledger remembers: records of `ledger-state` in; sums, and where each cell lies, out.

The cells are read here as text, not by the ledger's own code, so that a mistake of that code shows.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from pipeline.engine.journal import ENGINE_CELL, EngineCell, decode_cell
from pipeline.proof.sums import MonthSums, OrganizationMonth, Sums
from pipeline.reading import Record
from schemas.month import Month


class Counters(msgspec.Struct):
    """What became of every event read."""

    usage_records: int = 0
    usage_events: int = 0
    accepted: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    forwarded: int = 0
    corrections: int = 0
    rows: int = 0
    commands_unreadable: int = 0


class _OrganizationMonth(msgspec.Struct):
    org_id: str
    month: str
    spend_picousd: str = "0"
    prior_period_picousd: str = "0"
    included_picousd: str = "0"
    rows: int = 0


class _TierMonth(msgspec.Struct):
    org_id: str
    month: str
    seat_tier: str
    spend_picousd: str = "0"


class _MemberMonth(msgspec.Struct):
    org_id: str
    month: str
    user_id: str
    spend_picousd: str = "0"


class _Organization(msgspec.Struct):
    org_id: str
    unbilled_picousd: str = "0"
    receivable_picousd: str = "0"
    org_seq: int = 0


class _Wallet(msgspec.Struct):
    org_id: str
    balance_picousd: str = "0"
    stated_through: str = ""


class Invoice(msgspec.Struct):
    """What is remembered of an invoice with a number."""

    org_id: str
    total_picousd: str
    offset_picousd: str = "0"
    credited_picousd: str = "0"
    paid_picousd: str = "0"

    @property
    def open_picousd(self) -> int:
        """What is left to pay."""
        settled = (self.offset_picousd, self.credited_picousd, self.paid_picousd)
        return int(self.total_picousd) - sum(map(int, settled))


class _Lot(msgspec.Struct):
    org_id: str
    rest_picousd: str


class _DraftLine(msgspec.Struct):
    org_id: str
    month: str
    rates: tuple[int, int, int, int, int, int]
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    web_search_requests: int = 0

    @property
    def exact_picousd(self) -> int:
        quantities = (
            self.input_tokens,
            self.output_tokens,
            self.cache_read_tokens,
            self.cache_write_5m_tokens,
            self.cache_write_1h_tokens,
            self.web_search_requests,
        )
        return sum(quantity * rate for quantity, rate in zip(quantities, self.rates, strict=True))


class _Calendar(msgspec.Struct):
    month: str = ""
    closed_through: str = ""


_DECODERS: dict[bytes, Any] = {
    kind: msgspec.json.Decoder(struct).decode
    for kind, struct in {
        b"counters": Counters,
        b"organization_month": _OrganizationMonth,
        b"tier_month": _TierMonth,
        b"member_month": _MemberMonth,
        b"organization": _Organization,
        b"wallet": _Wallet,
        b"lot": _Lot,
        b"draft_line": _DraftLine,
        b"invoice": Invoice,
        b"calendar": _Calendar,
    }.items()
}


class Remembered:
    """One partition's memory.

    Attributes:
        engine: where the partition stood; None if it was never begun, or a repair of it was interrupted.
    """

    def __init__(self) -> None:
        self.engine: EngineCell | None = None
        self._cells: dict[bytes, tuple[Any, int]] = {}

    def take(self, records: Sequence[Record]) -> None:
        """Records in order: the last one of a key counts, and one without a value ends it."""
        for record in records:
            if record.key == ENGINE_CELL:
                # `rebuild --mend` takes it away first and writes it again last.
                self.engine = None if record.value is None else decode_cell(record.value)
            elif decode := _DECODERS.get(_kind(record.key)):
                if record.value is None:
                    self._cells.pop(record.key, None)
                else:
                    self._cells[record.key] = decode(record.value), record.offset

    def offset_of(self, *key: str) -> int | None:
        """Where the cell of this key lies; None if there is none."""
        _, offset = self._cells.get(msgspec.json.encode(key), (None, None))
        return offset

    @property
    def counters(self) -> Counters:
        """Of everything the partition ever read."""
        return next(self._all(Counters), Counters())

    @property
    def closed_through(self) -> str:
        """The last month that is closed; tiers and members of closed months are forgotten."""
        return next(self._all(_Calendar), _Calendar()).closed_through

    @property
    def is_closing(self) -> bool:
        """The month closed last was the last thing to happen: some may not have been billed for it yet."""
        calendar = next(self._all(_Calendar), _Calendar())
        last = calendar.closed_through
        return bool(last) and calendar.month <= str(Month.parse(last).next())

    @property
    def stated_through(self) -> dict[str, str]:
        """The month of each organisation's last statement."""
        return {cell.org_id: cell.stated_through for cell in self._all(_Wallet)}

    @property
    def invoices(self) -> list[Invoice]:
        """All that have a number."""
        return list(self._all(Invoice))

    @property
    def org_seqs(self) -> dict[str, int]:
        """The last number each organisation gave out."""
        return {cell.org_id: cell.org_seq for cell in self._all(_Organization)}

    @property
    def balances(self) -> dict[tuple[str, str], int]:
        """By organisation and account."""
        balances = {(cell.org_id, "wallet"): int(cell.balance_picousd) for cell in self._all(_Wallet)}
        for cell in self._all(_Organization):
            balances[cell.org_id, "unbilled"] = int(cell.unbilled_picousd)
            balances[cell.org_id, "receivable"] = int(cell.receivable_picousd)
        return balances

    @property
    def drafted(self) -> Counter[OrganizationMonth]:
        """What the lines cost that wait for an invoice, by organisation and charge month."""
        drafted: Counter[OrganizationMonth] = Counter()
        for line in self._all(_DraftLine):
            drafted[line.org_id, line.month] += line.exact_picousd
        return drafted

    @property
    def unburnt(self) -> Counter[str]:
        """What the lots of each organisation hold."""
        rests: Counter[str] = Counter()
        for cell in self._all(_Lot):
            rests[cell.org_id] += int(cell.rest_picousd)
        return rests

    def sums(self) -> Sums:
        """The months, as rows would add up to them; of rows and events, the counters."""
        sums = Sums(rows=self.counters.rows, events=self.counters.accepted)
        for month in self._all(_OrganizationMonth):
            sums.months[month.org_id, month.month] = MonthSums(
                month.rows, int(month.spend_picousd), int(month.prior_period_picousd), int(month.included_picousd)
            )
        closed = self.closed_through
        for tier in self._all(_TierMonth):
            if tier.month > closed:
                sums.tiers[tier.org_id, tier.month, tier.seat_tier] = int(tier.spend_picousd)
        for member in self._all(_MemberMonth):
            if member.month > closed:
                sums.members[member.org_id, member.month, member.user_id] = int(member.spend_picousd)
        return sums

    def _all(self, kind: type[Any]) -> Iterator[Any]:
        return (cell for cell, _ in self._cells.values() if type(cell) is kind)


def _kind(key: bytes) -> bytes:
    """`["wallet","acme"]` → `wallet`; the engine's own key has none."""
    return key.split(b'"', 2)[1] if key.startswith(b'["') else b""
