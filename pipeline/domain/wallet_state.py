"""Cells of the wallet: what is remembered of an organisation's balance, its lots, payments and reloads (R3-R5, R38b).

Cells of `ledger-state` in at a restore, changed cells out. Lots, payments and reloads hang on their wallet.
"""

from typing import Any, ClassVar, Literal

from pipeline.domain.cell import Cell

LotKind = Literal["paid", "promotional", "correction"]
PaymentKind = Literal["purchase", "reload", "refund", "invoice"]
ReloadStatus = Literal["requested", "paid", "failed", "unanswered"]

ALWAYS_PICOUSD = 10**39
"""A watch no balance is above: the next event is looked at. What a wallet has until somebody sets its watch."""

_NEVER_MICROS = 2**63


class Lot(Cell):
    """Credits added together; `rest_picousd` is what has not burnt. Used up, the lot is forgotten.

    `added_seq` is the `org_seq` of the entry that added it; null `expires_at_micros` is never.
    """

    __slots__ = ("added_seq", "amount_picousd", "expires_at_micros", "kind", "lot_id", "org_id", "rest_picousd")
    KIND = "lot"
    IDENTITY = ("org_id", "lot_id")
    FIELDS = ("kind", "amount_picousd", "rest_picousd", "added_seq", "expires_at_micros")
    DEFAULTS: ClassVar[dict[str, Any]] = {"expires_at_micros": None}

    org_id: str
    lot_id: str
    kind: LotKind
    amount_picousd: int
    rest_picousd: int
    added_seq: int
    expires_at_micros: int | None

    def value(self) -> bytes | None:
        """As Cell.value."""
        return super().value() if self.rest_picousd else None

    def burns(self) -> tuple[int, bool, int, str]:
        """Where it stands in the order of burning: what the customer would lose first, goes first (R38b)."""
        expires = _NEVER_MICROS if self.expires_at_micros is None else self.expires_at_micros
        return (expires, self.kind != "promotional", self.added_seq, self.lot_id)


class Payment(Cell):
    """A payment id that was used, for ever; of a purchase or reload, its lot and what of it was refunded.

    A payment of an invoice moved no lot: `lot_id` is empty.
    """

    __slots__ = ("amount_picousd", "kind", "lot_id", "org_id", "payment_id", "refunded_picousd")
    KIND = "payment"
    IDENTITY = ("org_id", "payment_id")
    FIELDS = ("kind", "amount_picousd", "lot_id", "refunded_picousd")
    DEFAULTS: ClassVar[dict[str, Any]] = {"lot_id": "", "refunded_picousd": 0}

    org_id: str
    payment_id: str
    kind: PaymentKind
    amount_picousd: int
    lot_id: str
    refunded_picousd: int


class Reload(Cell):
    """A reload that was asked of billing, and what became of it; kept for ever, since a late `paid` still credits.

    `since_micros` is when its 24 hours began; `month` is the one in whose maximum it counts.
    """

    __slots__ = ("amount_picousd", "month", "number", "org_id", "reload_id", "since_micros", "status")
    KIND = "reload"
    IDENTITY = ("org_id", "reload_id")
    FIELDS = ("number", "amount_picousd", "since_micros", "month", "status")
    DEFAULTS: ClassVar[dict[str, Any]] = {"status": "requested"}

    org_id: str
    reload_id: str
    number: int
    amount_picousd: int
    since_micros: int
    month: str
    status: ReloadStatus

    @property
    def counted_picousd(self) -> int:
        """What it takes of its month's maximum; one not answered may still be paid, and counts."""
        return 0 if self.status == "failed" else self.amount_picousd


class WalletMonth(Cell):
    """What a month's entries did to the wallet, by their type, until its statement is made (R40)."""

    __slots__ = (
        "adjust_picousd",
        "burn_picousd",
        "expiry_picousd",
        "grant_picousd",
        "is_stated",
        "month",
        "offset_picousd",
        "org_id",
        "purchase_picousd",
        "refund_picousd",
    )
    KIND = "wallet_month"
    IDENTITY = ("org_id", "month")
    FIELDS = (
        "purchase_picousd",
        "grant_picousd",
        "burn_picousd",
        "refund_picousd",
        "adjust_picousd",
        "offset_picousd",
        "expiry_picousd",
    )
    DEFAULTS: ClassVar[dict[str, Any]] = dict.fromkeys(FIELDS, 0)

    org_id: str
    month: str
    is_stated: bool
    """Then it is forgotten; not remembered itself."""

    def __init__(self, **fields: Any) -> None:
        self.is_stated = False
        super().__init__(**fields)

    def value(self) -> bytes | None:
        """As Cell.value."""
        return None if self.is_stated else super().value()

    def add(self, entry_type: str, amount_picousd: int) -> None:
        """Count one entry in."""
        name = f"{entry_type}_picousd"
        setattr(self, name, getattr(self, name) + amount_picousd)

    def sums(self) -> dict[str, int]:
        """By field."""
        return {name: getattr(self, name) for name in self.FIELDS}


class Wallet(Cell):
    """An organisation's balance and what owners set about it.

    `watch_picousd` and `due_micros` follow from the rest and are not remembered: down to the watch nothing needs to
    be looked at, and before the due instant nothing falls due (null: nothing will).
    """

    __slots__ = (
        "balance_picousd",
        "due_micros",
        "lots",
        "months",
        "notice_picousd",
        "notice_told",
        "org_id",
        "pause_number",
        "paused",
        "payments",
        "pending_reload_id",
        "reload_amount_picousd",
        "reload_enabled",
        "reload_maximum_picousd",
        "reload_number",
        "reload_suspended",
        "reload_threshold_picousd",
        "reloaded_month",
        "reloaded_picousd",
        "reloads",
        "stated_picousd",
        "stated_through",
        "told_at_micros",
        "told_picousd",
        "watch_picousd",
    )
    KIND = "wallet"
    IDENTITY = ("org_id",)
    DEFAULTS: ClassVar[dict[str, Any]] = {
        "balance_picousd": 0,
        "paused": False,
        "pause_number": 0,
        "notice_picousd": None,
        "notice_told": False,
        "reload_enabled": False,
        "reload_threshold_picousd": 0,
        "reload_amount_picousd": 0,
        "reload_maximum_picousd": None,
        "reload_suspended": False,
        "reload_number": 0,
        "pending_reload_id": None,
        "reloaded_month": "",
        "reloaded_picousd": 0,
        "told_picousd": 0,
        "stated_through": "",
        "stated_picousd": 0,
    }
    FIELDS = tuple(DEFAULTS)

    org_id: str
    balance_picousd: int
    paused: bool
    pause_number: int
    notice_picousd: int | None
    notice_told: bool
    reload_enabled: bool
    reload_threshold_picousd: int
    reload_amount_picousd: int
    reload_maximum_picousd: int | None
    reload_suspended: bool
    reload_number: int
    """Of the last reload asked for."""
    pending_reload_id: str | None
    reloaded_month: str
    """The month of the last reload; `reloaded_picousd` is what reloads of that month amount to."""
    reloaded_picousd: int
    lots: dict[str, Lot]
    payments: dict[str, Payment]
    reloads: dict[str, Reload]
    months: dict[str, WalletMonth]
    """Those whose statement is still to come."""
    stated_through: str
    """The month of the last statement; at first, the one before the month of registration."""
    stated_picousd: int
    """What that closed with."""
    told_picousd: int
    """The balance that was published last as credit status; `told_at_micros` is when, and not remembered."""
    told_at_micros: int
    watch_picousd: int
    due_micros: int | None

    def __init__(self, **fields: Any) -> None:
        self.lots = {}
        self.payments = {}
        self.reloads = {}
        self.months = {}
        self.watch_picousd = ALWAYS_PICOUSD
        self.due_micros = None
        self.told_at_micros = 0
        super().__init__(**fields)

    @property
    def pending_reload(self) -> Reload | None:
        """The reload billing has not answered yet."""
        return self.reloads[self.pending_reload_id] if self.pending_reload_id is not None else None

    def unburnt_picousd(self) -> int:
        """What the lots hold; settled it is the balance, or 0 where that is a debt."""
        return sum(lot.rest_picousd for lot in self.lots.values())
