"""A person who signed in comes in; a cookie that names them goes out, and who asks with it, if they truly ask.

The session is in the cookie, signed (HS256), so that any gate knows it and none keeps it: who, since when, until when.
A role is never in it. It is renewed while somebody is there, ends half an hour after the last renewal, and for good
twelve hours after signing in. Source: docs/decisions/0015-the-page.md
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from fastapi import Request, Response

from pipeline.gate.local_secrets import local_secret
from pipeline.gate.problems import Problem
from schemas.commands import Actor

ISSUER = "urn:usage-credits:session"
IDLE_SECONDS = 1_800
LONGEST_SECONDS = 43_200
CSRF_HEADER = "x-csrf-token"
_READS = {"GET", "HEAD", "OPTIONS"}


@dataclass(frozen=True, slots=True)
class Session:
    """Who signed in; `id` stays the same through renewals, `ends_at` grows with them."""

    id: str
    user_id: str
    began_at: int
    ends_at: int


class Sessions:
    """Makes and reads session cookies.

    Args:
        secret: shared by all gates that serve the page.
        origins: where the page may be called from, such as `https://usage.example`; the first is the public one.
    """

    def __init__(self, secret: str, origins: tuple[str, ...]) -> None:
        self.origins = origins
        self.is_secure = origins[0].startswith("https://")
        self.cookie = ("__Host-" if self.is_secure else "") + "usage-credits-session"
        self._secret = secret
        self._ended: dict[str, int] = {}

    def begin(self, response: Response, user_id: str, now: float) -> None:
        """Set a new session on an answer; never one that the browser brought."""
        began_at = int(now)
        self._set(response, Session(secrets.token_urlsafe(16), user_id, began_at, began_at + IDLE_SECONDS))

    def renew(self, response: Response, session: Session, now: float) -> None:
        """Set another cookie of the same session, good for as long again, at most until it ends for good."""
        ends_at = min(int(now) + IDLE_SECONDS, session.began_at + LONGEST_SECONDS)
        self._set(response, Session(session.id, session.user_id, session.began_at, ends_at))

    def end(self, response: Response, session: Session, now: float) -> None:
        """Take the cookie away, and its session, wherever a copy of it may lie."""
        for ended in [known for known, until in self._ended.items() if until < now]:
            del self._ended[ended]
        self._ended[session.id] = session.began_at + LONGEST_SECONDS
        self.drop(response, self.cookie)

    def read(self, request: Request, now: float) -> Session | None:
        """The session of a request's cookie, if it is good."""
        claims = self.opened(request.cookies.get(self.cookie, ""), "session", now)
        if claims is None or claims["sid"] in self._ended:
            return None
        return Session(claims["sid"], claims["sub"], claims["auth_time"], claims["exp"])

    def csrf_token(self, session: Session) -> str:
        """What the page must send with whatever it changes; no other page can know it."""
        return hmac.new(self._secret.encode(), f"csrf {session.id}".encode(), hashlib.sha256).hexdigest()

    def actor(self, request: Request, now: float) -> Actor | None:
        """Who asks by cookie; None where there is no good one.

        Raises:
            Problem: 403, if it was not our page that asked.
        """
        session = self.read(request, now)
        if session is None:
            return None
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise Problem(403, "not_our_page", "a session is for our own page alone")
        if request.method not in _READS:
            self.needs_our_page(request)
            given = request.headers.get(CSRF_HEADER, "")
            if not hmac.compare_digest(given.encode(), self.csrf_token(session).encode()):
                raise Problem(403, "csrf", f"with a session, changes need the header {CSRF_HEADER}")
        return Actor(kind="user", id=session.user_id)

    def needs_our_page(self, request: Request) -> None:
        """Whatever a browser sends to change something says where it comes from.

        Raises:
            Problem: 403
        """
        if request.headers.get("origin") not in self.origins:
            raise Problem(403, "not_our_page", "this does not come from our own page")

    def sealed(self, purpose: str, claims: dict[str, Any], until: float) -> str:
        """Something for a cookie of ours, which nobody can make or change."""
        return jwt.encode(claims | {"iss": ISSUER, "aud": purpose, "exp": int(until)}, self._secret, "HS256")

    def opened(self, sealed: str, purpose: str, now: float) -> dict[str, Any] | None:
        """What was sealed for this purpose; None if it is not ours, or too old."""
        try:
            claims: dict[str, Any] = jwt.decode(
                sealed,
                self._secret,
                algorithms=["HS256"],
                audience=purpose,
                issuer=ISSUER,
                options={"require": ["exp"], "verify_exp": False},
            )
        except jwt.PyJWTError:
            return None
        return claims if claims["exp"] > now else None

    def keep(self, response: Response, name: str, value: str, seconds: int, same_site: Any = "strict") -> None:
        """Set a cookie that scripts cannot read."""
        response.set_cookie(
            name, value, max_age=seconds, path="/", secure=self.is_secure, httponly=True, samesite=same_site
        )

    def drop(self, response: Response, name: str) -> None:
        """Take a cookie away."""
        response.delete_cookie(name, path="/", secure=self.is_secure, httponly=True)

    def _set(self, response: Response, session: Session) -> None:
        claims = {"sid": session.id, "sub": session.user_id, "auth_time": session.began_at}
        sealed = self.sealed("session", claims | {"jti": secrets.token_urlsafe(8)}, session.ends_at)
        self.keep(response, self.cookie, sealed, LONGEST_SECONDS)


def session_secret(data_dir: Path) -> str:
    """The secret of sessions, for who runs one gate."""
    return local_secret(data_dir / "gate" / "session-secret")


def origins(public_url: str | None, host: str, port: int) -> tuple[str, ...]:
    """The origins of our page: the public one, or however this machine may be called."""
    if public_url is not None:
        return (public_url.rstrip("/"),)
    # "All addresses" is no name: a browser that is sent back there does not bring the cookies of 127.0.0.1 along.
    own = () if host in ("", "0.0.0.0", "::") else (f"[{host}]" if ":" in host else host,)
    return tuple(f"http://{name}:{port}" for name in dict.fromkeys((*own, "127.0.0.1", "localhost", "[::1]")))
