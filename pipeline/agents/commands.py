"""Reading account commands: the bytes of a record in; the command, or why it is none and whom to tell, out.

A command of which only some field is wrong is refused like any other, so that whoever gave it hears of it; what cannot
be read at all becomes a dead letter.
"""

from dataclasses import dataclass
from typing import Any

import msgspec
from pydantic import ValidationError

from schemas.commands import COMMANDS, Command, CommandHead
from schemas.dead_letters import MAX_RECORD_BYTES, Reason

_decode_any = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class UnreadableCommand:
    """Bytes that are no command, and why."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class InvalidCommand:
    """A command of which something is wrong, by what could be read of it."""

    head: CommandHead
    detail: str


def read_command(raw: bytes) -> Command | InvalidCommand | UnreadableCommand:
    """The command of a record."""
    if len(raw) > MAX_RECORD_BYTES:
        detail = f"the record has {len(raw)} bytes; {MAX_RECORD_BYTES} are allowed"
        return UnreadableCommand(Reason.TOO_LARGE, detail)
    try:
        wire: Any = _decode_any(raw)
        return COMMANDS.validate_python(wire)
    except ValidationError as error:
        detail = "; ".join(
            f"{'.'.join(map(str, problem['loc'][1:])) or 'command'}: {problem['msg']}" for problem in error.errors()
        )
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return UnreadableCommand(Reason.MALFORMED, f"no account command: {error}")
    try:
        return InvalidCommand(CommandHead.model_validate(wire), detail[:1000])
    except ValidationError:
        return UnreadableCommand(Reason.MALFORMED, f"no account command: {detail[:900]}")
