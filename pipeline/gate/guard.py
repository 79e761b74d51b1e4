"""Every request comes in first here; it goes on with an id, within bounds of size and time, and is counted.

Plain ASGI: nothing of a body is kept here, and what answers admission thousands of times a second stays cheap.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from functools import lru_cache
from typing import Any
from uuid import uuid4

import msgspec
from prometheus_client import Counter, Gauge, Histogram

from pipeline.gate.problems import MEDIA_TYPE, Problem, body_of, bug
from pipeline.gate.quick_admission import QuickAdmission
from pipeline.logs import REQUEST_ID
from schemas.base import is_identifier

logger = logging.getLogger("pipeline.gate")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BYTES = 100_000
MOST_ADMISSION_BYTES = 400_000
"""A thousand questions with ids as long as ids may be."""
_MOST_BYTES = {"/v1/events": 5_000_000, "/v1/admission": MOST_ADMISSION_BYTES}
BODY_SECONDS = 15.0

REQUESTS = Counter("gate_requests", "Requests answered", ["method", "route", "status"])
SECONDS = Histogram(
    "gate_request_seconds",
    "From the first byte of a request to the last of its answer",
    ["route"],
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
RUNNING = Gauge("gate_requests_running", "Requests being answered now")


class Guard:
    """The outermost layer."""

    def __init__(self, app: App, quick: QuickAdmission, *, body_seconds: float = BODY_SECONDS) -> None:
        self._app = app
        self._quick = quick
        self._body_seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = scope["request_id"] = given if is_identifier(given) else uuid4().hex
        REQUEST_ID.set(request_id)
        most = _MOST_BYTES.get(scope["path"], MOST_BYTES)
        started, status = time.perf_counter(), 500
        begun = False

        async def send_on(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                begun, status = True, message["status"]
                added = [(b"x-request-id", request_id.encode()), (b"x-content-type-options", b"nosniff")]
                if all(name != b"cache-control" for name, _ in message["headers"]):
                    added.append((b"cache-control", b"no-store"))
                message["headers"] = [*message["headers"], *added]
            await send(message)

        with RUNNING.track_inprogress():
            try:
                if _says_more_than(headers.get(b"content-length"), most):
                    raise too_large(most)
                quick = self._quick.answer(scope)
                if quick is not None:
                    await _send_json(send_on, 200, b"application/json", quick)
                    return
                await self._app(scope, _bounded(receive, most, self._body_seconds), send_on)
            except Exception as error:
                if not isinstance(error, Problem):
                    logger.exception("a request failed: %s %s", scope["method"], scope["path"])
                if begun:
                    raise
                await _answer(send_on, error, request_id)
            finally:
                route = getattr(scope.get("route"), "path", "none")
                requests, seconds = _counted(scope["method"], route, status)
                requests.inc()
                seconds.observe(time.perf_counter() - started)


@lru_cache(maxsize=4_096)
def _counted(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    """Looked up once: labels are dear."""
    return REQUESTS.labels(method, route, str(status)), SECONDS.labels(route)


def too_large(most: int) -> Problem:
    """More bytes than this path takes."""
    return Problem(413, "too_large", f"the body has more than {most:,} bytes")


def _says_more_than(length: bytes | None, most: int) -> bool:
    return length is not None and length.isdigit() and int(length) > most


def _bounded(receive: Receive, most: int, seconds: float) -> Receive:
    taken = 0
    until = asyncio.get_running_loop().time() + seconds
    is_whole = False

    async def receive_bounded() -> Message:
        nonlocal taken, is_whole
        if is_whole:
            return await receive()  # only the news that the client has gone
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError:
            raise Problem(408, "too_slow", f"the body did not come within {seconds:.0f} s") from None
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if taken > most:
                raise too_large(most)
        return message

    return receive_bounded


async def _answer(send: Send, error: Exception, request_id: str) -> None:
    problem = error if isinstance(error, Problem) else bug()
    body = msgspec.json.encode(body_of(problem.status, problem.code, problem.detail, request_id, **problem.more))
    more = [(name.encode(), value.encode()) for name, value in (problem.headers or {}).items()]
    await _send_json(send, problem.status, MEDIA_TYPE.encode(), body, more)


async def _send_json(
    send: Send, status: int, media_type: bytes, body: bytes, more: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    headers = [(b"content-length", str(len(body)).encode()), (b"content-type", media_type), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
