"""Who may ask: a request's credentials in, the user out. Source: docs/decisions/0004-embedded-parts.md."""

import base64
import binascii
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.embedded.clickhouse_http.errors import refusal

USERS_NAME = "users.json"
"""Of the file in the data directory that `read_users` reads."""


@dataclass(frozen=True)
class User:
    """Somebody with a password; `may_write` is False for those who only read tables."""

    name: str
    password: str
    may_write: bool


def read_users(path: Path) -> dict[str, User]:
    """The users of a file: JSON, by name, `{"password": …, "may_write": …}`."""
    entries = json.loads(path.read_text())
    return {name: User(name, entry["password"], entry["may_write"]) for name, entry in entries.items()}


def authenticate(query: Mapping[str, str], headers: Mapping[str, str], users: Mapping[str, User]) -> User:
    """The user of a request: by URL, by ClickHouse's headers, or by basic authentication.

    Raises:
        ClickHouseError: no such user, or another password.
    """
    name, password = _credentials(query, headers)
    user = users.get(name)
    if user is None or not hmac.compare_digest(user.password.encode(), password.encode()):
        text = f"{name}: Authentication failed: password is incorrect, or there is no user with such name"
        raise refusal(516, "AUTHENTICATION_FAILED", text)
    return user


def _credentials(query: Mapping[str, str], headers: Mapping[str, str]) -> tuple[str, str]:
    if "user" in query or "password" in query:
        return query.get("user", "default"), query.get("password", "")
    if "X-ClickHouse-User" in headers or "X-ClickHouse-Key" in headers:
        return headers.get("X-ClickHouse-User", "default"), headers.get("X-ClickHouse-Key", "")
    scheme, _, encoded = headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return "default", ""
    try:
        name, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "default", ""
    return name or "default", password
