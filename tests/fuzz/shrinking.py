"""The bytes of a record that must not be come in; fewer that the decoder or a ledger alone stumbles over go out."""

import time

from pipeline.agents.decoding import decode_record
from tests.fuzz import oracle
from tests.support.builders import NOON, micros
from tests.support.ledger import LedgerInMemory, acme
from tests.support.shrinking import shortest

_SECONDS = 20.0


def smallest(value: bytes) -> bytes | None:
    """None where the bytes alone do no harm: then it takes what came before them."""
    kind = stumbles(value)
    if kind is None:
        return None
    until = time.monotonic() + _SECONDS
    items, _ = shortest(list(value), lambda left: stumbles(bytes(left)) == kind, lambda: time.monotonic() > until)
    return bytes(items)


def stumbles(value: bytes) -> str | None:
    """What kind of error these bytes give, as usage or as a command; None if none does."""
    try:
        if value:
            oracle.compare(value, decode_record(value))
        ledger: LedgerInMemory = acme()
        for to in ("usage", "commands"):
            ledger.process([ledger.record(to, value, micros(NOON))])
    except Exception as error:
        return type(error).__name__
    return None
