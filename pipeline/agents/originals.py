"""Originals: a correction and what is remembered of identities come in; the event it corrects goes out (R15).

Of an accepted event 12 bytes are kept: 8 of its payload's digest, 3 of its price block's tag, 1 of flags that say how
it was charged. A correction has a second entry, since what it said of counts is not all it said.
"""

from collections.abc import Callable

from pipeline.agents.decoding import identity_key, identity_key_of, payload_digest
from pipeline.domain.charging import CORRECTED, CORRECTION, Rejected
from pipeline.domain.compiled import Usage, with_fields_of
from pipeline.domain.corrections import Original
from schemas.dead_letters import Reason

LookUp = Callable[[bytes], bytes | None]


def find_original(usage: Usage, look_up: LookUp) -> Original:
    """The event that a correction corrects.

    Raises:
        Rejected: it was never taken, was corrected before, or was taken with other fields than the correction says.
    """
    assert usage.corrects is not None, f"{usage.event_id} is no correction"
    claimed = with_fields_of(
        usage.corrects.original, org_id=usage.org_id, source=usage.source, event_id=usage.corrects.event_id
    )
    remembered = look_up(identity_key(claimed))
    if remembered is None:
        raise Rejected(Reason.UNKNOWN_ORIGINAL, f"event {claimed.event_id} was never taken")
    flags = remembered[11]
    if flags & CORRECTED:
        detail = f"event {claimed.event_id} was corrected before; correct the correction"
        raise Rejected(Reason.ALREADY_CORRECTED, detail)
    said = look_up(_billing_key(claimed)) if flags & CORRECTION else remembered
    if said is None or said[:8] != payload_digest(claimed):
        detail = f"event {claimed.event_id} was taken with other fields than `original` says"
        raise Rejected(Reason.CORRECTION_MISMATCH, detail)
    return Original(claimed, int.from_bytes(remembered[8:11], "big"), flags)


def identities_of(usage: Usage, digest: bytes, original: Original, look_up: LookUp) -> dict[bytes, bytes]:
    """What is to be remembered once a correction is booked: its own two entries, and that its original is corrected."""
    kept = original.block_tag.to_bytes(3, "big") + bytes([original.flags | CORRECTION])
    corrected = look_up(identity_key(original.usage))
    assert corrected is not None, f"{original.usage.event_id} was remembered a moment ago"
    return {
        identity_key(usage): digest + kept,
        # Another correction of this one will name its counts, not what it corrected.
        _billing_key(usage): payload_digest(with_fields_of(usage, corrects=None)) + kept,
        identity_key(original.usage): corrected[:11] + bytes([original.flags | CORRECTED]),
    }


def _billing_key(usage: Usage) -> bytes:
    """Three spaces, so it is nobody's identity."""
    return identity_key_of(f"{usage.org_id} {usage.source} {usage.event_id} billing")
