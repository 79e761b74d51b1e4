"""Who stands in for billing: what the ledger asks it to collect goes in; the command that answers comes out (R5)."""

from typing import Any

from pipeline.simulate.accounts_file import BILLING
from pipeline.simulate.accounts_shape import Billing
from schemas.commands import Command, ConfirmPayment, ReportReloadFailed, ReportReloadPaid
from schemas.ledger import PurchaseRequested, ReloadRequested
from schemas.money import usd_from_picousd


def answer_of(asked: ReloadRequested | PurchaseRequested, billing: Billing) -> Command | None:
    """What billing says to a request; None: nothing."""
    common: dict[str, Any] = {"org_id": asked.org_id, "actor": BILLING.model_dump()}
    if isinstance(asked, ReloadRequested):
        about = {"command_id": f"reload-{asked.number}", "reload_id": asked.reload_id, **common}
        if billing.answers == "failed":
            return ReportReloadFailed.model_validate({**about, "detail": "failed, as the accounts file says"})
        model: Any = ReportReloadPaid
    else:
        about = {"command_id": f"paid-{asked.purchase_id}", "purchase_id": asked.purchase_id, **common}
        model = ConfirmPayment
    if billing.answers != "paid":
        return None
    payment = {"payment_id": f"payment-{asked.identity()[0]}", "amount_usd": usd_from_picousd(asked.amount_picousd)}
    command: Command = model.model_validate({**about, **payment})
    return command
