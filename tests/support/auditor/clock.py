"""Time: an organisation and two instants come in; what fell due between them happens, in order (R5, R37, R38b)."""

from tests.support.auditor.basics import DAY, end_of, month_of, text_of
from tests.support.auditor.outputs import Digest, Outstanding, Scope
from tests.support.auditor.state import Lot, Organization, Reload
from tests.support.auditor.wallet import ANSWER_WITHIN, expire, fail, look


def pass_time(org: Organization, since: int, now: int, digest_hour_micros: int) -> None:
    """At one instant: lots expire (by number), reloads go unanswered, then the digest."""
    digest_at = (now - digest_hour_micros) // DAY * DAY + digest_hour_micros  # the last one; those missed are missed
    has_digest = since < digest_at <= now
    begins = end_of(month_of(since))
    while (due := _next_due(org, begins)) is not None and due[0] <= now:
        at, _, _, what = due
        if has_digest and digest_at < at:
            _digest(org, digest_at)
            has_digest = False
        if isinstance(what, Lot):
            expire(org, at, what)
        elif what is None:
            begins = end_of(month_of(begins))
            look(org, at)
        else:
            fail(org, what, "unanswered")
    if has_digest:
        _digest(org, digest_at)


def _next_due(org: Organization, begins: int) -> tuple[int, int, int, Lot | Reload | None] | None:
    """At a month's beginning there may be room for a reload again."""
    due: list[tuple[int, int, int, Lot | Reload | None]] = [(begins, 2, 0, None)]
    due += [(lot.expires_at, 0, lot.number, lot) for lot in org.lots if lot.expires_at is not None]
    if org.status != "closed":
        due += [
            (one.asked_at + ANSWER_WITHIN, 1, number, one)
            for number, one in enumerate(org.reloads)
            if one.status == "pending"
        ]
    return min(due, default=None, key=lambda some: some[:3])


def _digest(org: Organization, at: int) -> None:
    pending = sorted(org.pending(), key=lambda request: (request.asked_at, request.request_id))
    if pending and org.status != "closed":
        outstanding = tuple(
            Outstanding(
                request.request_id,
                request.user_id,
                request.kind,
                request.asked_at,
                org.members[request.user_id].seat_tier,
                org.spend(Scope("member", None, request.user_id), month_of(at)),
            )
            for request in pending
        )
        org.published.append(Digest(text_of(at)[:10], outstanding))
