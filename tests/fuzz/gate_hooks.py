"""What schemathesis is told of a gate (tests/fuzz/gate.py): who calls each operation, and of which organisation.

Loaded by schemathesis in its own process. Whoever may call an operation does, so that it gets past the door; ids that
are good ones lead, every other time, to an organisation and a member that are there.
"""

import json
import os
from typing import Any

import schemathesis

from schemas.base import is_identifier

_GATE = json.loads(os.environ["FUZZED_GATE"])
TOKENS: dict[str, str] = _GATE["tokens"]

THERE = {"user_id": "mia", "seat_tier": "premium"}
ENDS_IT = {"close_organization", "suspend_organization", "change_plan"}


@schemathesis.auth(refresh_interval=None)
class WhoeverMay:
    """Finds the token of an operation."""

    def get(self, case: Any, _: Any) -> str:
        operation = case.operation.definition.raw
        return TOKENS.get(operation.get("x-scope", ""), TOKENS["owner" if "x-least-role" in operation else "product"])

    def set(self, case: Any, token: str, _: Any) -> None:
        case.headers["Authorization"] = f"Bearer {token}"


@schemathesis.hook
def before_call(_: Any, case: Any, __: Any) -> None:
    """Good ids of odd length become ones that are there."""
    operation_id = case.operation.definition.raw["operationId"]
    there = THERE | {"org_id": _GATE["doomed"] if operation_id in ENDS_IT else _GATE["organization"]}
    if operation_id == "register_organization":
        there = {}
    for name, value in (case.path_parameters or {}).items():
        if name in there and isinstance(value, str) and is_identifier(value) and len(value) % 2:
            case.path_parameters[name] = there[name]
