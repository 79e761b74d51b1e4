"""Organisations and their members: the words of plans, seats, roles, limits (docs/rules.md, "Words", R1-R9b, R22)."""

from typing import Literal

from schemas.base import SeatTier

Plan = Literal["team", "enterprise"]
Role = Literal["member", "admin", "owner", "primary_owner"]
OrganizationState = Literal["active", "suspended", "closed"]

Basis = Literal["each_member", "whole_tier"]
"""Whether a seat tier's limit is every member's own, or pools them (R22)."""

RequestKind = Literal["credits", "premium_seat"]

ROLES: tuple[Role, ...] = ("member", "admin", "owner", "primary_owner")
"""Lowest first."""

SEAT_TIERS: tuple[SeatTier, ...] = ("standard", "premium")

__all__ = ["ROLES", "SEAT_TIERS", "Basis", "OrganizationState", "Plan", "RequestKind", "Role", "SeatTier"]
