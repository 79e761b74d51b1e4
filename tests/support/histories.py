"""Random histories of whole accounts: a seed comes in; records in ledger order, and the auditor that took them, go out.

The generator asks its own auditor where things stand, so that limits lie near the spend, reloads are answered and
requests approved. Everything follows from the seed; arrivals are whole milliseconds, as Kafka's are.
"""

from collections.abc import Iterator
from random import Random

from tests.support.auditor import Auditor, Said
from tests.support.auditor.basics import (
    AHEAD,
    ALIASES,
    DAY,
    HOUR,
    PRICES,
    SECOND,
    TOKENS,
    Wire,
    end_of,
    micros,
    month_of,
    text_of,
)
from tests.support.auditor.outputs import Scope
from tests.support.auditor.state import Organization
from tests.support.history_commands import Commands

START = micros("2026-04-24T09:00:00Z")
MILLISECOND = 1_000


class Histories:
    """One history of about `length` records; iterate it, then ask its `auditor`; `said` are the records so far.

    The auditor may be one that has other rules.
    """

    def __init__(self, seed: int, length: int = 220, *, auditor: Auditor | None = None) -> None:
        self.random = Random(seed)
        self.length = length
        self.auditor = auditor or Auditor()
        self.now = START
        self.said: list[Said] = []
        self._number = 0
        self._sent: list[tuple[int, Wire]] = []
        self._commands = Commands(self.random, self.auditor)
        # Some histories are slow and see months close, some are quick and crowd one month.
        self._pace = self.random.choice((20, 60, 240, 900, 1_800)) * 60 * SECOND
        self._takes_back = self.random.random() < 0.3  # what was invoiced, so that sums fall below zero

    def __iter__(self) -> Iterator[Said]:
        for body in self._commands.opening():
            yield self._take("command", body)
        last = ("command", self.now)
        for _ in range(self.length):
            self.now += self._pause()
            if self.random.random() < 0.35:
                if last == ("usage", self.now):
                    self.now += MILLISECOND  # at one arrival, commands come before usage (R44)
                yield self._take("command", self._commands.some(self.now))
                last = ("command", self.now)
            else:
                yield self._take("usage", self._some_usage())
                last = ("usage", self.now)

    def _take(self, kind: str, body: Wire) -> Said:
        said = Said(self.now, kind, body)
        self.said.append(said)
        self.auditor.take(*said)
        return said

    def _pause(self) -> int:
        """Now and then until just before, at or just after an instant at which something is due."""
        if self._month_is_ending() and self.random.random() < 0.93:
            return self.random.choice((0, MILLISECOND, SECOND))
        if self._month_is_closing() and self.random.random() < 0.8:
            return self.random.choice((0, MILLISECOND))
        if self.random.random() < 0.05:
            end = end_of(month_of(self.now))
            due = [
                end,
                *[end - AHEAD // 2] * 3,  # the clocks of others are in the next month already
                *[self._closes] * 3,
                (self.now // DAY) * DAY + DAY + self.auditor.digest_hour * HOUR,
            ]
            for org in self.auditor.organizations.values():
                due += [lot.expires_at for lot in org.lots if lot.expires_at is not None]
                due += [one.asked_at + DAY for one in org.reloads if one.status == "pending"]
            later = [at for at in due if self.now + SECOND < at < self.now + 8 * DAY]
            if later:
                at = self.random.choice(later) + self.random.choice((-1, 0, 1)) * MILLISECOND
                return at // MILLISECOND * MILLISECOND - self.now
        steps = (0, MILLISECOND, SECOND, self._pace, self.random.randrange(2 * self._pace))
        return self.random.choice(steps) // MILLISECOND * MILLISECOND

    def _month_is_ending(self) -> bool:
        """So nearly that usage may be of the next one (R19)."""
        return month_of(self.now + AHEAD) != month_of(self.now)

    @property
    def _end(self) -> int:
        """Of the month that ended last; from the 21st on, of the one that runs."""
        return end_of(month_of(self.now - 20 * DAY))

    @property
    def _closes(self) -> int:
        return self._end + self.auditor.grace_hours * HOUR

    def _month_is_closing(self) -> bool:
        return abs(self.now - self._closes) < 5 * MILLISECOND

    # Usage.

    def _some_usage(self) -> Wire:
        chance = self.random.random()
        # What was sent longer ago may be forgotten, and is too old in any case (R14, R17).
        known = [event for at, event in self._sent if self.now - at < 33 * DAY]
        if known and chance < 0.06:
            return self.random.choice(known)
        if known and chance < 0.08:
            changed: Wire = {**self.random.choice(known)}
            changed["output_tokens"] = changed.get("output_tokens", 0) + 1
            return changed
        corrects = 0.5 if self._takes_back and self.now >= self._closes else 0.18
        event = self._correction() if known and chance < corrects else self._event()
        self._sent.append((self.now, event))
        return event

    def _event(self) -> Wire:
        pick = self.random.choice
        self._number += 1
        known = list(self.auditor.organizations)
        org_id = pick(known) if self.random.random() < 0.99 else "nowhere"
        org = self.auditor.organizations.get(org_id)
        users = list(org.members) if org else ["owner"]
        late = pick((0,) * 22 + (60 * SECOND, HOUR, DAY, 3 * DAY, 4 * DAY, 12 * DAY, 34 * DAY, 36 * DAY))
        occurred_at = self.now - late
        if self.random.random() < (0.6 if self._month_is_ending() else 0.05):
            occurred_at = self.now + pick((9 * SECOND, AHEAD - SECOND, AHEAD, AHEAD + SECOND))
        elif self._month_is_closing() and self.random.random() < 0.7:
            occurred_at = self._end - pick((0, 1, HOUR, 10 * DAY))
        event: Wire = {
            "org_id": org_id,
            "user_id": pick(users) if self.random.random() < 0.98 else "stranger",
            "event_id": f"e-{self._number}",
            "source": pick(("", "chat", "code")),
            "product": pick(("chat", "claude_code", "Cowork")),
            "model": pick((*PRICES, *ALIASES)) if self.random.random() < 0.98 else "claude-unheard-of",
            "occurred_at": text_of(occurred_at),
            "funding": "credits" if self.random.random() < 0.88 else "included",
        }
        return {**event, **self._counts(org), **self._variant(0.12)}

    def _variant(self, share: float) -> Wire:
        """Some of what makes another price of the same block, or none (R11); some as products write what is usual."""
        pick = self.random.choice
        return {name: pick(values) for name, values in VARIANTS.items() if self.random.random() < share}

    def _counts(self, org: Organization | None) -> Wire:
        pick = self.random.choice
        exact = self._cents_to_a_limit(org) if org and self.random.random() < 0.1 else None
        if exact:
            return {"web_search_requests": exact}
        counts: Wire = {kind: pick((0, 1, 999, 20_000, 150_000)) for kind in self.random.sample(TOKENS, 2)}
        if self.random.random() < 0.3:
            counts["web_search_requests"] = pick((0, 1, 10, 100, 300))
        return counts

    def _cents_to_a_limit(self, org: Organization) -> int | None:
        """A search costs a cent: so many reach the organisation's limit or empty the wallet to the cent, if any do."""
        limit = org.limit.holds(month_of(self.now))
        left = org.balance if limit is None else limit - org.spend(Scope("organization"), month_of(self.now))
        cents = left // 10**10
        return cents if 0 < cents <= 2_000 else None

    def _correction(self) -> Wire:
        """Mostly right; now and then of the wrong original, of one corrected already, or with more changed."""
        pick = self.random.choice
        self._number += 1
        since = self.now - 33 * DAY
        takes = [taken for org in self.auditor.organizations.values() for taken in org.taken.values()]
        wires = {(one["org_id"], one.get("source", ""), one["event_id"]): one for at, one in self._sent if at > since}
        chance = self.random.random()
        good = [
            (taken.rows[-1].cost, key)
            for taken in takes
            if (key := (taken.facts["org_id"], taken.facts["source"], taken.facts["event_id"])) in wires
            and (chance < 0.2 or not taken.corrected)
        ]
        # Half of them of the dearest lately, by which limits were reached, or of what was just invoiced.
        lately = good[-12:]
        if self.now >= self._closes and self.random.random() < (0.9 if self._takes_back else 0.5):
            lately = [(cost, key) for cost, key in good if micros(wires[key]["occurred_at"]) < self._end]
        if self.random.random() < 0.5:
            lately = sorted(lately)[-2:]
        original = wires[pick(lately)[1]] if lately else self._event()
        billing = {name: value for name, value in original.items() if name not in IDENTITY}
        corrected: Wire = {**{name: original[name] for name in original if name != "corrects"}}
        corrected["event_id"] = f"e-{self._number}"
        factor = pick((0, 0, 0, 1) if self._takes_back else (0, 1, 1, 2, 3, 6))
        for kind in (*TOKENS, "web_search_requests"):
            if kind in corrected:
                corrected[kind] = corrected[kind] * factor // 2
        corrected |= self._variant(0.06)
        if 0.8 < chance < 0.85:
            billing["input_tokens"] = billing.get("input_tokens", 0) + 1
        elif 0.85 < chance < 0.88:
            corrected["funding"] = "included" if corrected["funding"] == "credits" else "credits"
        elif 0.88 < chance < 0.91:
            corrected["source"] = f"not-{original['source']}"
        corrected["corrects"] = {"event_id": original["event_id"], "original": billing}
        return corrected


IDENTITY = ("org_id", "event_id", "source", "corrects")
VARIANTS = {
    "processing": ("batch", "batch", "standard", None),
    "speed": ("fast", "fast", "standard", None),
    "inference_geo": ("us", "us", "us", "global", "not_available", "eu"),
}
