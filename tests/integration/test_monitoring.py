"""What Prometheus sees of running processes: every panel and every alert asks for what is there, and it is right."""

import asyncio
import math
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from pipeline.embedded.clickhouse import EmbeddedClickHouse
from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.embedded.ports import free_port
from pipeline.settings import Settings
from pipeline.topics_admin import create_topics
from tests.support.gate_world import PRODUCT, GateWorld, make_organization, process, usage
from tests.support.prometheus import ALERTS, CONFIG, Prometheus, metrics_in, panels, program, prometheus

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]

DATA = Path(__file__).parents[1] / "data"
UNTIL_SECONDS = 120


@dataclass(slots=True)
class Watched:
    """Processes that have something to do, and who watches them."""

    world: GateWorld
    prometheus: Prometheus
    numbers: "count[int]"

    async def work(self) -> None:
        """Something of everything that is counted."""
        number = next(self.numbers)
        events = [
            usage(f"good{number}", "acme", 1),
            usage(f"bad{number}", "acme", 1, model="no-such-model"),
            usage("good0", "acme", 1, occurred_at="2026-01-01T00:00:00Z"),
        ]
        await self.world.call("POST", "/v1/events", events, of=PRODUCT)
        await self.world.call("GET", "/v1/organizations/acme/members/mia/admission", of=PRODUCT)
        await self.world.call("GET", "/v1/organizations/acme/members", of="olga")
        limit = {"amount_usd": f"{number + 1}.00"}
        await self.world.call("PUT", "/v1/organizations/acme/members/adam/spend-limit", limit, of="olga")


@pytest.fixture(scope="module")
async def watched(
    kafka: EmbeddedKafka, clickhouse: EmbeddedClickHouse, server_dir: Path, fresh_name: Callable[[str], str]
) -> AsyncIterator[Watched]:
    data_dir = server_dir / "watched"
    data_dir.mkdir()
    ports = {name: free_port() for name in ("ledger", "sink", "prove", "gate")}
    settings = Settings(
        kafka_bootstrap_servers=kafka.bootstrap_servers,
        clickhouse_url=clickhouse.url,
        clickhouse_database=fresh_name("watched"),
        topic_prefix=fresh_name("watched") + ".",
        partitions=2,
        data_dir=data_dir,
        gate_port=ports["gate"],
        gate_dev_tokens=True,
    )

    def of(name: str) -> Settings:
        return settings.model_copy(update={"metrics_port": ports[name]})

    await create_topics(settings)
    with process(of("ledger"), "ledger"), process(settings, "gate"), process(of("sink"), "sink"):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{ports['gate']}", timeout=30) as http:
            world = GateWorld(settings, http)
            await world.ready()
            await make_organization(world, "acme")
            jobs = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
            with process(of("prove"), "prove", "--json", "--every", "2"):
                async with prometheus(server_dir / "prometheus", jobs) as running:
                    yield Watched(world, running, count())


async def test_every_panel_shows_something(watched: Watched) -> None:
    blank = dict.fromkeys(panels(), "nothing")
    until = time.monotonic() + UNTIL_SECONDS
    while blank and time.monotonic() < until:
        await watched.work()
        for title, query in list(blank):
            series = await watched.prometheus.query(query)
            if series and any(math.isfinite(value) for _, value in series):
                del blank[title, query]
        await asyncio.sleep(0.5)
    assert not blank


async def test_every_alert_asks_for_what_there_is_and_the_dangerous_ones_are_silent(watched: Watched) -> None:
    names = set(await watched.prometheus.get("label/__name__/values"))
    groups = (await watched.prometheus.get("rules"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == sum(len(group["rules"]) for group in yaml.safe_load(ALERTS.read_text())["groups"])
    for rule in rules:
        assert rule["health"] == "ok", rule
        assert metrics_in(rule["query"]) <= names, rule["name"]
    firing = {rule["name"] for rule in rules if rule["state"] == "firing"}
    # One bad model and one conflict are sent on purpose, again and again: no alarm but these.
    assert firing <= {"UsageUnbilled", "PoisonStorm"}


async def test_the_figures_are_those_of_what_was_done(watched: Watched) -> None:
    await watched.work()
    sent = next(watched.numbers)

    async def comes_to(query: str, wanted: float) -> None:
        # Each process is scraped at its own moment, and a busy machine misses a scrape now and then.
        series: list[Any] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(UNTIL_SECONDS):
                while [value for _, value in series] != [wanted]:
                    series = await watched.prometheus.query(query)
                    await asyncio.sleep(0.2)
        assert [value for _, value in series] == [wanted], query

    await comes_to("sum(sink_rows_total{table='priced_usage'})", sent)
    await comes_to("sum(ledger_events_total{outcome='accepted'})", sent)
    await comes_to("sum(ledger_rows_total)", sent)
    await comes_to("sum(ledger_dead_letters_total{reason='unknown_model'})", sent)
    await comes_to("sum(ledger_lag_records) + sum(sink_lag_records)", 0)
    await comes_to("count(ledger_as_of_timestamp_seconds)", 2)
    await comes_to("ledger_partitions", 2)
    await comes_to("max(time() - ledger_as_of_timestamp_seconds) < bool 30", 1)
    await comes_to("sum(usage_credits_proof_differing)", 0)
    await comes_to("sum(usage_credits_proof_difference_usd)", 0)
    await comes_to("max(ledger_restore_seconds) < bool 30", 1)
    stages = {labels["stage"] for labels, value in await watched.prometheus.query("ledger_stage_seconds_total > 0")}
    assert stages == {"fetch", "decode", "dedup", "rules", "encode", "commit"}


async def test_each_says_that_it_is_alive(watched: Watched) -> None:
    targets = (await watched.prometheus.get("targets"))["activeTargets"]
    async with httpx.AsyncClient() as http:
        for target in targets:
            address = target["labels"]["instance"]
            assert (await http.get(f"http://{address}/healthz")).status_code == 200


def test_a_port_that_is_taken_is_told(watched: Watched, tmp_path: Path) -> None:
    taken = watched.world.settings.model_copy(
        update={"metrics_port": watched.world.settings.gate_port, "data_dir": tmp_path}
    )
    with process(taken, "sink") as started:
        assert started.wait(UNTIL_SECONDS) == 1
    assert "METRICS_PORT of each process on a machine must be another" in (tmp_path / "sink.log").read_text()


def promtool(*arguments: Any) -> str:
    done = subprocess.run([program("promtool"), *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_own_checker_takes_rules_and_configuration() -> None:
    promtool("check", "rules", ALERTS)
    promtool("check", "config", CONFIG)


def test_each_alert_fires_when_it_should_and_not_before(tmp_path: Path) -> None:
    cases = yaml.safe_load((DATA / "alerts_test.yml").read_text())
    cases["rule_files"] = [str(ALERTS)]
    (tmp_path / "alerts_test.yml").write_text(yaml.safe_dump(cases))
    promtool("test", "rules", tmp_path / "alerts_test.yml")
    rules = [rule["alert"] for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    assert [test["name"] for test in cases["tests"]] == rules
