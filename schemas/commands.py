"""Account commands: what the gate writes to `account-commands`, one model each, told apart by `command`.

A command names its organisation, its id (repeating one is harmless) and its actor; whether it is applied or refused
is the ledger's answer on `account-events`. Amounts are what people enter (R13). Source: docs/rules.md R1-R2, R9a, R21.
"""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from schemas.base import Identifier, Model, SeatTier
from schemas.money import UsdAmount
from schemas.organization import Plan, Role

Scope = Literal["usage:write", "admission:read", "billing:write", "operator"]


class Actor(Model):
    """Who acts; the gate vouches for kind, id and scopes, the ledger looks up a user's role (R1)."""

    kind: Literal["user", "service", "operator"]
    id: Identifier
    scopes: tuple[Scope, ...] = Field(default=(), strict=False)


class _Command(Model):
    command_id: Identifier
    org_id: Identifier
    actor: Actor


class RegisterOrganization(_Command):
    """Make an organisation known; credits are off until an owner enables them (R2, R9a)."""

    command: Literal["register_organization"] = "register_organization"
    plan: Plan
    primary_owner: Identifier
    seat_tier: SeatTier = "standard"


class SetCredits(_Command):
    """Switch the organisation's credits on or off (R9a)."""

    command: Literal["set_credits"] = "set_credits"
    enabled: bool


class AddMember(_Command):
    """Add a member with a seat and a role (R31)."""

    command: Literal["add_member"] = "add_member"
    user_id: Identifier
    seat_tier: SeatTier = "standard"
    role: Role = "member"


class SetOrganizationLimit(_Command):
    """Set the organisation's monthly spend limit; null lifts it (R21)."""

    command: Literal["set_organization_limit"] = "set_organization_limit"
    limit_usd: UsdAmount | None


Command = RegisterOrganization | SetCredits | AddMember | SetOrganizationLimit

COMMANDS: TypeAdapter[Command] = TypeAdapter(Annotated[Command, Field(discriminator="command")])
"""Validates one decoded JSON object (or JSON bytes) to its command."""
