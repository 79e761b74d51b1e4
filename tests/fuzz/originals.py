"""What is mutated: a number comes in; a good record of that number, usage or a command, goes out, always the same one.

Usage is that of the example logs, of the people the importer gives it to; commands are one of each kind, as their
senders would write them. Now and then a record repeats or corrects an earlier one.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from pipeline.engine.contract import Input
from pipeline.importers.claude_code import CLAUDE_CODE
from pipeline.importers.people import PEOPLE
from schemas.instants import MICROS_PER_DAY, MICROS_PER_SECOND, format_instant
from tests.support import examples
from tests.support.auditor.basics import request_id
from tests.support.bad_input import ITEMS, NOT_JSON
from tests.support.builders import BILLING, Wire, add_member, as_json, cloud_event, command, register, set_credits, user
from tests.support.imports import imported

LOGS = Path(__file__).parents[2] / "examples" / "claude_code"
BAD = [bad.raw for bad in (*NOT_JSON, *ITEMS)]

OWNERS = {"northwind": "nadia", "cinder": "chloe", "meridian": "mara", "acme": "owner", "fleeting": "owner"}
PLANS = {"cinder": "team", "fleeting": "team"}
MEMBERS = {
    **{org_id: [one.user_id for one in PEOPLE if one.org_id == org_id] for org_id in OWNERS},
    "acme": ["owner", "ann", "bob"],
    "fleeting": ["owner", "ann"],
}
ENDING = ("close_organization", "suspend_organization", "hand_over_ownership", "set_role", "remove_member")
"""After these little else is seen of an organisation, so they are for one of them."""

AMOUNTS = ("0", "0.01", "5", "20.00", "1000", "999999999.99")


@dataclass(frozen=True, slots=True)
class Original:
    """A record as it should be, but for what `bad_input` lists; `wire` is None where its bytes are all there is."""

    input: Input
    org_id: str
    raw: bytes
    wire: Any = None


def accounts() -> list[Wire]:
    """The commands that make organisations and members known and switch their credits on."""
    found: list[Wire] = []
    for org_id, owner in OWNERS.items():
        by_owner = {"org_id": org_id, "actor": user(owner)}
        found.append(register(org_id, owner=owner, plan=PLANS.get(org_id, "enterprise")))
        found.append(set_credits(org_id=org_id) | by_owner)
        found += [add_member(name, org_id=org_id) | by_owner for name in MEMBERS[org_id] if name != owner]
        found.append(_of_billing("confirm_payment", org_id, "first", payment_id="p-first", amount_usd="100.00"))
    return found


def original(seed: int, number: int, arrived_at_micros: int) -> Original:
    """The record of that number; what it says of time goes by when it arrives."""
    chance = Random(f"{seed} original {number}")
    kind = chance.random()
    if kind < 0.04:
        return Original("usage", "acme", chance.choice(BAD))
    if kind < 0.26:
        wire = _command(chance, seed, number, arrived_at_micros)
        return Original("commands", wire["org_id"], as_json(wire), wire)
    earlier = number - 1 - int(chance.expovariate(0.05))
    if kind < 0.38 and earlier >= 0:
        usage = _usage(seed, earlier, arrived_at_micros)
        wire = usage if kind < 0.32 else _correction(chance, number, usage)
    elif kind < 0.46:
        several = range(number * 1_000, number * 1_000 + chance.randint(1, 6))
        found = [_usage(seed, 10**12 + one, arrived_at_micros) for one in several]
        return Original("usage", found[0]["org_id"], as_json(found), found)
    else:
        wire = _usage(seed, number, arrived_at_micros)
    org_id = wire["org_id"]
    if chance.random() < 0.25:
        wire = cloud_event(wire | {"source": wire.get("source") or "fuzz"})
    return Original("usage", org_id, as_json(wire), wire)


def _usage(seed: int, number: int, arrived_at_micros: int) -> Wire:
    chance = Random(f"{seed} usage {number}")
    wire = chance.choice(_logged())
    if chance.random() < 0.3:
        wire = wire | {"org_id": "acme", "user_id": chance.choice(MEMBERS["acme"]), "web_search_requests": 3}
    ago = chance.choice((0, 1, 60, 86_400, 20 * 86_400)) * MICROS_PER_SECOND
    # A whole number of days of the arrival's own, so that one repeated within the day is the same.
    at = arrived_at_micros // MICROS_PER_DAY * MICROS_PER_DAY - ago + chance.choice((0, 1, 500_000))
    return wire | {"event_id": f"{wire['event_id']}/{number}", "occurred_at": format_instant(at)}


@cache
def _logged() -> list[Wire]:
    """The events of the example logs."""
    return [event.model_dump(mode="json", exclude_defaults=True) for event in imported(CLAUDE_CODE, LOGS)]


def _correction(chance: Random, number: int, usage: Wire) -> Wire:
    said = {name: value for name, value in usage.items() if name not in ("org_id", "event_id", "source")}
    changed = {name: chance.randint(0, value) for name, value in said.items() if name.endswith("_tokens")}
    corrects = {"event_id": usage["event_id"], "original": said}
    return usage | changed | {"event_id": f"correction-{number}", "corrects": corrects}


def _command(chance: Random, seed: int, number: int, arrived_at_micros: int) -> Wire:
    name = chance.choice(list(examples.COMMANDS))
    wire = dict(examples.COMMANDS[name])
    org_id = "fleeting" if name in ENDING else chance.choice(list(OWNERS))
    if name == "register_organization":
        org_id = f"new-{chance.randint(0, 20)}"
    wire |= {"org_id": org_id, "command_id": f"c-{number}"}
    if wire["actor"] != BILLING:
        wire["actor"] = user(OWNERS.get(org_id, "owner"))
    if "user_id" in wire:
        wire["user_id"] = chance.choice(MEMBERS.get(org_id, ["owner"]))
    for field in [field for field, value in wire.items() if field.endswith("_usd") and value is not None]:
        wire[field] = chance.choice(AMOUNTS)
    if name == "add_member":
        wire["user_id"] = f"new-{number % 50}"
    if "payment_id" in wire:
        wire["payment_id"] = f"p-{number - chance.choice((0, 0, 0, 50))}"
    if name == "refund_purchase":
        wire["purchase_payment_id"] = "p-first"
    if name == "grant_credits":
        days = chance.choice((-1, 0, 1, 20))
        wire["expires_at"] = chance.choice((None, format_instant(arrived_at_micros + days * MICROS_PER_DAY)))
    if name == "request_credits":
        wire |= {"command_id": f"request-{number % 100}", "actor": user(chance.choice(MEMBERS.get(org_id, ["owner"])))}
    if "request_id" in wire:
        wire["request_id"] = request_id(org_id, f"request-{chance.randint(0, 99)}")
    return wire


def _of_billing(name: str, org_id: str, command_id: str, **fields: Any) -> Wire:
    return command(name, BILLING, org_id=org_id, command_id=command_id, **fields)
