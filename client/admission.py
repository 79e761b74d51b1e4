"""An organisation and a member come in; whether the member may spend now goes out, whatever is away.

`AskGate` and `AskGateSync` ask over HTTP; `LocalCopy` answers from memory, in microseconds. Where none can tell, the
answer is no, unless the caller chose `fail_open`. Source: docs/rules.md R32-R34.

    async with AskGate("https://credits.example.com", token) as ask:
        if not (await ask.admission("acme", "ann")).allowed: ...
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

import httpx

from client.following import StatusFollower
from schemas.instants import parse_instant
from schemas.status_copy import CannotTell

Token = str | Callable[[], str]
"""A bearer token, or whoever makes a fresh one when asked."""

CANNOT_TELL = "cannot_tell"
_UNTOLD = (httpx.HTTPError, ValueError, TypeError, LookupError)
"""No answer, or none that a gate gives."""


class Admission(NamedTuple):
    """A Decision, as of when; `certain` is false where nobody could tell and the caller's own rule spoke."""

    allowed: bool
    reasons: tuple[str, ...]
    headroom_picousd: int | None
    ends_at_micros: int | None
    as_of_micros: int | None
    certain: bool = True


class _Asking:
    def __init__(self, url: str, token: Token, *, timeout_seconds: float = 1.0, fail_open: bool = False) -> None:
        self._options: dict[str, Any] = {"base_url": url, "timeout": timeout_seconds}
        self._token = token
        self._fail_open = fail_open

    def _request(self, org_id: str, user_id: str) -> dict[str, Any]:
        token = self._token if isinstance(self._token, str) else self._token()
        return {
            "url": "/v1/admission",
            "json": {"queries": [{"org_id": org_id, "user_id": user_id}]},
            "headers": {"authorization": f"Bearer {token}"},
        }

    def _read(self, response: httpx.Response) -> Admission:
        if response.status_code != 200:
            return unknown(self._fail_open)
        return read_admission(response.json()["answers"][0], self._fail_open)


class AskGate(_Asking):
    """Asks the gate, from a coroutine."""

    async def __aenter__(self) -> Self:
        self._client = httpx.AsyncClient(**self._options)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def admission(self, org_id: str, user_id: str) -> Admission:
        """Whether a member may spend now."""
        try:
            return self._read(await self._client.post(**self._request(org_id, user_id)))
        except _UNTOLD:
            return unknown(self._fail_open)


class AskGateSync(_Asking):
    """Asks the gate, from a thread."""

    def __enter__(self) -> Self:
        self._client = httpx.Client(**self._options)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def admission(self, org_id: str, user_id: str) -> Admission:
        """Whether a member may spend now."""
        try:
            return self._read(self._client.post(**self._request(org_id, user_id)))
        except _UNTOLD:
            return unknown(self._fail_open)


class LocalCopy:
    """Answers from a copy of credit-status in this process."""

    def __init__(
        self,
        kafka: Mapping[str, Any],
        topic: str = "credit-status",
        *,
        bound_seconds: float = 60.0,
        fail_open: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`kafka` is what aiokafka takes to reach the brokers; an older copy than `bound_seconds` cannot tell."""
        self.follower = StatusFollower(kafka, topic)
        self._bound_micros = int(bound_seconds * 1_000_000)
        self._fail_open = fail_open
        self._now = now

    async def __aenter__(self) -> Self:
        await self.follower.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.follower.__aexit__()

    def admission(self, org_id: str, user_id: str) -> Admission:
        """Whether a member may spend now; from memory, so it need not be awaited."""
        copy, now_micros = self.follower.copy, int(self._now() * 1_000_000)
        try:
            as_of_micros = copy.fresh_as_of_micros(org_id, now_micros, self._bound_micros)
        except CannotTell:
            return unknown(self._fail_open)
        return Admission(*copy.decide(org_id, user_id, now_micros), as_of_micros)


def unknown(fail_open: bool) -> Admission:
    """What a caller that cannot know goes by."""
    return Admission(fail_open, (CANNOT_TELL,), None, None, None, certain=False)


def read_admission(wire: Mapping[str, Any], fail_open: bool = False) -> Admission:
    """The gate's answer about one member."""
    if wire.get("allowed") is None:
        return unknown(fail_open)
    headroom, ends_at = wire["headroom_picousd"], wire["ends_at"]
    return Admission(
        wire["allowed"],
        tuple(wire["reasons"]),
        None if headroom is None else int(headroom),
        None if ends_at is None else parse_instant(ends_at),
        parse_instant(wire["as_of"]),
    )


__all__ = ["Admission", "AskGate", "AskGateSync", "LocalCopy", "read_admission", "unknown"]
