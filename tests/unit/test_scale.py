"""What a load takes: sums that agree with what was measured, a simulation that does what queues do, and the page."""

from itertools import pairwise

import pytest

from benchmarks.chunks import Costs, simulate
from benchmarks.scale import RATES, Assumed, Measured, bill, cpu_micros, plan
from benchmarks.scale_page import DOCS, PAGES, fill, picture

MEASURED, ASSUMED = Measured(), Assumed()
COSTS = Costs(event=10, organization=0, transaction=200, broker_event=5, broker_transaction=300, commit=2_000)


def test_the_pages_say_what_is_reckoned() -> None:
    for page in PAGES:
        said = page.read_text(encoding="utf-8")
        assert fill(said, MEASURED, ASSUMED) == said, "run `python -m benchmarks scale`"
    assert (DOCS / "scale-latency.svg").read_text(encoding="utf-8") == picture(MEASURED)


def test_the_parts_of_an_event_are_the_cores_that_were_measured() -> None:
    cpu = cpu_micros(MEASURED)
    assert cpu.ledger + cpu.broker + cpu.store == pytest.approx(2e6 / MEASURED.path_per_second)
    assert min(cpu) > 0


def test_a_tenfold_load_takes_ten_times_the_disks_and_never_fewer_cores() -> None:
    plans = [plan(rate, MEASURED, ASSUMED) for rate in RATES]
    for small, large in pairwise(plans):
        assert large.kafka_bytes == pytest.approx(10 * small.kafka_bytes)
        assert small.cores <= large.cores <= 10 * small.cores
        assert large.partitions >= 2 * large.workers or large.partitions == 4


def test_a_bill_is_the_sum_of_its_parts() -> None:
    billed = bill(plan(1_000, MEASURED, ASSUMED), MEASURED, ASSUMED)
    assert billed.total == billed.compute + billed.zones + billed.kafka_disks + billed.other_disks
    assert billed.tiered_total == pytest.approx(billed.total - billed.kafka_disks + billed.tiered)


def test_a_lone_event_takes_its_own_work_and_a_commit() -> None:
    """10 + 200 µs of work, then 2,000 µs; seldom another one is in the way."""
    one = simulate(1, 1, COSTS, seconds=2_000)
    assert one.p50_ms == pytest.approx(2.21, abs=0.01)
    assert one.events_a_transaction == pytest.approx(1, abs=0.01)


def test_what_arrives_while_one_commits_shares_the_next_transaction() -> None:
    """At rate r a loop of n events lasts 2,200 µs + 10 n, and n = r times that: n = r·0.0022 / (1 - r·0.00001)."""
    one = simulate(20_000, 1, COSTS, seconds=5)
    assert one.events_a_transaction == pytest.approx(20_000 * 0.0022 / (1 - 0.2), rel=0.02)


def test_partitions_of_a_busy_worker_wait_for_each_other() -> None:
    few, many = (simulate(45_000, partitions, COSTS, seconds=2) for partitions in (4, 64))
    assert many.p99_ms > 3 * few.p99_ms
    assert many.cores == pytest.approx(1, abs=0.03)
