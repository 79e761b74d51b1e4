"""Benchmarks that no other test needs run, on very little: what they check holds. Nothing here looks at a time."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import latency
from pipeline.embedded.clickhouse import EmbeddedClickHouse
from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.settings import Settings

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]

FEW = ("--events", "2000", "--runs", "1", "--rate", "200", "--seconds", "3", "--organizations", "4", "--members", "20")


@pytest.fixture(autouse=True)
def on_what_runs_already(
    kafka: EmbeddedKafka,
    clickhouse: EmbeddedClickHouse,
    fresh_name: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def settings(runs: int) -> Iterator[tuple[int, Settings]]:
        for run in range(1, runs + 1):
            name = fresh_name("benchmark")
            yield (
                run,
                Settings(
                    kafka_bootstrap_servers=kafka.bootstrap_servers,
                    clickhouse_url=clickhouse.url,
                    clickhouse_database=name,
                    topic_prefix=name + ".",
                    data_dir=kafka.data_dir,
                ),
            )

    monkeypatch.setattr(benchmarks, "_on_kafka", settings)
    monkeypatch.setattr(benchmarks, "_with_clickhouse", settings)
    monkeypatch.setattr(benchmarks, "PARTITIONS", (2,))
    monkeypatch.setattr(latency, "_WARM_UP_SECONDS", 0.0)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("path", "events/s until they are in ClickHouse"),
        ("latency", "20 breaches, each by the right event"),
        ("footprint", "  2 partitions, 200 events/s"),
        ("loop", "limits of all change"),
        ("identities", "on disk"),
    ],
)
def test_it_runs(
    what: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["benchmarks", what, *FEW, "--identities", "1000", "--into", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", arguments)
    benchmarks.main()
    assert says in capsys.readouterr().out
