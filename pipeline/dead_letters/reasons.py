"""What mends each reason of a dead letter, and whether redriving it, unchanged as it is, can do anything at all."""

from typing import NamedTuple

from schemas.dead_letters import Reason


class Remedy(NamedTuple):
    """What to do about a reason.

    Attributes:
        mended_by: a sentence for an operator.
        by_redriving: whether the same bytes may be taken then; if not, redriving gives another dead letter.
    """

    mended_by: str
    by_redriving: bool


_SEND_RIGHT = "its producer sends the event again as it should be; discard this one"

REMEDIES: dict[Reason, Remedy] = {
    Reason.MALFORMED: Remedy(f"mend the producer, which writes no JSON objects; {_SEND_RIGHT}", by_redriving=False),
    Reason.TOO_LARGE: Remedy("its producer sends the events again in smaller records; discard this one", False),
    Reason.INVALID: Remedy(f"the detail names the field; {_SEND_RIGHT}", by_redriving=False),
    Reason.UNKNOWN_FIELD: Remedy(
        f"upgrade the workers if the field is of a newer version, then redrive; else {_SEND_RIGHT}", by_redriving=True
    ),
    Reason.COUNT_TOO_LARGE: Remedy(f"find out what the producer counts; {_SEND_RIGHT}", by_redriving=False),
    Reason.IN_THE_FUTURE: Remedy(f"set the producer's clock right; {_SEND_RIGHT}", by_redriving=False),
    Reason.TOO_OLD: Remedy(
        "nothing takes it any more; charge it by the command `adjust`, or not at all, and discard this", False
    ),
    Reason.UNKNOWN_ORGANIZATION: Remedy("register the organisation, then redrive", by_redriving=True),
    Reason.ORGANIZATION_CLOSED: Remedy("a closed organisation stays closed; discard this", by_redriving=False),
    Reason.UNKNOWN_MEMBER: Remedy("add the member, then redrive", by_redriving=True),
    Reason.UNKNOWN_MODEL: Remedy(
        "append the model to the price book, restart the workers, then redrive", by_redriving=True
    ),
    Reason.UNPRICED: Remedy(
        "append a price block that lists this combination, restart the workers, then redrive", by_redriving=True
    ),
    Reason.CONFLICT: Remedy(
        "another payload was taken under this identity; its producer sends a correction if this one is right; discard "
        "this one",
        by_redriving=False,
    ),
    Reason.UNKNOWN_ORIGINAL: Remedy("redrive once the event that it corrects has been taken", by_redriving=True),
    Reason.CORRECTION_MISMATCH: Remedy(
        "its producer sends a correction that says what was taken; discard this one", by_redriving=False
    ),
    Reason.ALREADY_CORRECTED: Remedy(
        "its producer corrects the correction, if that is what is meant; discard this one", by_redriving=False
    ),
    Reason.INTERNAL_ERROR: Remedy(
        "a bug of ours; the worker's log says more. Redrive once a mended version runs", by_redriving=True
    ),
}
