"""Organisations and their members: the words of plans, seats and roles (docs/rules.md, "Words" and R1-R9b)."""

from typing import Literal

from schemas.base import SeatTier

Plan = Literal["team", "enterprise"]
Role = Literal["member", "admin", "owner", "primary_owner"]

ROLES: tuple[Role, ...] = ("member", "admin", "owner", "primary_owner")
"""Lowest first."""

SEAT_TIERS: tuple[SeatTier, ...] = ("standard", "premium")

__all__ = ["ROLES", "SEAT_TIERS", "Plan", "Role", "SeatTier"]
