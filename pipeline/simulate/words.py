"""Instants and scopes go in; how people read them comes out, and which instants can be meant at all."""

from schemas.events import LimitScope, MemberScope, TierScope
from schemas.instants import format_instant, parse_instant

EARLIEST, LATEST = parse_instant("2000-01-01T00:00:00Z"), parse_instant("2100-01-01T00:00:00Z")
"""Time follows what is given: one slip of a digit in a year must not lead it there."""


def when(instant_micros: int) -> str:
    """To the second, UTC."""
    return format_instant(instant_micros)[:19].replace("T", " ")


def scope_for_people(org_id: str, scope: LimitScope) -> str:
    """Whom a limit covers."""
    if isinstance(scope, MemberScope):
        seat = f", {scope.seat_tier} seat" if scope.seat_tier else ""
        return f"{org_id}: {scope.user_id}{seat}"
    return f"{org_id}: all {scope.seat_tier} seats" if isinstance(scope, TierScope) else org_id
