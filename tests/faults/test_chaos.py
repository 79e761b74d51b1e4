"""Everything at once, for a short while; `make chaos` goes on for longer."""

import os

import pytest

from tests.chaos.run import run

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.long]

FAULTS = int(os.environ.get("CHAOS_FAULTS", "4"))


@pytest.mark.timeout(60 + 40 * FAULTS)
async def test_what_comes_out_of_chaos_is_what_nobody_disturbed_would_have_said() -> None:
    assert len((await run(seed=2, faults=FAULTS)).struck) == FAULTS


@pytest.mark.timeout(600)
async def test_of_three_brokers_one_may_fail() -> None:
    assert len((await run(seed=3, faults=3, brokers=3)).struck) == 3
