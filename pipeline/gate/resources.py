"""The commands as resources: each with its method, its path and an example body; data, from which routes are made.

What stands in the path or comes from the token or the Idempotency-Key is no part of the body.
"""

from dataclasses import dataclass, field
from typing import Any

from schemas import commands as said
from schemas.commands import Command

ORGANIZATION = "/v1/organizations/{org_id}"
MEMBER = ORGANIZATION + "/members/{user_id}"
REQUEST = ORGANIZATION + "/credit-requests/{request_id}"


@dataclass(frozen=True, slots=True)
class Resource:
    """One command, as somebody writes it over HTTP.

    Attributes:
        example: a body.
        others: further ones that say something else, by what they say: what null means, above all.
    """

    method: str
    path: str
    command: type[Command]
    example: dict[str, Any] = field(default_factory=dict)
    others: dict[str, dict[str, Any]] = field(default_factory=dict)

    def examples(self) -> dict[str, dict[str, Any]]:
        """All of them, as OpenAPI has them."""
        named = {"usual": self.example} | self.others
        return {name.replace(" ", "_"): {"summary": name.capitalize(), "value": body} for name, body in named.items()}


_LIMIT = {"limit_usd": "100.00"}
_NO_LIMIT = {"unlimited": {"limit_usd": None}}
_ON = {"enabled": True}
_PAID = {"payment_id": "pay-7", "amount_usd": "50.00"}
_RELOAD = {"enabled": True, "threshold_usd": "10.00", "amount_usd": "50.00"}

RESOURCES: tuple[Resource, ...] = (
    Resource("PUT", ORGANIZATION, said.RegisterOrganization, {"plan": "enterprise", "primary_owner": "ada"}),
    Resource("POST", ORGANIZATION + "/suspend", said.SuspendOrganization),
    Resource("POST", ORGANIZATION + "/reinstate", said.ReinstateOrganization),
    Resource("POST", ORGANIZATION + "/close", said.CloseOrganization),
    Resource("PUT", ORGANIZATION + "/plan", said.ChangePlan, {"plan": "team"}),
    Resource("POST", ORGANIZATION + "/payments", said.ConfirmPayment, _PAID),
    Resource("POST", ORGANIZATION + "/reloads/{reload_id}/paid", said.ReportReloadPaid, _PAID),
    Resource(
        "POST", ORGANIZATION + "/reloads/{reload_id}/failed", said.ReportReloadFailed, {"detail": "card declined"}
    ),
    Resource(
        "POST",
        ORGANIZATION + "/refunds",
        said.RefundPurchase,
        {"payment_id": "refund-1", "purchase_payment_id": "pay-7", "amount_usd": "12.50"},
    ),
    Resource(
        "POST",
        ORGANIZATION + "/grants",
        said.GrantCredits,
        {"amount_usd": "25.00", "expires_at": "2099-01-01T00:00:00Z"},
        {"never expires": {"amount_usd": "25.00", "expires_at": None}},
    ),
    Resource(
        "POST",
        ORGANIZATION + "/adjustments",
        said.Adjust,
        {"direction": "credit", "amount_usd": "3.00", "note": "outage on 4 May"},
    ),
    Resource(
        "POST",
        ORGANIZATION + "/invoices/{invoice_number}/credit-notes",
        said.IssueCreditNote,
        {"amount_usd": "3.00", "note": "outage on 4 May"},
    ),
    Resource("PUT", ORGANIZATION + "/credits/enabled", said.SetCredits, _ON),
    Resource("PUT", ORGANIZATION + "/credits/member-default", said.SetMemberDefault, _ON),
    Resource("PUT", ORGANIZATION + "/spend-limit", said.SetOrganizationLimit, _LIMIT, _NO_LIMIT),
    Resource("PUT", ORGANIZATION + "/seat-tiers/{seat_tier}/spend-limit", said.SetTierLimit, _LIMIT, _NO_LIMIT),
    Resource("PUT", ORGANIZATION + "/thresholds", said.SetThresholds, {"percents": [50, 80, 100]}),
    Resource(
        "PUT",
        ORGANIZATION + "/balance-notice",
        said.SetBalanceNotice,
        {"threshold_usd": "10.00"},
        {"never": {"threshold_usd": None}},
    ),
    Resource("POST", ORGANIZATION + "/purchases", said.BuyCredits, {"amount_usd": "50.00"}),
    Resource(
        "PUT",
        ORGANIZATION + "/auto-reload",
        said.SetAutoReload,
        _RELOAD | {"monthly_maximum_usd": "200.00"},
        {"no maximum": _RELOAD | {"monthly_maximum_usd": None}},
    ),
    Resource("PUT", ORGANIZATION + "/primary-owner", said.HandOverOwnership, {"user_id": "bruno"}),
    Resource("PUT", ORGANIZATION + "/credit-requests/enabled", said.SetRequestsEnabled, _ON),
    Resource("POST", ORGANIZATION + "/credit-requests", said.RequestCredits, {"kind": "credits"}),
    Resource("POST", REQUEST + "/approve", said.ApproveRequest, _LIMIT, {"a Premium seat": {"seat_tier": "premium"}}),
    Resource("POST", REQUEST + "/deny", said.DenyRequest),
    Resource("PUT", MEMBER, said.AddMember, {"seat_tier": "standard", "role": "member"}),
    Resource("DELETE", MEMBER, said.RemoveMember),
    Resource("PUT", MEMBER + "/role", said.SetRole, {"role": "admin"}),
    Resource("PUT", MEMBER + "/seat-tier", said.AssignSeat, {"seat_tier": "premium"}),
    Resource("PUT", MEMBER + "/spend-limit", said.SetUserLimit, _LIMIT, _NO_LIMIT),
    Resource(
        "PUT",
        MEMBER + "/credits/enabled",
        said.SetMemberCredits,
        _ON,
        {"as the organization has it": {"enabled": None}},
    ),
)


def put_examples(document: dict[str, Any]) -> None:
    """Put the examples of all bodies into an OpenAPI document: FastAPI leaves out what is null, and null says much."""
    for resource in RESOURCES:
        operation = document["paths"][resource.path][resource.method.lower()]
        if "requestBody" in operation:
            operation["requestBody"]["content"]["application/json"]["examples"] = resource.examples()
