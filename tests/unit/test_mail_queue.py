"""The queue of mails: what is sent next, and from where a restart reads."""

from pipeline.mailer.notices import Notice, notice_of
from pipeline.mailer.queue import Mail, Queue
from schemas.events import envelope
from tests.support.notices import breach

PLACE = "notifications[0]"


def notice() -> Notice:
    found = notice_of(envelope(breach("acme")))
    assert found is not None
    return found


def mails(offset: int, *user_ids: str) -> list[Mail[str]]:
    one = notice()
    return [Mail(one, user_id, PLACE, offset, until_seconds=0.0) for user_id in user_ids]


def users(queue: Queue[str], now: float) -> list[str]:
    found = []
    while mail := queue.pop(now):
        found.append(mail.user_id)
    return found


def test_mails_go_in_the_order_they_came() -> None:
    queue: Queue[str] = Queue()
    queue.add(mails(7, "a", "b"), 0.0)
    queue.add(mails(8, "c"), 0.0)
    assert users(queue, 0.0) == ["a", "b", "c"]


def test_a_restart_reads_from_the_first_that_has_not_ended() -> None:
    queue: Queue[str] = Queue()
    queue.add(mails(7, "a", "b"), 0.0)
    queue.passed(PLACE, 8)
    queue.passed(PLACE, 9)
    queue.add(mails(9, "c"), 0.0)
    queue.passed(PLACE, 10)
    first, second, third = (queue.pop(0.0) for _ in range(3))
    assert first is not None
    assert second is not None
    assert third is not None
    queue.end(first)
    queue.end(third)
    assert queue.positions() == {PLACE: 7}
    queue.end(second)
    assert queue.positions() == {PLACE: 10}


def test_what_is_put_off_waits_longer_each_time_and_holds_nobody_up() -> None:
    queue: Queue[str] = Queue()
    queue.add(mails(7, "slow", "quick"), 0.0)
    slow = queue.pop(0.0)
    assert slow is not None
    queue.put_off(slow, 0.0)
    assert users(queue, 1.9) == ["quick"]
    assert queue.pop(2.0) is slow
    queue.put_off(slow, 2.0)
    assert queue.pop(5.9) is None
    assert queue.pop(6.0) is slow


def test_a_mail_that_could_not_go_for_want_of_a_server_is_the_next_again() -> None:
    queue: Queue[str] = Queue()
    queue.add(mails(7, "a", "b"), 0.0)
    first = queue.pop(0.0)
    assert first is not None
    queue.put_back(first)
    assert users(queue, 0.0) == ["a", "b"]


def test_a_mail_has_the_same_id_whoever_asks_and_another_for_everybody_else() -> None:
    one, other = notice(), notice()
    assert one.mail_id("a") == one.mail_id("a")
    assert len({one.mail_id("a"), one.mail_id("b"), other.mail_id("a")}) == 3
