"""A random history of some organisations: a seed comes in; what was sent, when, and what it says goes out."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from pipeline.engine.contract import Input
from tests.support.builders import BILLING, Wire, as_json, cloud_event, user
from tests.support.organization_auditor import RATES, TOKENS, end_of, month_of

ORGANIZATIONS = ("acme", "globex", "initech")
PEOPLE = ("ann", "bob", "cem", "dora")


@dataclass(frozen=True)
class Sent:
    """One record: its bytes, and what they say: bare events (None where they are no event), or one command."""

    input: Input
    arrived_at: datetime
    value: bytes
    says: list[Wire | None]


class History:
    """About `length` records from 20 April 2026 on, over some months, their ends crowded."""

    def __init__(self, seed: int, length: int = 250) -> None:
        self._random = Random(seed)
        self._length = length
        self._now = datetime(2026, 4, 20, 9, tzinfo=UTC)
        self._sent: list[tuple[datetime, Wire]] = []
        self._commands: list[Wire] = []
        self._number = 0

    def __iter__(self) -> Iterator[Sent]:
        for org_id in ORGANIZATIONS[:2]:
            yield self._command(
                {"command": "register_organization", "plan": "enterprise", "primary_owner": "owner"}, org_id
            )
            yield self._command({"command": "set_credits", "enabled": True}, org_id)
            yield self._command({"command": "add_member", "user_id": "ann"}, org_id)
        for _ in range(self._length):
            self._now += self._pause()
            yield self._command(self._some_command()) if self._random.random() < 0.12 else self._usage()

    def _pause(self) -> timedelta:
        """Usually hours; now and then until just before, at or just after the instant a month ends or closes."""
        if self._random.random() < 0.03:
            end = end_of(month_of(self._now))
            instants = [end, end + timedelta(hours=72) - timedelta(days=31), end - timedelta(days=31)]
            instant = self._random.choice(instants) + timedelta(milliseconds=self._random.choice((-1, 0, 1)))
            if instant > self._now:
                return instant - self._now
        return timedelta(milliseconds=self._random.choice((0, 1, 1_000, 3_600_000, self._random.randrange(6 * 10**7))))

    # Usage.

    def _usage(self) -> Sent:
        events = [self._some_event() for _ in range(self._random.choice((1, 1, 1, 2, 5)))]
        written = [self._written(event) if event is not None else self._random.choice(BROKEN) for event in events]
        if len(written) == 1 and self._random.random() < 0.8:
            return Sent("usage", self._now, written[0], events)
        return Sent("usage", self._now, b"[" + b",".join(written) + b"]", events)

    def _some_event(self) -> Wire | None:
        chance = self._random.random()
        if chance < 0.03:
            return None
        # What was sent longer ago is no duplicate any more, but too old (R14, R17).
        known = [event for sent_at, event in self._sent if self._now - sent_at < timedelta(days=36)]
        if chance < 0.22 and known:
            before = self._random.choice(known)
            if chance < 0.15:
                return before
            change = self._random.choice(({"output_tokens": 77}, {"product": "other"}, {"user_id": "bob"}))
            return {**before, **(change if chance < 0.19 else {"source": "elsewhere"})}
        event = self._new_event()
        self._sent.append((self._now, event))
        return event

    def _new_event(self) -> Wire:
        pick = self._random.choice
        self._number += 1
        late = pick((0, 0, 0, 0, 0, 60, 3_600, 86_400, 4 * 86_400, 20 * 86_400, 35 * 86_400, 36 * 86_400))
        occurred_at = self._now - timedelta(seconds=late) + timedelta(microseconds=pick((0, 0, -1, 1)))
        if self._random.random() < 0.1:
            occurred_at = self._now + pick(
                (timedelta(minutes=5), timedelta(minutes=5, microseconds=1), timedelta(seconds=9))
            )
        event: Wire = {
            "org_id": pick((*ORGANIZATIONS[:2],) * 8 + ORGANIZATIONS[2:]),
            "user_id": pick(("ann",) * 5 + PEOPLE),
            "event_id": f"e-{self._number}",
            "source": pick(("", "chat", "code")),
            "product": pick(("chat", "claude-code")),
            "model": pick((*RATES,) * 6 + ("claude-unheard-of",)),
            "occurred_at": occurred_at.isoformat(),
            "funding": pick(("credits",) * 4 + ("included",)),
        }
        for kind in self._random.sample(TOKENS, 3):
            event[kind] = pick((0, 1, 999, 50_000, 199_999, 200_000, 200_001))
        if self._random.random() < 0.2:
            event["web_search_requests"] = self._random.randrange(100)
        for field, values in (("processing", ("batch",)), ("speed", ("fast",)), ("inference_geo", ("us", "global"))):
            if self._random.random() < 0.12:
                event[field] = pick(values)
        return event

    def _written(self, event: Wire) -> bytes:
        """Each time in another way that means the same."""
        pick = self._random.choice
        wire = dict(event)
        zone = timedelta(hours=pick((0, 0, 2, -7)))
        at = datetime.fromisoformat(wire["occurred_at"]).astimezone(UTC)
        moved = (at + zone).replace(tzinfo=None).isoformat()
        hours = int(zone.total_seconds()) // 3600
        wire["occurred_at"] = moved + (f"{hours:+03d}:00" if hours else pick(("Z", "+00:00")))
        if not wire["source"] and pick((True, False)):
            del wire["source"]
        for field, same in (("processing", "standard"), ("speed", None), ("inference_geo", "not_available")):
            if field not in wire and pick((True, False)):
                wire[field] = same
        wire = dict(self._random.sample(list(wire.items()), len(wire)))
        if wire.get("source") and pick((True, False)):
            wire = cloud_event(wire, traceparent=str(self._random.random()))
        return json.dumps(wire, indent=pick((None, 2))).encode()

    # Commands.

    def _some_command(self) -> Wire:
        pick = self._random.choice
        return pick(
            (
                {"command": "set_organization_limit", "limit_usd": pick(("0", "1", "5.00", "5", "10", "40", None))},
                {"command": "set_organization_limit", "limit_usd": pick(("2", "20", "100", None))},
                {"command": "set_credits", "enabled": pick((True, True, False))},
                {
                    "command": "add_member",
                    "user_id": pick(PEOPLE),
                    "seat_tier": pick(("standard", "premium")),
                    "role": pick(("member", "member", "admin", "owner")),
                },
                {"command": "register_organization", "plan": "enterprise", "primary_owner": "owner"},
            )
        )

    def _command(self, body: Wire, org_id: str | None = None) -> Sent:
        pick = self._random.choice
        if org_id is None and self._commands and self._random.random() < 0.15:
            command = pick(self._commands)
            if pick((True, False)):
                command = {**command, "actor": user("owner")} if command["actor"] != user("owner") else command
        else:
            self._number += 1
            registers = body["command"] == "register_organization"
            some = BILLING if registers else user(pick(("owner",) * 6 + PEOPLE))
            command = {
                **body,
                "command_id": f"c-{self._number}",
                "org_id": org_id or pick((*ORGANIZATIONS[:2],) * 6 + ORGANIZATIONS[2:]),
                "actor": BILLING if registers else user("owner") if org_id else some,
            }
            self._commands.append(command)
        return Sent("commands", self._now, as_json(command), [command])


BROKEN = (b'{"org_id": "acme", "input_tokens": NaN}', b"null", b"[]", b'{"a": 01}')
