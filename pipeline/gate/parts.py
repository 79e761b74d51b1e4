"""Settings come in; the parts of one gate, started and stopped together, go out."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Protocol

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials

from client.following import StatusFollower
from pipeline.contacts import ContactFollower
from pipeline.gate.answers import AnswerDesk
from pipeline.gate.callers import Callers, dev_secret, unknown_caller
from pipeline.gate.history import History
from pipeline.gate.problems import Problem
from pipeline.gate.rates import Rates
from pipeline.gate.sessions import Sessions, origins, session_secret
from pipeline.monitoring.loop import LoopWatch
from pipeline.sending import Sender
from pipeline.settings import Settings
from pipeline.topics import ACCOUNT_EVENTS, CREDIT_STATUS
from schemas.commands import Actor
from schemas.status_copy import StatusCopy


class Clock(Protocol):
    """Tells the time."""

    def __call__(self) -> float: ...


@dataclass(slots=True)
class Gate:
    """What the routes stand on.

    Attributes:
        streams: open ones, by user id (live.py).
    """

    settings: Settings
    callers: Callers
    follower: StatusFollower
    contacts: ContactFollower
    desk: AnswerDesk
    sender: Sender
    history: History
    sessions: Sessions
    now: Clock = time.time
    rates: Rates = field(default_factory=Rates)
    streams: Counter[str] = field(default_factory=Counter)
    is_stopping: bool = False

    @property
    def copy(self) -> StatusCopy:
        """What the ledger holds, as far as it was told."""
        return self.follower.copy

    def now_micros(self) -> int:
        """The wall clock."""
        return int(self.now() * 1_000_000)

    def why_not_ready(self) -> str | None:
        """What is still missing, or nothing."""
        if not self.follower.is_running:
            return "credit-status is not read"
        if not self.copy.is_whole:
            return "the copy of credit-status is not whole yet"
        if not self.contacts.is_whole:
            return "the copy of member-contacts is not whole yet"
        if not self.desk.is_whole or not self.desk.is_running:
            return "account-events are not read yet"
        return None


def gate_parts(settings: Settings) -> Gate:
    """The parts, not started yet."""
    secret = dev_secret(settings.data_dir) if settings.gate_dev_tokens else None
    kafka = settings.kafka()
    ours = settings.gate_session_secret
    return Gate(
        settings=settings,
        callers=Callers(settings.gate_issuer, settings.gate_audience, secret),
        follower=StatusFollower(kafka, settings.topic_prefix + CREDIT_STATUS.name),
        contacts=ContactFollower(settings),
        desk=AnswerDesk(kafka, settings.topic_prefix + ACCOUNT_EVENTS.name),
        sender=Sender(kafka, settings.gate_answer_seconds),
        history=History(settings.clickhouse_url, settings.clickhouse_database),
        sessions=Sessions(
            ours.get_secret_value() if ours else session_secret(settings.data_dir),
            origins(settings.gate_public_url, settings.gate_host, settings.gate_port),
        ),
    )


@asynccontextmanager
async def running(gate: Gate) -> AsyncIterator[None]:
    """Run them, until the end of the block."""
    async with gate.follower, gate.contacts, gate.desk:
        watching = asyncio.create_task(LoopWatch().run())
        try:
            yield
        finally:
            watching.cancel()
            await gate.sender.stop()
            await gate.history.close()


async def _gate(request: Request) -> Gate:
    gate: Gate = request.app.state.gate
    return gate


Parts = Annotated[Gate, Depends(_gate)]
_BEARER = HTTPBearer(auto_error=False, bearerFormat="JWT", description="A token of the OIDC issuer")


async def _caller(
    request: Request, gate: Parts, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]
) -> Actor:
    actor: Actor | None
    if given is not None:
        actor = await gate.callers.caller(given.credentials, gate.now())
    else:
        actor = gate.sessions.actor(request, gate.now())
    if actor is None:
        raise unknown_caller("no bearer token, and no session")
    within_rate(gate, actor)
    return actor


Caller = Annotated[Actor, Depends(_caller)]


def within_rate(gate: Gate, actor: Actor) -> None:
    """Count one request of a caller.

    Raises:
        Problem: 429
    """
    settings = gate.settings
    rate = settings.gate_user_requests_per_second if actor.kind == "user" else settings.gate_service_requests_per_second
    wait_seconds = gate.rates.wait_seconds(actor.kind, actor.id, rate, time.monotonic())
    if wait_seconds:
        headers = {"retry-after": str(int(wait_seconds) + 1)}
        raise Problem(429, "too_many_requests", f"at most {rate} requests a second", headers=headers)
