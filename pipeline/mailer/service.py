"""Notices and breaches from Kafka come in; mails go out, each once; runs until it is asked to stop.

Each mail ends in three steps: the group hears how far this mailer is, which fails if another has taken over; the server
takes the mail; Kafka remembers it. Only a crash between the last two sends a mail again, and only that one.
Source: docs/rules.md R37, R37a; docs/decisions/0016-contacts-and-mail.md.
"""

import asyncio
import logging
import time
import traceback
from collections.abc import Collection
from contextlib import suppress
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import IllegalStateError, KafkaError
from prometheus_client import Counter

from client.following import StatusFollower
from pipeline.contacts import ContactFollower
from pipeline.engine.clients import close_consumer
from pipeline.mailer.letters import letter_of
from pipeline.mailer.memory import Memory
from pipeline.mailer.message import message_of
from pipeline.mailer.notices import Notice, notice_of, whole_digest
from pipeline.mailer.outlet import SEND_SECONDS, Away, NotNow, Outlet, Refused
from pipeline.mailer.queue import Mail, Queue
from pipeline.settings import Settings
from pipeline.topics import CREDIT_STATUS, LIMIT_BREACHES, NOTIFICATIONS
from schemas.contacts import Contact
from schemas.mails import MailOutcome, Outcome
from schemas.notifications import RequestsDigest

logger = logging.getLogger(__name__)

ERRORS = Counter("mailer_errors", "Notices that could not be read, and tries of a mail that failed by a bug of ours")

_POLL_SECONDS = 0.25
_TURN_SECONDS = 5.0
"""How long mails are sent before Kafka is asked again: it wants to be asked now and then."""
_MOST_WAITING = 5_000
"""With so many mails in hand no more is read."""
_AGAIN_SECONDS = 2.0
_LEVEL_SECONDS = 30.0
_LONGEST_WAIT_SECONDS = 60.0


async def run_mailer(settings: Settings, outlet: Outlet, stop: asyncio.Event) -> None:
    """Run until `stop` is set; the mail in hand is sent and remembered before it returns."""
    status = StatusFollower(settings.kafka(), settings.topic_prefix + CREDIT_STATUS.name)
    contacts = ContactFollower(settings)
    async with status, contacts:
        mailer = _Mailer(settings, outlet, status, contacts)
        running, stopped = asyncio.create_task(mailer.run(stop)), asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            await asyncio.wait_for(running, SEND_SECONDS)
        except TimeoutError:
            logger.warning("Kafka does not answer: the mail in hand, if there is one, may be sent again")
        finally:
            await mailer.close()


class _Mailer:
    def __init__(self, settings: Settings, outlet: Outlet, status: StatusFollower, contacts: ContactFollower) -> None:
        self._settings = settings
        self._status = status
        self._contacts = contacts
        self._outlet = outlet
        self._memory = Memory(settings)
        self._queue: Queue[TopicPartition] = Queue()
        self._parts: dict[tuple[str, str], list[tuple[Notice, int]]] = {}  # (organisation, day) → its digest so far
        self._consumer: Any = None
        self._rebalances = 0
        self._assigned = self._holding = False
        self._hand = asyncio.Lock()  # held while a mail is in hand
        self._told: dict[TopicPartition, int] = {}  # what the group was told last
        self._refusals = 0  # of the outlet, one after the other
        self._away_until = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Mail what comes, until stopped."""
        while not stop.is_set():
            try:
                if not self._status.is_whole or not self._contacts.is_whole:
                    await asyncio.sleep(_POLL_SECONDS)
                    continue
                if self._consumer is None:
                    await self._join()
                if self._assigned and not self._holding:
                    await self._take_over()
                await self._take()
                await self._send(stop)
            except (KafkaError, IllegalStateError, TimeoutError) as error:
                # Whatever it was: forget what is in hand, and read again what has not ended.
                self._holding = False
                logger.warning("Kafka: %r (KAFKA_BOOTSTRAP_SERVERS); again in %.0f s", error, _AGAIN_SECONDS)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), _AGAIN_SECONDS)

    async def close(self) -> None:
        """Leave the group, and close all connections."""
        await self._outlet.close()
        with suppress(KafkaError):
            await self._memory.close()
        if self._consumer is not None:
            await close_consumer(self._consumer, "the membership of the group")

    # The group: who has which partitions.

    async def _join(self) -> None:
        settings = self._settings
        consumer = AIOKafkaConsumer(
            **settings.kafka(),
            group_id=settings.topic_prefix + "mailer",
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            # Of both topics the same partitions: all of an organisation is mailed by one mailer.
            partition_assignment_strategy=[RangePartitionAssignor],
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_interval_ms=min(1_000, settings.session_timeout_ms // 3),
            # Longer than a mail may take: what is in hand is ended before somebody else goes on.
            rebalance_timeout_ms=int(2_000 * SEND_SECONDS),
            fetch_max_wait_ms=100,
        )
        try:
            await consumer.start()
        except BaseException:
            await close_consumer(consumer, "the membership of the group")
            raise
        self._consumer = consumer
        topics = [settings.topic_prefix + topic.name for topic in (NOTIFICATIONS, LIMIT_BREACHES)]
        consumer.subscribe(topics, listener=_Rebalances(self))

    async def on_revoked(self) -> None:
        """Another may have them from now on; the mail in hand is ended first."""
        self._rebalances += 1
        self._assigned = self._holding = False
        async with self._hand:
            self._let_go()

    def on_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Nothing is mailed before it is known what was."""
        self._rebalances += 1
        self._assigned, self._holding = bool(assigned), False
        self._consumer.pause(*assigned)

    async def _take_over(self) -> None:
        """Learn which mails have ended, and go on from where the group is."""
        rebalances, assigned = self._rebalances, self._consumer.assignment()
        self._let_go()
        self._consumer.pause(*assigned)
        await self._memory.read({place.partition for place in assigned})
        offsets = {place: await self._consumer.committed(place) for place in assigned}
        beginnings = await self._consumer.beginning_offsets(assigned)
        if rebalances != self._rebalances:
            return  # no longer what is assigned; the next round learns that
        for place, committed in offsets.items():
            self._consumer.seek(place, max(committed or 0, beginnings[place]))
        self._consumer.resume(*assigned)
        self._holding, self._told = True, {}
        logger.info("mailing for %s", ", ".join(f"{topic}[{number}]" for topic, number in sorted(assigned)))

    def _let_go(self) -> None:
        self._queue.clear()
        self._parts.clear()

    # What is to be mailed.

    async def _take(self) -> None:
        if self._holding and len(self._queue) < _MOST_WAITING:
            self._consumer.resume(*self._consumer.assignment())
        elif self._holding:
            self._consumer.pause(*self._consumer.assignment())
        rebalances = self._rebalances
        arrived = await self._consumer.getmany(timeout_ms=int(_POLL_SECONDS * 1_000))
        if not arrived or not self._holding:
            return
        # Who is an admin, and how they are reached: at least as it was when the notice was published.
        async with asyncio.timeout(_LEVEL_SECONDS):
            await self._status.up_to_now()
            await self._contacts.up_to_now()
        if rebalances != self._rebalances:
            return
        for place, records in arrived.items():
            for record in records:
                self._take_record(place, record)
                self._queue.passed(place, record.offset + 1)
        await self._tell_group()

    async def _tell_group(self) -> None:
        """Say from where a restart has to read; whoever was replaced without having noticed learns it here.

        Raises:
            KafkaError: somebody else has the partitions.
        """
        positions = self._queue.positions()
        await self._consumer.commit(positions)
        self._told = positions

    def _take_record(self, place: TopicPartition, record: Any) -> None:
        until_seconds = record.timestamp / 1_000 + self._settings.mail_hours * 3_600
        if until_seconds < time.time():
            return
        offset = record.offset
        try:
            notice = notice_of(msgspec.json.decode(record.value))
            if notice is not None and isinstance(notice.event, RequestsDigest) and notice.event.parts > 1:
                notice, offset = self._digest(place, notice, offset)
            readers = [] if notice is None else notice.readers(self._status.copy)
        except Exception as error:
            # It costs its own readers a mail, and not everybody all of theirs.
            ERRORS.inc()
            logger.error("%s[%d] offset %d is passed over: %s", *place, record.offset, type(error).__name__)
            return
        if notice is None:
            return
        mails = [Mail(notice, user_id, place, offset, until_seconds) for user_id in readers]
        self._queue.add([mail for mail in mails if not self._memory.has(mail.mail_id)], time.monotonic())

    def _digest(self, place: TopicPartition, notice: Notice, offset: int) -> tuple[Notice | None, int]:
        """The whole digest once its last part is there, and where its first part lies."""
        event = notice.event
        assert isinstance(event, RequestsDigest)
        parts = self._parts.setdefault((event.org_id, event.day), [])
        if event.part == 1:
            self._queue.hold(place, offset)
        parts.append((notice, offset))
        first_offset = parts[0][1]
        whole = whole_digest([part for part, _ in parts])
        if whole is not None:
            del self._parts[event.org_id, event.day]
            self._queue.let_go(place, first_offset)
        return whole, first_offset

    # Mailing it.

    async def _send(self, stop: asyncio.Event) -> None:
        """Send what is due, for a while."""
        end = time.monotonic() + _TURN_SECONDS
        while self._holding and not stop.is_set():
            now = time.monotonic()
            if now < self._away_until or now > end:
                return
            async with self._hand:
                mail = self._queue.pop(now) if self._holding else None
                if mail is not None:
                    await self._deliver(mail)
            if mail is None:
                await self._outlet.close()
                if self._holding and self._queue.positions() != self._told:
                    await self._tell_group()
                return

    async def _deliver(self, mail: Mail[TopicPartition]) -> None:
        """One mail: it ends, or is put off."""
        contact = self._contacts.copy.contact(mail.notice.event.org_id, mail.user_id)
        if contact.email is None or not getattr(contact.notices, mail.notice.switch):
            self._queue.end(mail)
            return
        await self._tell_group()
        try:
            outcome, code = await self._posted(mail, contact)
        except NotNow as not_now:
            self._queue.put_off(mail, time.monotonic())
            logger.warning("%s: %s; again later", _named(mail), not_now)
            return
        except Away as away:
            self._queue.put_back(mail)
            wait_seconds = min(2.0**self._refusals, _LONGEST_WAIT_SECONDS)
            self._refusals += 1
            self._away_until = time.monotonic() + wait_seconds
            logger.warning("no mail by %s: %s; again in %.0f s", self._outlet.name, away, wait_seconds)
            return
        except Exception as error:
            # A bug costs its mail, not those behind it: a mended mailer may still send it.
            ERRORS.inc()
            self._queue.put_off(mail, time.monotonic())
            # Where it happened, and not what was said: that may hold the address.
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error("%s: %s, a bug; again later\n%s", _named(mail), type(error).__name__, where)
            await self._outlet.close()
            return
        self._refusals = 0
        logger.info("%s: %s", _named(mail), outcome if code is None else f"{outcome} with {code}")
        ended = MailOutcome(
            mail_id=mail.mail_id,
            org_id=mail.notice.event.org_id,
            user_id=mail.user_id,
            kind=mail.notice.kind,
            outcome=outcome,
            smtp_code=code,
            at_micros=int(time.time() * 1_000_000),
        )
        await self._memory.remember(mail.place.partition, ended)
        self._queue.end(mail)

    async def _posted(self, mail: Mail[TopicPartition], contact: Contact) -> tuple[Outcome, int | None]:
        """How a mail ended, and what the server said if it refused it.

        Raises:
            NotNow, Away: it has not.
        """
        if mail.until_seconds < time.time():
            return "given_up", None
        event = mail.notice.event
        letter = letter_of(mail.notice, lambda user_id: self._contacts.copy.display_name(event.org_id, user_id))
        message = message_of(letter, mail.mail_id, self._outlet.sender, contact, self._settings.mail_url)
        assert contact.email is not None
        try:
            await self._outlet.send(message, contact.email)
        except Refused as refused:
            return "refused", refused.code
        return "sent", None


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    def __init__(self, mailer: _Mailer) -> None:
        self._mailer = mailer

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        await self._mailer.on_revoked()

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._mailer.on_assigned(assigned)


def _named(mail: Mail[TopicPartition]) -> str:
    """For the log: whose it is, and no address."""
    return f"mail {mail.mail_id} ({mail.notice.kind}) to {mail.user_id} of {mail.notice.event.org_id}"
