"""The ledger's entries and what it asks of billing: CloudEvents on `ledger-entries` and `reload-requests`.

An entry is signed and exact, and is never changed; the balance is the sum of the entries of account `wallet`, always.
Source: docs/rules.md R5, R38, R38a.
"""

from typing import Any, ClassVar, Literal

from pydantic import Field

from schemas.base import Identifier, Model
from schemas.commands import Actor
from schemas.events import LedgerEvent, event_id
from schemas.money import Picousd
from schemas.month import MonthText

EntryType = Literal[
    "purchase", "grant", "burn", "refund", "adjust", "invoice", "offset", "expiry", "payment", "rounding"
]
Account = Literal["wallet", "unbilled", "receivable"]


class EntryCause(Model):
    """What the entry was made for, and its id among its kind."""

    kind: Literal["usage", "command", "invoice", "expiry", "reload"]
    id: Identifier


class LedgerEntry(LedgerEvent):
    """One movement of one account; `lot_id` is null where it moved no lot: unbilled usage, and debt.

    A burn has no `org_seq` of its own but that of the last row in it: so the numbers of rows and breaches do not
    depend on how records were cut into chunks.
    """

    TYPE: ClassVar[str] = "usage-credits.ledger.entry"

    type: EntryType
    account: Account
    amount_picousd: Picousd = Field(description="signed: what came into the account is positive")
    balance_after_picousd: Picousd = Field(description="of this account")
    charge_month: MonthText
    lot_id: Identifier | None = None
    cause: EntryCause
    entry_id: Identifier = Field(
        default_factory=lambda entry: _entry_id(entry), description="the same as the id of its envelope"
    )

    def identity(self) -> tuple[object, ...]:
        """What makes the entry this one and no other: burns of one chunk share an `org_seq`, nothing else does."""
        return _identity(self.__dict__)


def _identity(entry: dict[str, Any]) -> tuple[object, ...]:
    return (entry["account"], entry["type"], entry["org_seq"], entry["charge_month"], entry["lot_id"])


def _entry_id(entry: dict[str, Any]) -> str:
    return event_id(LedgerEntry.TYPE, entry["org_id"], *_identity(entry))


class ReloadRequested(LedgerEvent):
    """Auto-reload asks billing to charge the customer: paid or failed is to be reported under `reload_id` (R5)."""

    TYPE: ClassVar[str] = "usage-credits.reload.requested"

    reload_id: Identifier
    number: int = Field(ge=1, description="counts the reloads of the organisation")
    amount_picousd: Picousd
    balance_picousd: Picousd

    def identity(self) -> tuple[object, ...]:
        """One per number."""
        return (self.number,)


class PurchaseRequested(LedgerEvent):
    """An owner wants to buy credits: billing charges the customer and confirms the payment."""

    TYPE: ClassVar[str] = "usage-credits.purchase.requested"

    purchase_id: Identifier
    amount_picousd: Picousd
    actor: Actor

    def identity(self) -> tuple[object, ...]:
        """One per command that asked."""
        return (self.purchase_id,)
