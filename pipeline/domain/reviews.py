"""Reviews: a change that reaches every member of an organisation comes in; what follows goes out, slice by slice.

A new limit of a tier of 100,000 members must not hold the worker. So the command only notes the review; before the next
record is taken, `advance` looks at some members at a time, in the order of their ids, each slice a transaction. An
event therefore never meets a member who was not looked at. Source: docs/rules.md R28, R34;
docs/decisions/0007-limits-without-walking-members.md
"""

from pipeline.domain import limits
from pipeline.domain.limits import Occasion
from pipeline.domain.state import State
from schemas.events import LedgerEvent

SLICE_MEMBERS = 100


def advance(state: State) -> list[LedgerEvent]:
    """Look at the next members of the review under way."""
    org_id = next(iter(state.reviews))
    organization = state.organizations[org_id]
    review = organization.review
    assert review is not None, f"{org_id} is under review for no reason"
    user_ids = organization.users_after(review["after"], SLICE_MEMBERS)
    occasion = Occasion(state, organization, review["at_micros"], review["cause"])
    events: list[LedgerEvent] = []
    for user_id in user_ids:
        member = organization.members[user_id]
        if review["keys"]:
            events += limits.review_member(occasion, member, keys=review["keys"])
        else:
            limits.mark_member(state, organization, member)
    if len(user_ids) < SLICE_MEMBERS:
        organization.review = None
        del state.reviews[org_id]
    else:
        organization.review = {**review, "after": user_ids[-1]}
    state.touch(organization)
    return events
