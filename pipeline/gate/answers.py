"""The ledger's answers, out of account-events, come to those who gave the commands (R1).

A gate reads account-events from their end before it sends its first command, so no answer to it can be missed.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import UnknownTopicOrPartitionError

from schemas.events import CommandApplied, CommandRefused, CommandRepeated

logger = logging.getLogger(__name__)

_AGAIN_SECONDS = 1.0
_ANSWERS = {CommandApplied.TYPE, CommandRefused.TYPE, CommandRepeated.TYPE}


class LedgerAnswer(NamedTuple):
    """What the ledger said of a command, and where it said so."""

    type: str
    data: dict[str, Any]
    partition: int


class AnswerDesk:
    """Where those who gave a command wait for the ledger's answer."""

    def __init__(self, kafka: Mapping[str, Any], topic: str) -> None:
        self._kafka = dict(kafka)
        self._topic = topic
        self._waiting: dict[tuple[str, str], list[asyncio.Future[LedgerAnswer]]] = {}
        self._task: asyncio.Task[None] | None = None
        self.is_listening = False

    def ask(self, org_id: str, command_id: str) -> "asyncio.Future[LedgerAnswer]":
        """The answer to come; ask before the command is sent, and cancel it when no longer wanted."""
        answer: asyncio.Future[LedgerAnswer] = asyncio.get_running_loop().create_future()
        key = (org_id, command_id)
        waiting = self._waiting.setdefault(key, [])
        waiting.append(answer)

        def leave(_: object) -> None:
            waiting.remove(answer)
            if not waiting and self._waiting.get(key) is waiting:
                del self._waiting[key]

        answer.add_done_callback(leave)
        return answer

    async def start(self) -> None:
        """Listen, from now on."""
        self._task = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        """Listen no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _listen(self) -> None:
        positions: dict[TopicPartition, int] = {}
        while True:
            consumer = AIOKafkaConsumer(
                self._topic,
                **self._kafka,
                enable_auto_commit=False,
                isolation_level="read_committed",
                fetch_max_wait_ms=100,
            )
            try:
                await consumer.start()
                places = sorted(consumer.assignment())
                if not places:
                    raise UnknownTopicOrPartitionError(f"{self._topic} is not there yet")
                positions = positions or dict(await consumer.end_offsets(places))
                for place, position in positions.items():
                    consumer.seek(place, position)
                self.is_listening = True
                while True:
                    for place, records in (await consumer.getmany(timeout_ms=500)).items():
                        for record in records:
                            self._hear(record)
                        positions[place] = records[-1].offset + 1
            except Exception as error:  # whatever it was: a desk that is deaf answers nobody
                logger.warning("account-events: %s; again in %.0f s", error or type(error).__name__, _AGAIN_SECONDS)
                await asyncio.sleep(_AGAIN_SECONDS)
            finally:
                await consumer.stop()

    def _hear(self, record: Any) -> None:
        if not self._waiting:
            return
        try:
            event = msgspec.json.decode(record.value)
            data = event["data"]
            waiting = self._waiting.get((data["org_id"], data.get("command_id", "")))
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            where = f"account-events[{record.partition}] offset {record.offset}"
            logger.error("%s is passed over: %s", where, error)
            return
        if waiting is None or event["type"] not in _ANSWERS:
            return
        for answer in list(waiting):
            if not answer.done():
                answer.set_result(LedgerAnswer(event["type"], data, record.partition))
