"""Time: an organisation and two instants come in; what fell due between them happens, in order (R5, R37-R40)."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from tests.support.auditor.basics import DAY, end_of, first_instant, month_of, text_of
from tests.support.auditor.invoicing import finalize, publish_draft
from tests.support.auditor.outputs import Digest, Outstanding, Scope
from tests.support.auditor.state import Organization
from tests.support.auditor.statements import issue
from tests.support.auditor.wallet import ANSWER_WITHIN, expire, fail, look

ENDS, CLOSES, EXPIRES, UNANSWERED, BEGINS, DIGEST = range(6)


class Due(NamedTuple):
    """At one instant: months end, then close; lots expire, reloads go unanswered, a month begins, the digest."""

    at: int
    rank: int
    number: int
    happens: Callable[[], None]


def pass_time(org: Organization, since: int, now: int, grace: int, digest_hour_micros: int) -> None:
    fixed = _of_months(org, since, now, grace)
    digest_at = (now - digest_hour_micros) // DAY * DAY + digest_hour_micros  # the last one; those missed are missed
    if since < digest_at <= now:
        fixed.append(Due(digest_at, DIGEST, 0, partial(_digest, org, digest_at)))
    while (due := min([*fixed, *_of_the_wallet(org)], default=None, key=lambda due: due[:3])) and due.at <= now:
        if due in fixed:
            fixed.remove(due)
        due.happens()


def _of_months(org: Organization, since: int, now: int, grace: int) -> list[Due]:
    """From the first month on that was not closed yet. At a month's beginning there may be room for a reload again."""
    found, month = [], month_of(since - grace)
    while first_instant(month) <= now:
        end, closes = end_of(month), end_of(month) + grace
        found.append(Due(end, ENDS, 0, partial(publish_draft, org, end, month)))
        found.append(Due(closes, CLOSES, 0, partial(_close, org, closes, month)))
        found.append(Due(end, BEGINS, 0, partial(look, org, end)))
        month = month_of(end)
    return [due for due in found if since < due.at <= now]


def _close(org: Organization, at: int, month: str) -> None:
    finalize(org, at, month, "month_closed")
    issue(org, at, month)


def _of_the_wallet(org: Organization) -> list[Due]:
    found = [
        Due(lot.expires_at, EXPIRES, lot.number, partial(expire, org, lot.expires_at, lot))
        for lot in org.lots
        if lot.expires_at is not None
    ]
    if org.status != "closed":
        found += [
            Due(one.asked_at + ANSWER_WITHIN, UNANSWERED, number, partial(fail, org, one, "unanswered"))
            for number, one in enumerate(org.reloads)
            if one.status == "pending"
        ]
    return found


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
