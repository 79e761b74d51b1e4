"""Schemathesis over every operation of the gate: no 500s, and every answer is as docs/openapi.json says."""

import pytest

from tests.fuzz.gate import fuzzed
from tests.support.gate_world import GateWorld

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]


async def test_whatever_is_sent_is_answered_as_documented(gate: GateWorld) -> None:
    code, words = await fuzzed(gate, examples=5, seed=1)
    assert code == 0, words
