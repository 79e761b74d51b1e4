"""The URL of an OIDC issuer comes in; what its tokens claim goes out, once checked with its keys.

Keys come by discovery, and are read again when they rotate.
"""

import asyncio
import time
from typing import Any

import httpx
import jwt

_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
_SKEW_SECONDS = 30
_FRESH_SECONDS = 3_600.0
_AGAIN_SECONDS = 10.0
"""A key id that nobody knows has the keys read again, but not more often than this."""


class IssuerAway(Exception):
    """The issuer does not answer, and no keys of it are known."""


class Issuer:
    """One issuer and the keys it signs with."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._keys: dict[str, Any] = {}
        self._endpoints: dict[str, Any] = {}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def claims(self, token: str, audience: str) -> dict[str, Any]:
        """What a good token says that is meant for this audience.

        Raises:
            jwt.PyJWTError: it is not good.
            IssuerAway
        """
        try:
            return await self._claims(token, audience)
        except jwt.InvalidSignatureError:
            if not await self.read_again():
                raise
            return await self._claims(token, audience)

    async def _claims(self, token: str, audience: str) -> dict[str, Any]:
        head = jwt.get_unverified_header(token)
        if head.get("alg") not in _ALGORITHMS:
            raise jwt.InvalidAlgorithmError("no algorithm that is taken here")
        key = await self.key(head.get("kid"))
        if key is None:
            raise jwt.InvalidTokenError("signed with a key that the issuer does not have")
        try:
            return verified(token, key, head["alg"], audience, self.url)
        except TypeError:  # PyJWT says so of an RSA key and a token that claims ES256
            raise jwt.InvalidKeyError("signed with another kind of key than it says") from None

    async def key(self, key_id: str | None) -> Any | None:
        """The public key of that id, or the only one where a token names none; None where there is no such key.

        Raises:
            IssuerAway
        """
        age_seconds = time.monotonic() - self._read_at
        if age_seconds > _FRESH_SECONDS or (self._find(key_id) is None and age_seconds > _AGAIN_SECONDS):
            await self._read(self._read_at)
        return self._find(key_id)

    async def endpoint(self, name: str) -> str:
        """The URL of one of its endpoints, as discovery names it.

        Raises:
            IssuerAway: or it names none.
        """
        if time.monotonic() - self._read_at > _FRESH_SECONDS:
            await self._read(self._read_at)
        found = self._endpoints.get(name)
        if not isinstance(found, str):
            raise IssuerAway(f"{self.url} names no {name}")
        return found

    async def read_again(self) -> bool:
        """Read the keys anew, unless that was just done: some issuers keep a key's id when they change it.

        Raises:
            IssuerAway
        """
        seen_at = self._read_at
        if time.monotonic() - seen_at > _AGAIN_SECONDS:
            await self._read(seen_at)
        return self._read_at != seen_at

    def _find(self, key_id: str | None) -> Any | None:
        if key_id is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(key_id)

    async def _read(self, seen_at: float) -> None:
        async with self._reading:
            if self._read_at != seen_at:  # somebody else did meanwhile, or tried to
                if not self._keys:
                    raise IssuerAway(f"no keys of {self.url}")
                return
            try:
                async with httpx.AsyncClient(timeout=5, follow_redirects=False) as client:
                    found = await client.get(self.url.rstrip("/") + "/.well-known/openid-configuration")
                    configuration = found.raise_for_status().json()
                    if configuration["issuer"] != self.url:
                        raise IssuerAway(f"{self.url} says that it is {configuration['issuer']!r}; see GATE_ISSUER")
                    keys = (await client.get(configuration["jwks_uri"])).raise_for_status().json()["keys"]
            except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
                # Old keys serve on while the issuer is away; it is asked again after a pause. Without any, it is
                # asked again by whoever comes next, but not by each of those who wait for this attempt.
                self._read_at = time.monotonic() - _FRESH_SECONDS
                if self._keys:
                    self._read_at += _AGAIN_SECONDS
                    return
                raise IssuerAway(f"no keys of {self.url}: {error or type(error).__name__}") from error
            self._endpoints = configuration
            self._keys = {key.key_id or "": key.key for key in map(_usable, keys) if key is not None}
            self._read_at = time.monotonic()


def verified(token: str, key: Any, algorithm: str, audience: str, issuer: str) -> dict[str, Any]:
    """What a token says, whose signature, end, issuer and audience are right.

    Raises:
        jwt.PyJWTError
    """
    claims: dict[str, Any] = jwt.decode(
        token,
        key,
        algorithms=[algorithm],
        audience=audience,
        issuer=issuer,
        leeway=_SKEW_SECONDS,
        options={"require": ["exp", "iss", "aud", "sub"]},
    )
    return claims


def _usable(wire: Any) -> jwt.PyJWK | None:
    if not isinstance(wire, dict) or wire.get("use", "sig") != "sig" or wire.get("kty") == "oct":
        return None
    try:
        return jwt.PyJWK(wire)
    except jwt.PyJWTError:
        return None
