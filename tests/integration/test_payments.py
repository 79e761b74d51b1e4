"""examples/payments.py beside the real ledger on a real Kafka: Team's credits run out, are bought, and go on."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pipeline.demo.reading import read_topics
from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.replay import read_event
from pipeline.settings import Settings
from pipeline.topics import ACCOUNT_EVENTS, INVOICES, LEDGER_ENTRIES, LIMIT_BREACHES, NOTIFICATIONS, RELOAD_REQUESTS
from pipeline.topics_admin import create_topics
from schemas.events import CommandRepeated, CreditsPaused, CreditsResumed, LedgerEvent
from schemas.invoices import PaymentReceived
from schemas.ledger import LedgerEntry, PurchaseRequested, ReloadRequested
from schemas.notifications import AutoReloadSuspended
from tests.support.builders import (
    BILLING,
    CENT_PICOUSD,
    DOLLAR_PICOUSD,
    add_member,
    command,
    register,
    searches,
    set_credits,
)
from tests.support.dead_letter_desk import ROOT, ledger, now, send_commands, send_usage
from tests.support.sink_world import until

pytestmark = pytest.mark.kafka

TOPICS = (ACCOUNT_EVENTS, INVOICES, LEDGER_ENTRIES, LIMIT_BREACHES, NOTIFICATIONS, RELOAD_REQUESTS)
RELOAD = {"enabled": True, "threshold_usd": "2.00", "amount_usd": "20.00", "monthly_maximum_usd": None}


@pytest.fixture
async def settings(kafka: EmbeddedKafka, topic_prefix: str) -> Settings:
    settings = Settings(kafka_bootstrap_servers=kafka.bootstrap_servers, topic_prefix=topic_prefix, partitions=1)
    await create_topics(settings)
    return settings


async def test_a_reload_is_asked_for_and_paid_and_credits_resume(settings: Settings) -> None:
    async with ledger(settings):
        with payments(settings):
            await send_commands(settings, register(plan="team"), set_credits(), add_member())
            await send_commands(settings, command("buy_credits", command_id="buy", amount_usd="10.00"))
            await happens(settings, LedgerEntry, 1)
            await send_commands(settings, command("set_auto_reload", command_id="auto", **RELOAD))
            await send_usage(settings, searches("all-of-it", cents=1_050, occurred_at=now()))
            await happens(settings, CreditsResumed, 2)
        assert await told(settings, PurchaseRequested, ReloadRequested) == [
            ("PurchaseRequested", 10 * DOLLAR_PICOUSD),
            ("ReloadRequested", 20 * DOLLAR_PICOUSD),
        ]
        # 10.00 - 10.50 = -0.50, and 20.00 more: the debt is netted first.
        assert await told(settings, CreditsPaused, CreditsResumed) == [
            ("CreditsPaused", 0),
            ("CreditsResumed", 10 * DOLLAR_PICOUSD),
            ("CreditsPaused", -DOLLAR_PICOUSD // 2),
            ("CreditsResumed", 195 * DOLLAR_PICOUSD // 10),
        ]
        entries = await happens(settings, LedgerEntry, 1)

        with payments(settings, "--group", "forgetful"):  # it answers everything once more
            await happens(settings, CommandRepeated, 2)
        assert await happens(settings, LedgerEntry, 1) == entries


async def test_a_reload_that_fails_suspends_auto_reload(settings: Settings) -> None:
    async with ledger(settings):
        with payments(settings, "--fail", "100"):
            await send_commands(settings, register(plan="team"), set_credits())
            await send_commands(settings, command("set_auto_reload", command_id="auto", **RELOAD))
            (suspended,) = await happens(settings, AutoReloadSuspended, 1)
        assert suspended.reason == "failed"


async def test_an_invoice_is_paid(settings: Settings) -> None:
    """That of a plan which is left, since a month's end is far off."""
    async with ledger(settings):
        with payments(settings):
            await send_commands(settings, register(), set_credits(), add_member())
            await send_usage(settings, searches("some", cents=1_050, occurred_at=now()))
            await happens(settings, LedgerEntry, 1)
            leaves = command("change_plan", BILLING, command_id="leaves", plan="team")
            await send_commands(settings, leaves)
            (paid,) = await happens(settings, PaymentReceived, 1)
        assert (paid.invoice_number, paid.amount_picousd, paid.open_picousd) == (1, 1_050 * CENT_PICOUSD, 0)


@contextmanager
def payments(settings: Settings, *arguments: str) -> Iterator[None]:
    """The example as a process of its own, killed at the end."""
    environment = os.environ | {
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "TOPIC_PREFIX": settings.topic_prefix,
    }
    process = subprocess.Popen([sys.executable, "examples/payments.py", *arguments], cwd=ROOT, env=environment)
    try:
        yield
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


async def happens(settings: Settings, kind: type[LedgerEvent], count: int) -> list[Any]:
    """All events of a kind, once there are so many."""
    found: list[LedgerEvent] = []

    async def enough() -> bool:
        found[:] = [event for event in await _published(settings) if isinstance(event, kind)]
        return len(found) >= count

    await until(enough, f"{count} × {kind.__name__}")
    return found


async def told(settings: Settings, *kinds: type[LedgerEvent]) -> list[tuple[str, int]]:
    """Kind, and amount or balance, of every event of these kinds."""
    events: list[Any] = [event for event in await _published(settings) if isinstance(event, kinds)]
    return [
        (type(event).__name__, event.amount_picousd if hasattr(event, "amount_picousd") else event.balance_picousd)
        for event in events
    ]


async def _published(settings: Settings) -> list[LedgerEvent]:
    records = await read_topics(settings, TOPICS)
    return [read_event(record.value) for topic in TOPICS for record in records[topic.name]]
