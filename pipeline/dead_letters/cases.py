"""Dead letters with what became of them: letters and decisions in; the cases that an operator asks for out."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from pipeline.agents.dead_letters import letter_id
from pipeline.dead_letters.reading import Filed
from schemas.dead_letters import DeadLetter, DeadLetterDecision, Origin, Reason


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which dead letters are meant; what is empty or None asks for nothing. Instants are arrivals, half open."""

    ids: frozenset[str] = frozenset()
    reasons: frozenset[Reason] = frozenset()
    org_id: str | None = None
    since_micros: int | None = None
    until_micros: int | None = None
    only_open: bool = False

    def takes(self, letter: DeadLetter, decision: DeadLetterDecision | None) -> bool:
        """Whether this one is meant."""
        return (
            (not self.ids or letter.dead_letter_id in self.ids)
            and (not self.reasons or letter.reason in self.reasons)
            and (self.org_id is None or letter.org_id == self.org_id)
            and (self.since_micros is None or letter.arrived_at_micros >= self.since_micros)
            and (self.until_micros is None or letter.arrived_at_micros < self.until_micros)
            and not (self.only_open and decision is not None)
        )


@dataclass(frozen=True, slots=True)
class Case:
    """A dead letter, without its payload, and what became of it.

    Attributes:
        decision: None while it is open.
        refused_again_as: redriven, the ledger refused it again; the id of that dead letter.
    """

    letter: DeadLetter
    decision: DeadLetterDecision | None
    refused_again_as: str | None = None

    @property
    def is_open(self) -> bool:
        """Nobody has decided yet."""
        return self.decision is None


@dataclass(slots=True)
class _Detours:
    """Dead letters of events that were not judged at their origin, but forwarded or redriven: when, and their ids."""

    by_origin: dict[Origin, list[tuple[int, str]]] = field(default_factory=dict)

    def note(self, filed: Filed) -> None:
        """Keep it in mind, if it is one."""
        origin = filed.letter.origin
        if filed.letter.dead_letter_id != letter_id(origin.topic, origin.partition, origin.offset, origin.index):
            self.by_origin.setdefault(origin, []).append((filed.written_millis, filed.letter.dead_letter_id))

    def next_after(self, filed: Filed) -> str | None:
        """The next one of the same origin."""
        later = [one for one in self.by_origin.get(filed.letter.origin, ()) if one[0] > filed.written_millis]
        return min(later)[1] if later else None


async def cases_of(
    letters: AsyncIterator[Filed], decisions: Mapping[str, DeadLetterDecision], wanted: Wanted
) -> list[Case]:
    """Those that are wanted, in the order of their arrival."""
    detours = _Detours()
    found: list[Filed] = []
    async for filed in letters:
        detours.note(filed)
        if wanted.takes(filed.letter, decisions.get(filed.letter.dead_letter_id)):
            # A million payloads would not fit in memory; whoever needs one reads its letter again.
            found.append(filed._replace(letter=filed.letter.model_copy(update={"payload": ""})))
    found.sort(key=_arrival)
    return [_case(filed, decisions.get(filed.letter.dead_letter_id), detours) for filed in found]


def _case(filed: Filed, decision: DeadLetterDecision | None, detours: _Detours) -> Case:
    is_redriven = decision is not None and decision.decision == "redriven"
    return Case(filed.letter, decision, detours.next_after(filed) if is_redriven else None)


def _arrival(filed: Filed) -> tuple[int, int, str, int, int, int]:
    origin = filed.letter.origin
    return (
        filed.letter.arrived_at_micros,
        filed.written_millis,
        origin.topic,
        origin.partition,
        origin.offset,
        origin.index,
    )
