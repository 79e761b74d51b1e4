"""Wire objects for tests: what a test says of an event or a command comes in, the whole object goes out.

A web search costs one cent, so `web_search_requests=250` is $2.50 in plain sight.
"""

import json
from datetime import UTC, datetime
from typing import Any

from schemas.instants import parse_instant

CENT_PICOUSD = 10**10
DOLLAR_PICOUSD = 10**12

NOON = "2026-05-10T12:00:00Z"
"""When a test does not care: a day in mid-month on which every model below has a price."""

Wire = dict[str, Any]


def event(event_id: str = "e-1", **fields: Any) -> Wire:
    """A bare usage event of `ann` at `acme`, paid with credits, as a product sends it; None is sent as null."""
    return {
        "org_id": "acme",
        "user_id": "ann",
        "event_id": event_id,
        "product": "chat",
        "model": "claude-sonnet-4-6",
        "occurred_at": NOON,
        "funding": "credits",
        **fields,
    }


def searches(event_id: str, cents: int, **fields: Any) -> Wire:
    """An event that costs so many cents."""
    return event(event_id, web_search_requests=cents, **fields)


def correction(event_id: str, cents: int, wrong: Wire) -> Wire:
    """The event with other counts, in place of the one that was sent."""
    original = {name: value for name, value in wrong.items() if name not in ("org_id", "event_id", "corrects")}
    right = wrong | {"event_id": event_id, "web_search_requests": cents}
    return right | {"corrects": {"event_id": wrong["event_id"], "original": original}}


def cloud_event(bare: Wire, **attributes: Any) -> Wire:
    """The same event as a CloudEvent; its source must not be empty."""
    moved = {"event_id": "id", "source": "source", "occurred_at": "time"}
    return {
        "specversion": "1.0",
        "type": "usage-credits.usage.v1",
        **{moved[name]: value for name, value in bare.items() if name in moved},
        "data": {name: value for name, value in bare.items() if name not in moved},
        **attributes,
    }


def as_json(wire: object) -> bytes:
    """Its JSON, as Python writes it."""
    return json.dumps(wire).encode()


def micros(instant: str) -> int:
    """UTC microseconds of RFC 3339 text."""
    return parse_instant(instant)


def later(instant: str, **by: int) -> str:
    """The instant so many micros, seconds, minutes, hours or days later (or, negative, earlier), with all decimals."""
    units = {"micros": 1, "seconds": 10**6, "minutes": 60 * 10**6, "hours": 3600 * 10**6, "days": 86400 * 10**6}
    at = parse_instant(instant) + sum(units[unit] * count for unit, count in by.items())
    seconds, fraction = divmod(at, 10**6)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{fraction:06d}Z"


BILLING: Wire = {"kind": "service", "id": "billing", "scopes": ["billing:write"]}
OPERATOR: Wire = {"kind": "operator", "id": "olga", "scopes": ["operator"]}


def user(user_id: str) -> Wire:
    """A person as actor; what they may do the ledger looks up."""
    return {"kind": "user", "id": user_id, "scopes": []}


def register(org_id: str = "acme", *, owner: str = "owner", command_id: str = "register", **fields: Any) -> Wire:
    return _command(
        "register_organization",
        command_id,
        org_id,
        BILLING,
        {"plan": "enterprise", "primary_owner": owner, **fields},
    )


def set_credits(enabled: bool = True, *, org_id: str = "acme", command_id: str = "credits", **fields: Any) -> Wire:
    return _command("set_credits", command_id, org_id, user("owner"), {"enabled": enabled, **fields})


def add_member(user_id: str = "ann", *, org_id: str = "acme", command_id: str | None = None, **fields: Any) -> Wire:
    return _command("add_member", command_id or f"add-{user_id}", org_id, user("owner"), {"user_id": user_id, **fields})


def set_limit(usd: str | None, *, org_id: str = "acme", command_id: str | None = None, **fields: Any) -> Wire:
    return _command(
        "set_organization_limit", command_id or f"limit-{usd}", org_id, user("owner"), {"limit_usd": usd, **fields}
    )


def command(
    name: str, actor: Wire | None = None, /, *, org_id: str = "acme", command_id: str = "c", **fields: Any
) -> Wire:
    """Any command, by its name; of the primary owner unless another actor is given."""
    return _command(name, command_id, org_id, actor or user("owner"), fields)


def _command(command: str, command_id: str, org_id: str, actor: Wire, fields: Wire) -> Wire:
    return {"command": command, "command_id": command_id, "org_id": org_id, "actor": actor, **fields}
