"""The alarm of a poison storm: what each transaction took and rejected comes in; log lines and gauges go out.

A storm is when more than a set share of a worker's usage events are dead letters. Nothing is lost and nothing stops:
good events go on, bad ones wait as dead letters. But a producer is broken or a price missing, and usage goes unbilled.
"""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.engine.contract import Place
from pipeline.engine.observer import Committed, Observer
from pipeline.topics import USAGE_EVENTS

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Threshold:
    """More dead letters than this share, over this time, of at least so many events.

    A storm that has begun goes on, be they ever so few, until it is down to half that share: lest it begin again and
    again.
    """

    percent: int
    seconds: int
    events: int

    def is_storm(self, events: int, rejected: int, *, already: bool) -> bool:
        """Whether this is one; `already`: whether it was until now."""
        if already:
            return rejected * 100 > events * self.percent / 2
        return events >= self.events and rejected * 100 > events * self.percent


@dataclass(slots=True)
class _Second:
    at: int
    events: int = 0
    rejected: Counter[str] = field(default_factory=Counter)


class PoisonAlarm(Observer):
    """Watches one worker, all its partitions together.

    Attributes:
        is_storm: whether there is one now: a gauge.
        events: usage events of the last seconds: a gauge.
        rejected: dead letters among them, by reason: gauges.
        events_total, rejected_total: the same since the worker started: counters.
    """

    def __init__(self, threshold: Threshold, clock: Callable[[], float] = time.monotonic) -> None:
        self.is_storm = False
        self.events = self.events_total = 0
        self.rejected: Counter[str] = Counter()
        self.rejected_total: Counter[str] = Counter()
        self._threshold = threshold
        self._clock = clock
        self._seconds: deque[_Second] = deque()
        self._examples: dict[str, tuple[int, Place]] = {}  # reason → the partition and the place of the latest

    def committed(self, committed: Committed) -> None:
        """Count a transaction, and raise or end the alarm; idle ones come too, so one that has blown over ends."""
        super().committed(committed)
        now = int(self._clock())
        self._forget(now - self._threshold.seconds)
        if events := committed.counts.get("usage_events", 0):
            self._add(now, events, committed)
        rejected = self.rejected.total()
        if self.is_storm != self._threshold.is_storm(self.events, rejected, already=self.is_storm):
            self.is_storm = not self.is_storm
            if self.is_storm:
                log.error("poison storm: %s", self._told())
            else:
                log.error("the poison storm is over: %s", self._share())

    def _add(self, now: int, events: int, committed: Committed) -> None:
        if not self._seconds or self._seconds[-1].at != now:
            self._seconds.append(_Second(now))
        rejected = {reason: rejections.events for reason, rejections in committed.rejected.items()}
        second = self._seconds[-1]
        second.events += events
        second.rejected.update(rejected)
        self.events += events
        self.events_total += events
        self.rejected.update(rejected)
        self.rejected_total.update(rejected)
        self._examples |= {reason: (committed.partition, last.first) for reason, last in committed.rejected.items()}

    def _forget(self, until: int) -> None:
        while self._seconds and self._seconds[0].at <= until:
            second = self._seconds.popleft()
            self.events -= second.events
            self.rejected -= second.rejected

    def _share(self) -> str:
        events = f"{self.events:,} usage events of the last {self._threshold.seconds} s"
        return f"{self.rejected.total():,} of {events} are dead letters"

    def _told(self) -> str:
        by_reason = self.rejected.most_common()
        partition, place = self._examples[by_reason[0][0]]
        counts = ", ".join(f"{reason} {count:,}" for reason, count in by_reason)
        return (
            f"{self._share()} ({counts}), for example {USAGE_EVENTS.name}[{partition}] offset {place.offset}, "
            f"event {place.index}; see `usage-credits dead-letters list --open`"
        )
