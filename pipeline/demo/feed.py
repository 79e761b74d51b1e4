"""What the demo sends: the example logs and a little story come in; records in the order of their arrival go out.

Everything is fixed: the same people, the same times, the same bad events, so the same answer on any day (R44).

The story. Three Enterprise organisations switch credits on. northwind's owner sets a monthly limit of 15 USD; the
organisation reaches it on the evening of 11 February and is paused. A member tries to lift the limit and is refused.
Next morning the owner raises it to 28 USD, usage goes on, and the limit is reached again in the afternoon: paused until
the month ends. (The logs were recorded elsewhere, so nobody held the requests back: usage that still came is charged
and marked.) Products misbehave as products do: they send some events twice, one without a key, some that are wrong.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from pipeline.engine.partitioning import partition_of
from pipeline.importers.importing import outgoing
from pipeline.importers.people import PEOPLE, Person
from pipeline.publisher import Outgoing
from pipeline.topics import ACCOUNT_COMMANDS, USAGE_EVENTS
from schemas.commands import (
    Actor,
    AddMember,
    Command,
    RegisterOrganization,
    SetAutoReload,
    SetCredits,
    SetOrganizationLimit,
)
from schemas.contacts import Contact
from schemas.dead_letters import MAX_RECORD_BYTES, Reason
from schemas.instants import MICROS_PER_DAY, MICROS_PER_MINUTE, MICROS_PER_SECOND, format_instant, parse_instant
from schemas.usage import UsageEvent

BEGINS = parse_instant("2026-02-10T08:00:00Z")
MEMBER_TRIES = parse_instant("2026-02-11T22:40:00Z")
OWNER_RAISES = parse_instant("2026-02-12T09:00:00Z")
MISHAPS = parse_instant("2026-02-12T10:00:00Z")
ENDS = parse_instant("2026-02-13T00:00:00Z")

LIMITS_USD = {"northwind": "15.00", "meridian": "50.00", "cinder": None}
RAISED_USD = "28.00"

SENT_TWICE_EVERY = 50
FORWARDED_FROM = "cinder"
"""Whose event is sent without a key, to the wrong partition: of an organisation without a limit, since a forwarded
event arrives behind everything else, and must not decide what comes after a pause."""

BILLING = Actor(kind="service", id="billing", scopes=("billing:write",))


def registration() -> Iterator[Command]:
    """The commands that make the demo's organisations and members known and switch their credits on."""
    for org_id, limit_usd in LIMITS_USD.items():
        members = [person for person in PEOPLE if person.org_id == org_id]
        first = next(person for person in members if person.role == "primary_owner")
        owner = Actor(kind="user", id=first.user_id)
        common: dict[str, Any] = {"org_id": org_id, "actor": owner}
        yield RegisterOrganization(
            command_id=f"register-{org_id}",
            org_id=org_id,
            actor=BILLING,
            plan="enterprise",
            primary_owner=first.user_id,
            seat_tier=first.seat_tier,
        )
        for person in members:
            if person is not first:
                yield _add(person, common)
        yield SetCredits(command_id=f"credits-on-{org_id}", enabled=True, **common)
        if limit_usd is not None:
            yield _limit(f"limit-{org_id}", limit_usd, common)


def team_registration() -> Iterator[Command]:
    """The commands for a Team organisation beside them, where time goes on: its credits begin with a reload (R5)."""
    common: dict[str, Any] = {"org_id": "lumen", "actor": Actor(kind="user", id="lena")}
    yield RegisterOrganization(
        command_id="register-lumen", org_id="lumen", actor=BILLING, plan="team", primary_owner="lena"
    )
    yield SetCredits(command_id="credits-on-lumen", enabled=True, **common)
    reload = {"enabled": True, "threshold_usd": "5.00", "amount_usd": "20.00", "monthly_maximum_usd": None}
    yield SetAutoReload.model_validate({"command_id": "auto-reload-lumen", **reload, **common})


def story() -> Iterator[Outgoing]:
    """All commands with their times: registration first, a second apart, before the first usage."""
    for second, command in enumerate(registration()):
        yield command_record(command, BEGINS + second * MICROS_PER_SECOND)
    member = {"org_id": "northwind", "actor": Actor(kind="user", id="bruno")}
    yield command_record(_limit("bruno-lifts-limit", "1000.00", member), MEMBER_TRIES)
    owner = {"org_id": "northwind", "actor": Actor(kind="user", id="nadia")}
    yield command_record(_limit("raise-northwind", RAISED_USD, owner), OWNER_RAISES)


def contacts() -> Iterator[tuple[tuple[str, str], Contact]]:
    """(organisation, member) and how to reach them, of everybody who is registered; of a domain that nobody has."""
    for org_id, user_id in [(person.org_id, person.user_id) for person in PEOPLE] + [("lumen", "lena")]:
        said = {"email": f"{user_id}@{org_id}.example", "display_name": user_id.title()}
        yield (org_id, user_id), Contact.model_validate({**said, "changed": dict.fromkeys(said, 1)})


def command_record(command: Command, arrival_micros: int) -> Outgoing:
    """The record of a command."""
    return Outgoing(ACCOUNT_COMMANDS.name, command.org_id.encode(), command.model_dump_json().encode(), arrival_micros)


def feed(events: Sequence[UsageEvent], partitions: int) -> list[Outgoing]:
    """Every record of the demo by arrival, commands before usage at the same time."""
    records = [*story(), *_usage(events, partitions), *_mishaps(events)]
    return sorted(records, key=lambda record: (record.arrival_micros, record.topic != ACCOUNT_COMMANDS.name))


def _usage(events: Sequence[UsageEvent], partitions: int) -> Iterator[Outgoing]:
    keyless = next(event for event in reversed(events) if event.org_id == FORWARDED_FROM)
    first, second = next(pair for pair in pairwise(events) if pair[0].org_id == pair[1].org_id == "meridian")
    for number, event in enumerate(events, start=1):
        record = outgoing(event)
        if event is keyless:
            elsewhere = (partition_of(event.org_id.encode(), partitions) + 1) % partitions
            yield record._replace(key=None, partition=elsewhere)
        elif event is first:
            continue
        elif event is second:
            # One bad event between two good ones, in one record: the good ones count.
            yield record._replace(value=_json([_bare(first), _bare(event) | {"input_tokens": -1}, _bare(event)]))
        else:
            yield record
        if number % SENT_TWICE_EVERY == 0:
            # The retry is the same event in its other wire form: a duplicate all the same (R14).
            yield record._replace(key=event.org_id.encode(), partition=None, value=_json(_bare(event)))


def _mishaps(events: Sequence[UsageEvent]) -> Iterator[Outgoing]:
    """Events that must become dead letters, one for each reason."""
    taken = next(event for event in events if event.org_id == "northwind")
    for second, (reason, value) in enumerate(_bad_values(taken)):
        key = b"nobody" if reason is Reason.UNKNOWN_ORGANIZATION else b"northwind"
        yield Outgoing(USAGE_EVENTS.name, key, value, MISHAPS + second * MICROS_PER_SECOND)


def _bad_values(taken: UsageEvent) -> Iterable[tuple[Reason, bytes]]:
    good = _bare(taken) | {"occurred_at": format_instant(MISHAPS - MICROS_PER_MINUTE)}

    def bad(name: str, **changes: object) -> bytes:
        return _json(good | {"event_id": f"bad-{name}"} | changes)

    return (
        (Reason.MALFORMED, bad("cut-off")[:-20]),
        (Reason.INVALID, bad("fraction", output_tokens=1.5)),
        (Reason.UNKNOWN_FIELD, bad("typing-error", ouput_tokens=7)),
        (Reason.COUNT_TOO_LARGE, bad("absurd", input_tokens=10**12)),
        (Reason.TOO_LARGE, bad("huge", product="x" * MAX_RECORD_BYTES)),
        (Reason.IN_THE_FUTURE, bad("tomorrow", occurred_at=format_instant(MISHAPS + MICROS_PER_DAY))),
        (Reason.TOO_OLD, bad("last-year", occurred_at=format_instant(MISHAPS - 60 * MICROS_PER_DAY))),
        (Reason.UNKNOWN_ORGANIZATION, bad("stranger", org_id="nobody")),
        (Reason.UNKNOWN_MEMBER, bad("guest", user_id="guest")),
        (Reason.UNKNOWN_MODEL, bad("new-model", model="claude-opus-99")),
        (Reason.UNPRICED, bad("fast-batch", processing="batch", speed="fast")),
        (Reason.CONFLICT, _json(_bare(taken) | {"output_tokens": taken.output_tokens + 1})),
    )


def _add(person: Person, common: dict[str, Any]) -> AddMember:
    return AddMember(
        command_id=f"add-{person.user_id}",
        user_id=person.user_id,
        seat_tier=person.seat_tier,
        role=person.role,
        **common,
    )


def _limit(command_id: str, limit_usd: str, common: dict[str, Any]) -> SetOrganizationLimit:
    return SetOrganizationLimit.model_validate({"command_id": command_id, "limit_usd": limit_usd, **common})


def _bare(event: UsageEvent) -> dict[str, Any]:
    return event.model_dump(mode="json", exclude_defaults=True)


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def events_in(record: Outgoing) -> int:
    """How many events a usage record holds: those of an array, or the one it is, however bad."""
    try:
        value = json.loads(record.value)
    except ValueError:
        return 1
    return len(value) if isinstance(value, list) else 1
