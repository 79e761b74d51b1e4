"""Notices come in, mail by mail; what is to be sent next, and up to where all has ended, comes out."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Generic, TypeVar

from pipeline.mailer.notices import Notice

Place = TypeVar("Place", bound=Hashable)
"""Where records lie in order; Kafka's topic and partition."""

_FIRST_WAIT_SECONDS = 2.0
_LONGEST_WAIT_SECONDS = 600.0


@dataclass(slots=True)
class Mail(Generic[Place]):
    """One notice to one member; `offset` is where it must be read from again while this mail has not ended."""

    notice: Notice
    user_id: str
    place: Place
    offset: int
    until_seconds: float  # wall clock: what is older is not mailed
    tries: int = 0

    @property
    def mail_id(self) -> str:
        """Its own."""
        return self.notice.mail_id(self.user_id)


@dataclass(slots=True)
class _Progress:
    next_offset: int
    open: dict[int, int] = field(default_factory=dict)  # offset → how many mails of it have not ended


class Queue(Generic[Place]):
    """Mails in the order in which they are due."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Mail[Place]]] = []
        self._numbers = count()
        self._progress: dict[Place, _Progress] = {}

    def __len__(self) -> int:
        return len(self._due)

    def clear(self) -> None:
        """Forget everything: it is read again, by whoever has the partitions then."""
        self._due.clear()
        self._progress.clear()

    def passed(self, place: Place, offset: int) -> None:
        """All before this offset is read."""
        self._progress.setdefault(place, _Progress(offset)).next_offset = offset

    def hold(self, place: Place, offset: int) -> None:
        """What lies here is needed again after a restart, until it is let go."""
        progress = self._progress.setdefault(place, _Progress(offset))
        progress.open[offset] = progress.open.get(offset, 0) + 1

    def let_go(self, place: Place, offset: int) -> None:
        """One less that needs what lies here."""
        held = self._progress[place].open
        held[offset] -= 1
        if not held[offset]:
            del held[offset]

    def add(self, mails: Sequence[Mail[Place]], now: float) -> None:
        """To be sent at once, in this order."""
        for mail in mails:
            self.hold(mail.place, mail.offset)
            heappush(self._due, (now, next(self._numbers), mail))

    def pop(self, now: float) -> Mail[Place] | None:
        """The next mail that is due; it is to be ended or put off."""
        return heappop(self._due)[2] if self._due and self._due[0][0] <= now else None

    def end(self, mail: Mail[Place]) -> None:
        """It needs no more."""
        self.let_go(mail.place, mail.offset)

    def put_off(self, mail: Mail[Place], now: float) -> None:
        """Try it again later, each time later than the last."""
        wait_seconds = min(_FIRST_WAIT_SECONDS * 2.0**mail.tries, _LONGEST_WAIT_SECONDS)
        mail.tries += 1
        heappush(self._due, (now + wait_seconds, next(self._numbers), mail))

    def put_back(self, mail: Mail[Place]) -> None:
        """It was not its fault: it is the next one again."""
        heappush(self._due, (float("-inf"), next(self._numbers), mail))

    def positions(self) -> dict[Place, int]:
        """Of each place, from where a restart has to read."""
        return {place: min(at.open, default=at.next_offset) for place, at in self._progress.items()}
