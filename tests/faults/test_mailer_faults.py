"""Mailers under faults: nothing is lost, and at most the mail in hand goes out twice (R37)."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from email.message import EmailMessage
from pathlib import Path

import pytest

from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.settings import Settings
from tests.support.gate_world import process
from tests.support.mail_world import MailWorld, mail_world
from tests.support.notices import breach, own

pytestmark = [pytest.mark.kafka, pytest.mark.faults]

ORGANIZATIONS = [f"org-{number}" for number in range(4)]
OWNERS = [f"owner-{number}" for number in range(5)]


@pytest.fixture
async def mailing(kafka: EmbeddedKafka, server_dir: Path, fresh_name: Callable[[str], str]) -> AsyncIterator[MailWorld]:
    """Four organisations with five owners each, over two partitions; no mailer yet."""
    settings = Settings(
        kafka_bootstrap_servers=kafka.bootstrap_servers,
        topic_prefix=fresh_name("mail") + ".",
        partitions=2,
        data_dir=server_dir / fresh_name("mail"),
        session_timeout_ms=2_000,
    )
    async with mail_world(settings) as world:
        for org_id in ORGANIZATIONS:
            for user_id in OWNERS:
                world.member(org_id, user_id, "owner")
        yield world


async def told(world: MailWorld) -> int:
    """A breach in each organisation; returns how many mails that makes."""
    await world.tell(*(breach(org_id) for org_id in ORGANIZATIONS))
    return len(ORGANIZATIONS) * len(OWNERS)


def times(world: MailWorld) -> Counter[str]:
    """How often each mail came."""
    return Counter(mail["Message-ID"] for mail in world.inbox.mails)


async def nothing_comes_behind(world: MailWorld) -> None:
    """A last mail in every partition, behind all others of it."""
    for org_id in ORGANIZATIONS:
        address = world.member(org_id, "last")
        await world.tell(breach(org_id, own("last")))
        await world.inbox.until(lambda address=address: len(world.inbox.of(address)) == 1)  # type: ignore[misc]
    world.inbox.mails[:] = [mail for mail in world.inbox.mails if not mail["To"].startswith("last@")]


class Held:
    """Holds a mail in hand: the server has it and has not said so."""

    def __init__(self, world: MailWorld, at: int) -> None:
        self.is_held, self.may_go = asyncio.Event(), asyncio.Event()
        self.mail: EmailMessage | None = None
        self._left = at
        world.inbox.on_data = self._on_data

    def _on_data(self, mail: EmailMessage) -> object:
        self._left -= 1
        if self._left:
            return None
        self.mail = mail
        self.is_held.set()
        return self.may_go.wait()


async def test_a_mail_server_that_is_away_is_waited_for(mailing: MailWorld) -> None:
    await mailing.inbox.stop()
    expected = await told(mailing)
    with process(mailing.settings, "mailer"):
        while "no mail by" not in mailing.log():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        await mailing.inbox.start()
        await mailing.inbox.until(lambda: len(mailing.inbox.mails) >= expected)
        await nothing_comes_behind(mailing)
    assert set(times(mailing).values()) == {1}
    assert len(times(mailing)) == expected


async def test_killed_between_mails_nothing_is_lost_and_only_the_one_in_hand_comes_twice(mailing: MailWorld) -> None:
    expected = await told(mailing)
    for at in (3, 5):
        held = Held(mailing, at)
        with process(mailing.settings, "mailer") as mailer:
            await asyncio.wait_for(held.is_held.wait(), 60)
            mailer.kill()
            mailer.wait()
        held.may_go.set()
    mailing.inbox.on_data = lambda mail: None
    with process(mailing.settings, "mailer"):
        await mailing.inbox.until(lambda: len(times(mailing)) == expected)
        await nothing_comes_behind(mailing)
    # Twice the server had a mail of which the mailer could not remember whether it had.
    assert sorted(times(mailing).values()) == [1] * (expected - 2) + [2] * 2


async def test_asked_to_stop_it_ends_the_mail_in_hand_and_the_next_one_goes_on(mailing: MailWorld) -> None:
    expected = await told(mailing)
    held = Held(mailing, 4)
    with process(mailing.settings, "mailer") as mailer:
        await asyncio.wait_for(held.is_held.wait(), 60)
        mailer.send_signal(signal.SIGTERM)
        held.may_go.set()
        assert await asyncio.to_thread(mailer.wait, 30) == 0
    assert len(mailing.inbox.mails) == 4
    with process(mailing.settings, "mailer"):
        await mailing.inbox.until(lambda: len(times(mailing)) == expected)
        await nothing_comes_behind(mailing)
    assert set(times(mailing).values()) == {1}


async def test_two_side_by_side_send_each_mail_once_while_they_come_and_go(mailing: MailWorld) -> None:
    expected = await told(mailing)
    # Neither is ever so slow that it is taken for dead.
    settings = mailing.settings.model_copy(update={"session_timeout_ms": 60_000})
    with process(settings, "mailer"):
        await mailing.inbox.until(lambda: len(mailing.inbox.mails) >= 2)
        with process(settings, "mailer") as second:
            expected += await told(mailing)
            await mailing.inbox.until(lambda: len(times(mailing)) == expected)
            while mailing.log().count("mailing for") < 3:  # noqa: ASYNC110  # both have a partition
                await asyncio.sleep(0.05)
            expected += await told(mailing)
            await mailing.inbox.until(lambda: len(times(mailing)) >= expected - 15)
            second.terminate()
            await asyncio.to_thread(second.wait, 60)  # the mail server, here in this loop, answers it meanwhile
        await mailing.inbox.until(lambda: len(times(mailing)) == expected)
        await nothing_comes_behind(mailing)
    assert set(times(mailing).values()) == {1}


async def test_one_that_was_stopped_and_woken_sends_at_most_the_mail_in_hand_again(mailing: MailWorld) -> None:
    expected = await told(mailing)
    held = Held(mailing, 3)
    with process(mailing.settings, "mailer") as stopped:
        await asyncio.wait_for(held.is_held.wait(), 60)
        os.kill(stopped.pid, signal.SIGSTOP)
        held.may_go.set()
        with process(mailing.settings, "mailer"):
            await mailing.inbox.until(lambda: len(times(mailing)) == expected)
            os.kill(stopped.pid, signal.SIGCONT)
            while mailing.log().count("mailing for") < 3:  # noqa: ASYNC110  # woken, it has joined again
                await asyncio.sleep(0.05)
            await nothing_comes_behind(mailing)
    assert held.mail is not None
    assert times(mailing) == Counter(times(mailing).keys()) + Counter([held.mail["Message-ID"]])
