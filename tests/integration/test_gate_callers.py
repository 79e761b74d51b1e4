"""Who is calling: tokens of a real OIDC provider in a process of its own, and every kind of token that is no good."""

import asyncio
import re
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from pipeline.embedded.ports import free_port
from pipeline.gate import issuer
from pipeline.gate.callers import Callers, dev_token
from pipeline.gate.problems import Problem
from tests.support.oidc_provider import provider

AUDIENCE = "usage-credits"


def signed_in(url: str, sub: str) -> str:
    """The token that the provider gives somebody who signs in."""
    back = "http://127.0.0.1/back"
    asked = {"client_id": AUDIENCE, "redirect_uri": back, "response_type": "code", "scope": "openid"}
    with httpx.Client(base_url=url) as browser:
        answer = browser.post("/oauth2/authorize", params=asked, data={"sub": sub})
        code = parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]
        given = {"grant_type": "authorization_code", "code": code, "redirect_uri": back}
        token: str = browser.post("/oauth2/token", data=given, auth=(AUDIENCE, "secret")).json()["id_token"]
    return token


async def why_not(callers: Callers, token: str, now: float | None = None) -> tuple[int, str]:
    with pytest.raises(Problem) as refused:
        await callers.caller(token, now)
    return refused.value.status, refused.value.detail


async def test_people_of_a_real_provider_are_known_also_when_its_keys_rotate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuer, "_AGAIN_SECONDS", 0.0)
    port = free_port()
    with provider(port) as url:
        callers = Callers(url, AUDIENCE)
        token = signed_in(url, "ada")
        actor = await callers.caller(token)
        assert (actor.kind, actor.id, actor.scopes) == ("user", "ada", ())
        head, claims, signature = token.split(".")
        flipped = signature[:-8] + signature[-8:].swapcase()
        assert (await why_not(callers, f"{head}.{claims}.{flipped}"))[0] == 401
        assert "audience" in (await why_not(Callers(url, "another"), token))[1].lower()
    with provider(port) as url:  # another process, other keys
        assert (await callers.caller(signed_in(url, "bruno"))).id == "bruno"
        assert (await why_not(Callers(url, AUDIENCE), token))[0] == 401
    assert (await why_not(Callers(url, AUDIENCE), token))[0] == 503  # nobody there to ask for keys


KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CURVE_KEY = ec.generate_private_key(ec.SECP256R1())
URL = "https://issuer.example"


class KnownKeys(issuer.Issuer):
    """An issuer whose keys are known already."""

    async def key(self, key_id: str | None) -> Any | None:
        return KEY.public_key() if key_id in ("k", None) else None

    async def read_again(self) -> bool:
        return False


@pytest.fixture
def callers() -> Callers:
    made = Callers(URL, AUDIENCE)
    made.issuer = KnownKeys(URL)
    return made


def token(key: Any = KEY, algorithm: str = "RS256", kid: str = "k", **change: Any) -> str:
    now = int(time.time())
    claims = {"iss": URL, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 600} | change
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, key, algorithm, headers={"kid": kid})


async def test_scopes_make_a_service_and_only_known_ones_count(callers: Callers) -> None:
    service = await callers.caller(token(sub="chat", scope="openid usage:write admin"))
    assert (service.kind, service.scopes) == ("service", ("usage:write",))
    assert (await callers.caller(token(sub="olga", scope="operator"))).kind == "operator"
    assert (await callers.caller(token(scope="openid profile"))).kind == "user"


@pytest.mark.parametrize(
    "bad",
    [
        lambda: token(exp=int(time.time()) - 31),
        lambda: token(nbf=int(time.time()) + 60),
        lambda: token(aud="another"),
        lambda: token(aud=None),
        lambda: token(iss="https://another.example"),
        lambda: token(sub=None),
        lambda: token(sub="with space"),
        lambda: token(exp=None),
        lambda: token(OTHER_KEY),
        lambda: token(kid="unknown"),
        lambda: token("", "none"),
        lambda: token(CURVE_KEY, "ES256"),
        lambda: token("x" * 40, "HS256"),
        lambda: dev_token("x" * 40, "ada", (), AUDIENCE, 60),
        lambda: "not.a.token",
        lambda: "",
        lambda: "x" * 9_000,
    ],
    ids=lambda bad: re.sub(r"\W+", "-", str(bad.__code__.co_firstlineno)),
)
async def test_what_is_no_good_token_is_refused(callers: Callers, bad: Any) -> None:
    assert (await why_not(callers, bad()))[0] == 401


async def test_a_clock_may_be_off_by_half_a_minute(callers: Callers) -> None:
    assert (await callers.caller(token(exp=int(time.time()) - 20))).id == "ada"


async def test_a_token_that_was_good_is_refused_once_it_has_ended(callers: Callers) -> None:
    once = token(exp=int(time.time()) - 20)
    await callers.caller(once)
    callers._audience = "asked anew"
    assert (await why_not(callers, once))[0] == 401


async def test_while_the_issuer_hangs_everybody_who_waits_hears_of_one_attempt() -> None:
    attempts = 0

    async def hang_up_after_a_while(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        await asyncio.sleep(0.2)
        writer.close()

    async with await asyncio.start_server(hang_up_after_a_while, "127.0.0.1", 0) as server:
        callers = Callers(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", AUDIENCE)
        refused = await asyncio.gather(*(why_not(callers, token()) for _ in range(20)))
        assert {status for status, _ in refused} == {503}
        assert attempts == 1
        assert (await why_not(callers, token()))[0] == 503
        assert attempts == 2  # who comes later has it tried again
