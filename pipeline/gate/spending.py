"""An organisation and a month come in; where the money went, per day, product and model, goes out of ClickHouse.

And what billing will ask for: the draft invoice so far, and how auto-reload is set. Amounts are exact (R13).
"""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from pipeline.gate.access import may_read
from pipeline.gate.admission import OrgId
from pipeline.gate.parts import Caller, Parts
from pipeline.gate.problems import documented, least
from pipeline.gate.queries import month_of
from schemas.base import Model
from schemas.instants import MICROS_PER_DAY
from schemas.money import picousd_from_usd, usd_from_picousd
from schemas.month import Month

router = APIRouter(tags=["queries"])

_MONEY = documented(401, 403, 404, 422, 429, 503)


class Share(Model):
    """What was spent on one thing, or one day."""

    name: str = Field(examples=["2026-05-10"])
    spend_usd: str


class SpendAnswer(Model):
    """Spend of one month, as far as ClickHouse has it: credits, in their own month, as limits count them."""

    month: str
    spend_usd: str
    days: list[Share] = Field(description="days on which something was spent, UTC")
    products: list[Share] = Field(description="the dearest first")
    models: list[Share] = Field(description="the dearest first")
    forecast_usd: str | None = Field(
        description="at the pace so far, to the month's end; null: less than a day has run"
    )


class DraftAnswer(Model):
    """What is used and not invoiced yet, per charge month; on Enterprise."""

    month: str
    exact_usd: str


class DraftsAnswer(Model):
    """The running month last."""

    drafts: list[DraftAnswer]


class AutoReloadAnswer(Model):
    """Auto-reload as it was last set; on Team."""

    enabled: bool
    suspended: bool = Field(description="a reload failed; switching it on again or a purchase ends that")
    threshold_usd: str | None
    amount_usd: str | None
    monthly_maximum_usd: str | None


_PARTS = ("day", "product", "model")
_SPEND = " UNION ALL ".join(
    f"SELECT '{part}' AS part, toString({part}) AS name, spend_usd FROM spend_by_{part} "
    "WHERE org_id = {org:String} AND month = {month:String} AND spend_usd != 0"
    for part in _PARTS
)
"""The views read sums kept with every part: a page that asks again and again must not read every event of a month."""

_DRAFTS = """
SELECT charge_month AS month, -sum(amount_usd) AS exact_usd
FROM ledger_entries
WHERE org_id = {org:String} AND account = 'unbilled'
GROUP BY month HAVING exact_usd != 0 ORDER BY month
"""
_RELOAD = """
SELECT
    command, type,
    JSONExtractBool(event, 'data', 'after', 'enabled') AS enabled,
    JSONExtractBool(event, 'data', 'after', 'suspended') AS suspended,
    JSONExtract(event, 'data', 'after', 'threshold_usd', 'Nullable(String)') AS threshold_usd,
    JSONExtract(event, 'data', 'after', 'amount_usd', 'Nullable(String)') AS amount_usd,
    JSONExtract(event, 'data', 'after', 'monthly_maximum_usd', 'Nullable(String)') AS monthly_maximum_usd
FROM account_events
WHERE org_id = {org:String} AND type = 'usage-credits.command.applied'
    AND command IN ('set_auto_reload', 'report_reload_failed', 'report_reload_paid', 'confirm_payment', 'change_plan')
    AND NOT JSONHas(event, 'data', 'after', 'invoice_number')
ORDER BY org_seq DESC LIMIT 1 BY command
"""


@router.get("/v1/organizations/{org_id}/spend", responses=_MONEY, operation_id="getSpend", openapi_extra=least("admin"))
async def spend(
    org_id: OrgId,
    caller: Caller,
    gate: Parts,
    month: Annotated[
        str | None, Query(pattern="^[12][0-9]{3}-(0[1-9]|1[0-2])$", description="such as 2026-05; this one if left out")
    ] = None,
) -> SpendAnswer:
    """Spend per day, by product and by model, and where it leads; for admins and above, and billing."""
    may_read(gate, caller, org_id, least="admin", scope="billing:write")
    asked = month or month_of(gate)
    rows = await gate.history.rows(_SPEND, ("part", "name", "spend_usd"), org=org_id, month=asked)
    amounts: dict[str, dict[str, int]] = {part: {} for part in _PARTS}
    for row in rows:
        amounts[row["part"]][row["name"]] = picousd_from_usd(row["spend_usd"])
    total = sum(amounts["day"].values())
    return SpendAnswer(
        month=asked,
        spend_usd=usd_from_picousd(total),
        days=[_share(item) for item in sorted(amounts["day"].items())],
        products=_dearest(amounts["product"]),
        models=_dearest(amounts["model"]),
        forecast_usd=_forecast(asked, total, gate.now_micros()),
    )


@router.get(
    "/v1/organizations/{org_id}/draft-invoice",
    responses=_MONEY,
    operation_id="getDraftInvoice",
    openapi_extra=least("owner"),
)
async def draft_invoice(org_id: OrgId, caller: Caller, gate: Parts) -> DraftsAnswer:
    """What the next invoices would hold if they were made now; for owners and billing."""
    may_read(gate, caller, org_id, least="owner", scope="billing:write")
    rows = await gate.history.rows(_DRAFTS, ("month", "exact_usd"), org=org_id)
    return DraftsAnswer(drafts=[DraftAnswer(**row) for row in rows])


@router.get(
    "/v1/organizations/{org_id}/auto-reload",
    responses=_MONEY,
    operation_id="getAutoReload",
    openapi_extra=least("owner"),
)
async def auto_reload(org_id: OrgId, caller: Caller, gate: Parts) -> AutoReloadAnswer:
    """How auto-reload was set last, as the audit log has it; for owners and billing."""
    may_read(gate, caller, org_id, least="owner", scope="billing:write")
    names = ("command", "type", "enabled", "suspended", "threshold_usd", "amount_usd", "monthly_maximum_usd")
    rows = await gate.history.rows(_RELOAD, names, org=org_id)
    # The latest of each command, the newest first: what lies before the last setting is past.
    later: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["command"] == "set_auto_reload":
            suspended = next((bool(row["suspended"]) for name, row in later.items() if name != "change_plan"), False)
            amounts = {name: row[name] for name in ("threshold_usd", "amount_usd", "monthly_maximum_usd")}
            enabled = bool(row["enabled"]) and "change_plan" not in later
            return AutoReloadAnswer(enabled=enabled, suspended=enabled and suspended, **amounts)
        later[row["command"]] = row
    return AutoReloadAnswer(
        enabled=False, suspended=False, threshold_usd=None, amount_usd=None, monthly_maximum_usd=None
    )


def _dearest(amounts: dict[str, int]) -> list[Share]:
    return [_share(item) for item in sorted(amounts.items(), key=lambda item: (-item[1], item[0]))]


def _share(item: tuple[str, int]) -> Share:
    name, picousd = item
    return Share(name=name, spend_usd=usd_from_picousd(picousd))


def _forecast(month: str, total_picousd: int, now_micros: int) -> str | None:
    asked = Month.parse(month)
    if now_micros >= asked.end_micros:
        return usd_from_picousd(total_picousd)
    elapsed_micros = now_micros - asked.start_micros
    if elapsed_micros < MICROS_PER_DAY:
        return None
    return usd_from_picousd(total_picousd * (asked.end_micros - asked.start_micros) // elapsed_micros)
