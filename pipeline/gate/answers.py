"""The ledger's answers, out of account-events, come to those who gave the commands (R1).

A gate reads account-events from their end before it sends its first command, so no answer to it can be missed.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from client.following import TopicFollower
from schemas.events import CommandApplied, CommandRefused, CommandRepeated

_ANSWERS = {CommandApplied.TYPE, CommandRefused.TYPE, CommandRepeated.TYPE}


class LedgerAnswer(NamedTuple):
    """What the ledger said of a command, and where it said so."""

    type: str
    data: dict[str, Any]
    partition: int


class AnswerDesk(TopicFollower):
    """Where those who gave a command wait for the ledger's answer; once it is whole, none is missed."""

    def __init__(self, kafka: Mapping[str, Any], topic: str) -> None:
        """`kafka` is what every aiokafka client takes to reach the brokers."""
        super().__init__(kafka, topic, only_new=True)
        self._waiting: dict[tuple[str, str], list[asyncio.Future[LedgerAnswer]]] = {}

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

    def take(self, record: Any) -> None:
        """Hand an answer to those who wait for it."""
        if not self._waiting:
            return
        event = msgspec.json.decode(record.value)
        data = event["data"]
        waiting = self._waiting.get((data["org_id"], data.get("command_id", "")))
        if waiting is None or event["type"] not in _ANSWERS:
            return
        for answer in list(waiting):
            if not answer.done():
                answer.set_result(LedgerAnswer(event["type"], data, record.partition))
