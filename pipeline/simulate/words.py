"""Instants and scopes go in; how people read them comes out."""

from schemas.events import LimitScope, MemberScope, TierScope
from schemas.instants import format_instant


def when(instant_micros: int) -> str:
    """To the second, UTC."""
    return format_instant(instant_micros)[:19].replace("T", " ")


def scope_for_people(org_id: str, scope: LimitScope) -> str:
    """Whom a limit covers."""
    if isinstance(scope, MemberScope):
        seat = f", {scope.seat_tier} seat" if scope.seat_tier else ""
        return f"{org_id}: {scope.user_id}{seat}"
    return f"{org_id}: all {scope.seat_tier} seats" if isinstance(scope, TierScope) else org_id
