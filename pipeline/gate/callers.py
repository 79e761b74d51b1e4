"""A bearer token comes in; who is calling goes out, or why nobody can tell.

A token of our issuer that holds one of our scopes is a service's (with `operator`, an operator's); any other is a
person's, whose `sub` is their user id and whose role only our own state knows (R1). A token that was good is remembered
until it ends, by its hash.
"""

import hashlib
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any, Literal, get_args

import jwt
from pydantic import ValidationError

from pipeline.gate.issuer import Issuer, IssuerAway, verified
from pipeline.gate.local_secrets import local_secret
from pipeline.gate.problems import Problem
from schemas.commands import Actor, Scope

SCOPES: tuple[Scope, ...] = get_args(Scope)
DEV_ISSUER = "urn:usage-credits:dev"
_REMEMBERED = 50_000
_LONGEST_TOKEN = 8_192


class Callers:
    """Knows callers by their tokens."""

    def __init__(self, issuer: str | None, audience: str, dev_secret: str | None = None) -> None:
        self.issuer = Issuer(issuer) if issuer else None
        self._audience = audience
        self._dev_secret = dev_secret
        self._known: OrderedDict[bytes, tuple[Actor, float]] = OrderedDict()

    async def caller(self, token: str, now_seconds: float | None = None) -> Actor:
        """Who holds the token.

        Raises:
            Problem: 401 if it is not good; 503 while the issuer's keys cannot be had.
        """
        now_seconds = time.time() if now_seconds is None else now_seconds
        known = self.known(token, now_seconds)
        if known is not None:
            return known
        if len(token) > _LONGEST_TOKEN:
            raise unknown_caller("the token is too long")
        try:
            claims = await self._claims(token)
            actor = _actor(claims)
        except (jwt.PyJWTError, ValidationError, UnicodeError) as error:
            raise unknown_caller(_why(error)) from None
        except IssuerAway as away:
            raise Problem(503, "issuer_away", str(away)) from None
        self._known[_digest(token)] = (actor, float(claims["exp"]))
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return actor

    def known(self, token: str, now_seconds: float) -> Actor | None:
        """Who holds a token that was found good before, and has not ended; None: that is to be found out."""
        known = self._known.get(_digest(token))
        return known[0] if known is not None and known[1] > now_seconds else None

    async def _claims(self, token: str) -> dict[str, Any]:
        if self._dev_secret is not None and jwt.get_unverified_header(token).get("alg") == "HS256":
            return verified(token, self._dev_secret, "HS256", self._audience, DEV_ISSUER)
        if self.issuer is None:
            raise jwt.InvalidTokenError("no issuer is set (GATE_ISSUER)")
        return await self.issuer.claims(token, self._audience)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _actor(claims: dict[str, Any]) -> Actor:
    granted = claims.get("scope", claims.get("scp", ""))
    words = granted.split() if isinstance(granted, str) else granted if isinstance(granted, list) else []
    scopes = tuple(scope for scope in SCOPES if scope in words)
    kind: Literal["user", "service", "operator"] = (
        "operator" if "operator" in scopes else "service" if scopes else "user"
    )
    return Actor(kind=kind, id=claims["sub"], scopes=scopes)


def _why(error: Exception) -> str:
    if isinstance(error, jwt.PyJWTError):
        return f"the token is not good: {error}"
    return "the token's sub is no id: 1-128 printable ASCII characters without spaces"


def unknown_caller(detail: str) -> Problem:
    """Nobody knows who is calling."""
    return Problem(401, "unknown_caller", detail, headers={"www-authenticate": "Bearer"})


def dev_secret(data_dir: Path) -> str:
    """The secret that development tokens are signed with."""
    return local_secret(data_dir / "gate" / "dev-secret")


def dev_token(secret: str, sub: str, scopes: tuple[str, ...], audience: str, seconds: int) -> str:
    """A token for development."""
    now = int(time.time())
    claims = {"iss": DEV_ISSUER, "aud": audience, "sub": sub, "iat": now, "exp": now + seconds}
    return jwt.encode(claims | ({"scope": " ".join(scopes)} if scopes else {}), secret, "HS256")
