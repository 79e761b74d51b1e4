"""A request for one admission comes in as plain ASGI; the answer that its route would give goes out, at a fraction of
its cost.

Products ask this before each of their requests. Answered here is what is usual: GET, by a service whose token is known
and holds `admission:read`. Whatever else it is goes on to the routes (admission.py), which alone judge it.
"""

import re
from collections.abc import MutableMapping
from typing import Any

from pipeline.gate import admission
from pipeline.gate.parts import Gate, within_rate

_ASKED = re.compile(r"/v1/organizations/([!-.0-~]{1,128})/members/([!-.0-~]{1,128})/admission")
_BEARER = b"Bearer "


class QuickAdmission:
    """Answers from a gate's memory, without waiting for anything.

    Attributes:
        path: that of the route; so requests are counted as its own.
    """

    path = admission.PATH

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def answer(self, scope: MutableMapping[str, Any]) -> bytes | None:
        """The body of a 200; None where the routes are to answer.

        Raises:
            Problem: 429, 503
        """
        asked = _ASKED.fullmatch(scope["path"]) if scope["method"] == "GET" else None
        if asked is None:
            return None
        token = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        if not token.startswith(_BEARER) or not token.isascii():
            return None
        caller = self._gate.callers.known(token[len(_BEARER) :].decode(), self._gate.now())
        if caller is None or "admission:read" not in caller.scopes:
            return None
        scope["route"] = self
        within_rate(self._gate, caller)
        return admission.answer_body(self._gate, *asked.groups())
