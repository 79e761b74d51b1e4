"""Schemathesis over every operation of the gate: no 500s, and every answer is as docs/openapi.json says."""

import pytest

from tests.fuzz.gate import fuzzed
from tests.support.gate_world import GateWorld

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse, pytest.mark.long]


@pytest.mark.timeout(900)
async def test_whatever_is_sent_is_answered_as_documented(gate: GateWorld) -> None:
    """Documented examples and a random one each; `python -m tests.fuzz.gate` sends boundaries of fields too."""
    code, words = await fuzzed(gate, examples=1, seed=1, phases="examples,fuzzing")
    assert code == 0, words
