"""Kafka, the ledger and ClickHouse away, each in turn under load: what the gate still answers, what it says instead,
and that nothing it accepted is lost, counted afterwards (R33)."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest

from pipeline.embedded.clickhouse import EmbeddedClickHouse
from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.embedded.ports import free_port
from pipeline.gate.history import History
from pipeline.settings import Settings
from schemas.instants import parse_instant
from tests.chaos.proxy import Proxy
from tests.support.gate_world import PRODUCT, GateWorld, gate_running, make_organization, process, usage

pytestmark = [pytest.mark.faults, pytest.mark.kafka, pytest.mark.clickhouse, pytest.mark.long]

ORG = "/v1/organizations/acme"
BOUND_SECONDS = 5.0
ANSWER_SECONDS = 4.0
PATIENCE_SECONDS = 60.0

Says = dict[str, int | str]
ALL_WELL: Says = {"usage": 202, "admission": 200, "command": 200, "history": 200, "readiness": 200}
WITHOUT_CLICKHOUSE = ALL_WELL | {"history": "history_away"}
WITHOUT_THE_LEDGER = ALL_WELL | {"admission": "cannot_tell", "command": "no_answer_yet"}
WITHOUT_KAFKA = ALL_WELL | {"usage": "kafka_away", "admission": "cannot_tell", "command": "kafka_away"}
"""What each kind of request is answered once a part is away: a status, or the code of a problem (503, 504)."""


class Answer(NamedTuple):
    """One answer, and the name of what was asked: an event's id, or a command's key."""

    asked_at: float
    what: str
    says: int | str
    name: str


class Load:
    """Everything a gate is asked, all the time, until the end of the block."""

    def __init__(self, world: GateWorld) -> None:
        self.world = world
        self.answers: list[Answer] = []
        self._number = 0
        self._is_over = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        askers = (self._usage, self._usage, self._usage, self._admission, self._command, self._history, self._readiness)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._again_and_again(asker)) for asker in askers]
            yield
            self._is_over = True
            await asyncio.gather(*tasks)

    async def comes_to(self, says: Says) -> None:
        """Wait until each kind of request that was asked after now is answered so."""
        began = time.monotonic()
        while (latest := self._latest(began)) != says:
            assert time.monotonic() < began + PATIENCE_SECONDS, f"it says {latest}, not {says}"
            await asyncio.sleep(0.05)

    def _latest(self, began: float) -> Says:
        return {answer.what: answer.says for answer in self.answers if answer.asked_at >= began}

    def named(self, what: str, *says: int | str) -> set[str]:
        return {answer.name for answer in self.answers if answer.what == what and answer.says in says}

    async def _again_and_again(self, asker: Callable[[str], Any]) -> None:
        while not self._is_over:
            self._number += 1
            name = f"{asker.__name__.strip('_')}-{self._number}"
            asked_at = time.monotonic()
            answer: httpx.Response = await asker(name)
            says = answer.status_code if answer.is_success else answer.json()["code"]
            assert answer.status_code in (200, 202, 503, 504), answer.text
            self.answers.append(Answer(asked_at, name.partition("-")[0], says, name))
            await asyncio.sleep(0.02)

    async def _usage(self, name: str) -> httpx.Response:
        return await self.world.call("POST", "/v1/events", usage(name, "acme", 1), of=PRODUCT)

    async def _admission(self, _: str) -> httpx.Response:
        asked_at = time.time()
        answer = await self.world.call("GET", f"{ORG}/members/mia/admission", of=PRODUCT)
        if answer.is_success:  # never from what is older than the bound
            assert asked_at - parse_instant(answer.json()["as_of"]) / 1e6 <= BOUND_SECONDS
        return answer

    async def _command(self, name: str) -> httpx.Response:
        return await give(self.world, name)

    async def _history(self, _: str) -> httpx.Response:
        return await self.world.call("GET", f"{ORG}/audit-log?limit=1", of="olga")

    async def _readiness(self, _: str) -> httpx.Response:
        return await self.world.http.get("/readyz")


async def give(world: GateWorld, name: str) -> httpx.Response:
    """One command under the same key however often it is sent."""
    limit = {"limit_usd": f"{1_000 + int(name.rpartition('-')[2])}.00"}
    return await world.call("PUT", f"{ORG}/spend-limit", limit, of="olga", headers={"idempotency-key": name})


async def the_ledger_runs(world: GateWorld) -> None:
    """Wait until it has said how far it is."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (await world.call("GET", f"{ORG}/members/mia/admission", of=PRODUCT)).is_success:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def counted(history: History, query: str, enough: Callable[[dict[str, int]], bool]) -> dict[str, int]:
    """How often each name is there, once that is enough."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            rows = await history.rows(query, ("name", "count"))
            found = {row["name"]: row["count"] for row in rows}
            if enough(found):
                return found
            await asyncio.sleep(0.2)


async def test_whatever_is_away_the_gate_says_so_and_loses_nothing_it_accepted(
    kafka: EmbeddedKafka, clickhouse: EmbeddedClickHouse, fresh_name: Callable[[str], str], tmp_path: Path
) -> None:
    port = urlsplit(clickhouse.url).port or 0
    proxy = Proxy(free_port(), port)
    await proxy.open()
    direct = Settings(
        kafka_bootstrap_servers=kafka.bootstrap_servers,
        clickhouse_url=clickhouse.url,
        clickhouse_database=fresh_name("away"),
        topic_prefix=fresh_name("away") + ".",
        partitions=2,
        session_timeout_ms=3_000,
        data_dir=tmp_path,
        gate_port=free_port(),
        gate_dev_tokens=True,
        gate_as_of_seconds=BOUND_SECONDS,
        gate_answer_seconds=ANSWER_SECONDS,
        gate_user_requests_per_second=10_000,
    )
    behind = direct.model_copy(update={"clickhouse_url": clickhouse.url.replace(f":{port}", f":{proxy.port}")})
    with contextlib.ExitStack() as ledgers:
        async with gate_running(behind) as world:
            ledger = ledgers.enter_context(process(direct, "ledger"))
            ledgers.enter_context(process(behind, "sink"))
            await the_ledger_runs(world)
            await make_organization(world, "acme")
            load = Load(world)
            async with load.running():
                await load.comes_to(ALL_WELL)

                await proxy.cut()
                await load.comes_to(WITHOUT_CLICKHOUSE)
                await proxy.open()
                await load.comes_to(ALL_WELL)

                ledger.kill()
                await load.comes_to(WITHOUT_THE_LEDGER)
                ledgers.enter_context(process(direct, "ledger"))
                await load.comes_to(ALL_WELL)

                os.kill(kafka.pid, signal.SIGSTOP)
                try:
                    await load.comes_to(WITHOUT_KAFKA)
                finally:
                    os.kill(kafka.pid, signal.SIGCONT)
                await load.comes_to(ALL_WELL)

            accepted, unsure = load.named("usage", 202), load.named("usage", "kafka_away")
            assert accepted
            assert unsure
            # What had no answer is sent again under its key until it has one: Kafka stood still for longer than a
            # session lasts, so the ledger may only now lose its partitions and claim them anew.
            applied = load.named("command", 200)
            for name in load.named("command", "no_answer_yet", "kafka_away"):
                async with asyncio.timeout(PATIENCE_SECONDS):
                    while (await give(world, name)).status_code != 200:  # noqa: ASYNC110  # nobody tells
                        await asyncio.sleep(0.1)
                applied.add(name)

        # The sink stores what it is behind by; only then is it told to end.
        history = History(direct.clickhouse_url, direct.clickhouse_database)
        query = "SELECT event_id AS name, count() AS count FROM priced_usage GROUP BY name"
        stored = await counted(history, query, lambda found: accepted <= set(found))
        assert set(stored) <= accepted | unsure
        assert set(stored.values()) == {1}
        query = (
            "SELECT JSONExtractString(event, 'data', 'after', 'limit_usd') AS name, count() AS count "
            "FROM account_events WHERE command = 'set_organization_limit' "
            "AND type = 'usage-credits.command.applied' GROUP BY name"
        )
        limits = {f"{1_000 + int(name.rpartition('-')[2])}.00" for name in applied}
        told = await counted(history, query, lambda found: limits <= set(found))
        assert (set(told), set(told.values())) == (limits, {1})
        await history.close()
    await proxy.cut()
