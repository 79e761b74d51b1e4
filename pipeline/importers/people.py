"""Who used it: a session of a log goes in; organisation, member and funding come out, by one fixed rule.

Logs say which session a request belongs to, never whose it was or who paid. So three organisations with three members
each stand in, and the rule is:

1. SHA-256 of the session id (UTF-8), its first eight bytes as a big-endian number, modulo 9, is the member's index in
   PEOPLE. Sub-agents belong to their parent's session.
2. The first 25 requests of a session, in the order of their times, are `included` in the seat; the rest are `credits`.

It looks at nothing else: not at the day, not at the other sessions.
"""

from dataclasses import dataclass
from hashlib import sha256

from schemas.organization import Role, SeatTier

INCLUDED_REQUESTS = 25


@dataclass(frozen=True, slots=True)
class Person:
    """A member of an organisation."""

    org_id: str
    user_id: str
    seat_tier: SeatTier
    role: Role


PEOPLE = (
    Person("northwind", "bruno", "standard", "member"),
    Person("cinder", "chloe", "premium", "primary_owner"),
    Person("meridian", "mara", "premium", "primary_owner"),
    Person("northwind", "nadia", "premium", "primary_owner"),
    Person("meridian", "milan", "standard", "admin"),
    Person("cinder", "caleb", "standard", "member"),
    Person("meridian", "moira", "standard", "member"),
    Person("cinder", "clara", "premium", "member"),
    Person("northwind", "nils", "standard", "admin"),
)


def person_of(session_id: str) -> Person:
    """The member a session is given to: point 1 of the rule."""
    digest = sha256(session_id.encode()).digest()
    return PEOPLE[int.from_bytes(digest[:8], "big") % len(PEOPLE)]
