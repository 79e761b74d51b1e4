"""Account commands: what the gate writes to `account-commands`, one model each, told apart by `command`.

A command names its organisation, its id (repeating one is harmless) and its actor; whether it is applied or refused
is the ledger's answer on `account-events`. What a model refuses can be seen without knowing anything else. Amounts
and instants are as people write them (R13). Source: docs/rules.md R1-R9b, R21-R23, R29a, R35-R38.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, TypeAdapter, field_validator, model_validator

from schemas.base import Identifier, Model, SeatTier
from schemas.instants import Instant
from schemas.money import UsdAmount
from schemas.organization import Basis, Plan, RequestKind, Role

Scope = Literal["usage:write", "admission:read", "billing:write", "operator"]
ContactField = Literal["email", "display_name", "notices"]

Remark = Annotated[str, StringConstraints(pattern=r"\S", max_length=500)]
"""What a person or a bank had to say; it lies in the audit log for ever, so it is short."""


def _sorted(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) < len(values):
        raise ValueError("each at most once")
    return tuple(sorted(values))


Percents = Annotated[
    tuple[Annotated[int, Field(ge=1, le=100)], ...],
    Field(strict=False, max_length=10, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_sorted),
]
"""Whole percents of a limit, each once, in whatever order on the wire, ascending inside (R29a)."""

ContactFields = Annotated[
    tuple[ContactField, ...],
    Field(strict=False, min_length=1, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_sorted),
]


class Actor(Model):
    """Who acts; the gate vouches for kind, id and scopes, the ledger looks up a user's role (R1)."""

    kind: Literal["user", "service", "operator"]
    id: Identifier
    scopes: tuple[Scope, ...] = Field(default=(), strict=False)


class _Command(Model):
    # Read as others write it: by wire names alone.
    model_config = ConfigDict(validate_by_name=False)

    command_id: Identifier
    org_id: Identifier
    actor: Actor


class CommandHead(_Command):
    """What every command says, of one of which nothing else need be right."""

    model_config = ConfigDict(extra="ignore")

    command: Identifier


# By the billing service.


class RegisterOrganization(_Command):
    """Make an organisation known; credits are off until an owner enables them (R2, R9a)."""

    command: Literal["register_organization"] = "register_organization"
    plan: Plan
    primary_owner: Identifier
    seat_tier: SeatTier = "standard"


class SuspendOrganization(_Command):
    """Deny everybody, first of all reasons, until billing reinstates it (R9b)."""

    command: Literal["suspend_organization"] = "suspend_organization"


class ReinstateOrganization(_Command):
    """End a suspension (R9b)."""

    command: Literal["reinstate_organization"] = "reinstate_organization"


class CloseOrganization(_Command):
    """End an organisation: final invoice, or refund of the unburnt paid balance (R9b)."""

    command: Literal["close_organization"] = "close_organization"


class ChangePlan(_Command):
    """Change the plan at once (R7)."""

    command: Literal["change_plan"] = "change_plan"
    plan: Plan


class ConfirmPayment(_Command):
    """A payment is in: for credits, or for the invoice that it names (R3, R38).

    For credits, `purchase_id` is that of the purchase.requested it answers, if any.
    """

    command: Literal["confirm_payment"] = "confirm_payment"
    payment_id: Identifier
    amount_usd: UsdAmount
    purchase_id: Identifier | None = None
    invoice_number: Annotated[int, Field(ge=1)] | None = Field(default=None, description="not with purchase_id")

    @model_validator(mode="after")
    def _is_for_one_thing(self) -> "ConfirmPayment":
        if self.purchase_id is not None and self.invoice_number is not None:
            raise ValueError("at most one of purchase_id and invoice_number")
        return self


class ReportReloadPaid(_Command):
    """A reload.requested was paid, however late (R5)."""

    command: Literal["report_reload_paid"] = "report_reload_paid"
    reload_id: Identifier
    payment_id: Identifier
    amount_usd: UsdAmount


class ReportReloadFailed(_Command):
    """A reload.requested could not be paid (R5)."""

    command: Literal["report_reload_failed"] = "report_reload_failed"
    reload_id: Identifier
    detail: Remark


class RefundPurchase(_Command):
    """Give back unburnt credits of one purchase; `payment_id` is the refund's own (R38b)."""

    command: Literal["refund_purchase"] = "refund_purchase"
    payment_id: Identifier
    purchase_payment_id: Identifier
    amount_usd: UsdAmount


class GrantCredits(_Command):
    """Give promotional credits; null: they never expire (R38b)."""

    command: Literal["grant_credits"] = "grant_credits"
    amount_usd: UsdAmount
    expires_at_micros: Instant | None = Field(alias="expires_at")

    @field_validator("expires_at_micros", mode="before")
    @classmethod
    def _is_text_on_the_wire(cls, value: object) -> object:
        if value is not None and not isinstance(value, str):
            raise ValueError("an instant is RFC 3339 text")
        return value


class Adjust(_Command):
    """Put something right by hand, in favour of the organisation (`credit`) or not (`debit`); says why (R12, R38b)."""

    command: Literal["adjust"] = "adjust"
    direction: Literal["credit", "debit"]
    amount_usd: UsdAmount
    note: Remark


class IssueCreditNote(_Command):
    """Take back part of a finalised invoice, at most all of it, and say why (R39)."""

    command: Literal["issue_credit_note"] = "issue_credit_note"
    invoice_number: Annotated[int, Field(ge=1)]
    amount_usd: UsdAmount
    note: Remark


# By owners.


class SetCredits(_Command):
    """Switch the organisation's credits on or off (R9a)."""

    command: Literal["set_credits"] = "set_credits"
    enabled: bool


class SetMemberDefault(_Command):
    """Switch credits on or off for members who have no switch of their own (R9a)."""

    command: Literal["set_member_default"] = "set_member_default"
    enabled: bool


class SetMemberCredits(_Command):
    """Switch one member's credits on or off; null: the organisation's default decides (R9a)."""

    command: Literal["set_member_credits"] = "set_member_credits"
    user_id: Identifier
    enabled: bool | None


class _SetLimit(_Command):
    # One that is for this month only raises: it lies above the limit that holds now, and falls back at month end (R23).
    limit_usd: UsdAmount | None
    this_month_only: bool = False


class SetOrganizationLimit(_SetLimit):
    """Set the organisation's monthly spend limit; null lifts it (R21)."""

    command: Literal["set_organization_limit"] = "set_organization_limit"


class SetTierLimit(_SetLimit):
    """Set a seat tier's monthly spend limit; null lifts it. Enterprise only (R22)."""

    command: Literal["set_tier_limit"] = "set_tier_limit"
    seat_tier: SeatTier
    basis: Basis = "each_member"


class SetUserLimit(_SetLimit):
    """Set a member's own monthly spend limit; null: the tier's `each_member` limit applies again (R23)."""

    command: Literal["set_user_limit"] = "set_user_limit"
    user_id: Identifier


class SetThresholds(_Command):
    """Choose at which percents of a limit a notice goes out; none: no notices (R29a)."""

    command: Literal["set_thresholds"] = "set_thresholds"
    percents: Percents


class SetBalanceNotice(_Command):
    """Choose at which balance owners are told that it is low; null: never (R37a)."""

    command: Literal["set_balance_notice"] = "set_balance_notice"
    threshold_usd: UsdAmount | None


class BuyCredits(_Command):
    """Ask billing to collect a payment; the credits come with its confirm_payment (R3)."""

    command: Literal["buy_credits"] = "buy_credits"
    amount_usd: UsdAmount


class SetAutoReload(_Command):
    """Switch auto-reload on or off, with all its settings (R5)."""

    command: Literal["set_auto_reload"] = "set_auto_reload"
    enabled: bool
    threshold_usd: UsdAmount
    amount_usd: UsdAmount = Field(description="exceeds threshold_usd")
    monthly_maximum_usd: UsdAmount | None


class SetRequestsEnabled(_Command):
    """Let members ask for credits and seats, or not (R35)."""

    command: Literal["set_requests_enabled"] = "set_requests_enabled"
    enabled: bool


class SetRole(_Command):
    """Give a member another role, up to owner (R2)."""

    command: Literal["set_role"] = "set_role"
    user_id: Identifier
    role: Role


class HandOverOwnership(_Command):
    """Make another member primary owner; the giver becomes owner (R2)."""

    command: Literal["hand_over_ownership"] = "hand_over_ownership"
    user_id: Identifier


# By admins.


class AddMember(_Command):
    """Add a member with a seat and a role (R31)."""

    command: Literal["add_member"] = "add_member"
    user_id: Identifier
    seat_tier: SeatTier = "standard"
    role: Role = "member"


class RemoveMember(_Command):
    """Remove a member; what they spent stays (R31)."""

    command: Literal["remove_member"] = "remove_member"
    user_id: Identifier


class AssignSeat(_Command):
    """Give a member a seat; it moves no spend (R30)."""

    command: Literal["assign_seat"] = "assign_seat"
    user_id: Identifier
    seat_tier: SeatTier


class ApproveRequest(_Command):
    """Grant a pending request what the approver chooses: a limit above the month to date, or a seat (R36)."""

    command: Literal["approve_request"] = "approve_request"
    request_id: Identifier
    limit_usd: UsdAmount | None = Field(default=None, description="either this or seat_tier")
    seat_tier: SeatTier | None = None

    @model_validator(mode="after")
    def _grants_one_thing(self) -> "ApproveRequest":
        if (self.limit_usd is None) == (self.seat_tier is None):
            raise ValueError("exactly one of limit_usd and seat_tier")
        return self


class DenyRequest(_Command):
    """Deny a pending request; a new one may be made (R35)."""

    command: Literal["deny_request"] = "deny_request"
    request_id: Identifier


# By any member.


class RequestCredits(_Command):
    """Ask for usage credits or a Premium seat, for oneself (R35)."""

    command: Literal["request_credits"] = "request_credits"
    kind: RequestKind


class SetContact(_Command):
    """Say which contact fields change, one's own or a member's; what they say never comes here (R37a)."""

    command: Literal["set_contact"] = "set_contact"
    user_id: Identifier
    fields: ContactFields


Command = (
    RegisterOrganization
    | SuspendOrganization
    | ReinstateOrganization
    | CloseOrganization
    | ChangePlan
    | ConfirmPayment
    | ReportReloadPaid
    | ReportReloadFailed
    | RefundPurchase
    | GrantCredits
    | Adjust
    | IssueCreditNote
    | SetCredits
    | SetMemberDefault
    | SetMemberCredits
    | SetOrganizationLimit
    | SetTierLimit
    | SetUserLimit
    | SetThresholds
    | SetBalanceNotice
    | BuyCredits
    | SetAutoReload
    | SetRequestsEnabled
    | SetRole
    | HandOverOwnership
    | AddMember
    | RemoveMember
    | AssignSeat
    | ApproveRequest
    | DenyRequest
    | RequestCredits
    | SetContact
)

COMMANDS: TypeAdapter[Command] = TypeAdapter(Annotated[Command, Field(discriminator="command")])
"""Validates one decoded JSON object (or JSON bytes) to its command."""
