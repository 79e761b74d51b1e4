"""Members in any order come in; one page of them, searched and sorted, goes out. For a thread of its own.

Of a hundred thousand only runs of a thousand are sorted at once, and the loop that answers admission may have the
interpreter after each: no single step holds it for longer than a millisecond or two.
"""

import heapq
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Literal

from pipeline.gate.standing import spend_of
from schemas.organization import ROLES, SEAT_TIERS
from schemas.status_copy import MemberRecord

Sort = Literal["spend", "-spend", "user_id", "-user_id", "role", "-role", "seat_tier", "-seat_tier"]

_RUN = 1_000


def page_of(
    members: Iterator[MemberRecord],
    name_of: Callable[[str], str | None],
    month: str,
    search: str,
    sort: Sort,
    removed: bool,
    offset: int,
    limit: int,
) -> tuple[int, list[MemberRecord]]:
    """How many were found, and those from `offset` on; what is the same goes by user id.

    Args:
        name_of: the display name of a user id, if it has one.
        search: in lower case, in the user id or the name.
    """
    name = sort.removeprefix("-")
    turned = sort.startswith("-")

    def key(member: MemberRecord) -> Any:
        match name:
            case "spend":
                rank = spend_of(member, month)
            case "role":
                rank = ROLES.index(member.role)
            case "seat_tier":
                rank = SEAT_TIERS.index(member.seat_tier)
            case _:
                return member.user_id
        return (-rank if turned else rank, member.user_id)

    def is_found(user_id: str) -> bool:
        return search in user_id.lower() or search in (name_of(user_id) or "").lower()

    backwards = sort == "-user_id"
    total, runs = 0, []
    for run in runs_of(members):
        found = [member for member in run if (removed or not member.removed) and is_found(member.user_id)]
        found.sort(key=key, reverse=backwards)
        total += len(found)
        runs.append(found)
    merged = heapq.merge(*runs, key=key, reverse=backwards)
    return total, list(islice(merged, offset, offset + limit))


def runs_of(members: Iterator[MemberRecord]) -> Iterator[list[MemberRecord]]:
    """All of them, in runs; the interpreter is given away after each."""
    while run := list(islice(members, _RUN)):
        yield run
        time.sleep(0)
