"""examples/breaches.py beside the real ledger: killed and started again, its book has each breach once."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.settings import Settings
from pipeline.topics_admin import create_topics
from tests.support.builders import add_member, register, searches, set_credits, set_limit
from tests.support.dead_letter_desk import ROOT, ledger, now, send_commands, send_usage
from tests.support.sink_world import until

pytestmark = pytest.mark.kafka

ORGANIZATIONS = 6


async def test_killed_at_its_first_word_and_in_the_middle_it_enters_each_breach_once(
    kafka: EmbeddedKafka, topic_prefix: str, tmp_path: Path
) -> None:
    settings = Settings(kafka_bootstrap_servers=kafka.bootstrap_servers, topic_prefix=topic_prefix, partitions=2)
    await create_topics(settings)
    book = tmp_path / "breaches.db"
    async with ledger(settings):
        await breach(settings, range(ORGANIZATIONS // 2))
        with running(settings, book) as first:
            await asyncio.to_thread(first.stdout.readline)  # said inside its transaction
            first.send_signal(signal.SIGKILL)
        with running(settings, book) as second:
            await until(lambda: has(book, ORGANIZATIONS // 2), "the first breaches are in the book")
            await breach(settings, range(ORGANIZATIONS // 2, ORGANIZATIONS))
            await asyncio.to_thread(second.stdout.readline)
            second.send_signal(signal.SIGKILL)
        with running(settings, book):
            await until(lambda: has(book, ORGANIZATIONS), "all breaches are in the book")
        assert entered(book) == [f"org-{number}" for number in range(ORGANIZATIONS)]
    # From the beginning once more, as after a restored disk: an event has the same id for ever.
    with closing(sqlite3.connect(book)) as opened, opened:
        opened.execute("DELETE FROM places")
    with running(settings, book) as again:
        said = [await asyncio.to_thread(again.stdout.readline) for _ in range(ORGANIZATIONS)]
    assert all("which the book has already" in line for line in said)
    assert entered(book) == [f"org-{number}" for number in range(ORGANIZATIONS)]


async def breach(settings: Settings, numbers: range) -> None:
    """Organisations that reach a limit of a dollar."""
    for org_id in (f"org-{number}" for number in numbers):
        accounts = (register(org_id), set_credits(org_id=org_id), add_member(org_id=org_id))
        await send_commands(settings, *accounts, set_limit("1.00", org_id=org_id))
        await send_usage(settings, searches(f"all-of-{org_id}", cents=100, org_id=org_id, occurred_at=now()))


@contextmanager
def running(settings: Settings, book: Path) -> Iterator["subprocess.Popen[str]"]:
    environment = os.environ | {
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "TOPIC_PREFIX": settings.topic_prefix,
    }
    command = [sys.executable, "examples/breaches.py", str(book)]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


async def has(book: Path, count: int) -> bool:
    return len(entered(book)) >= count


def entered(book: Path) -> list[str]:
    """Whose breaches the book has, in order of their names."""
    with closing(sqlite3.connect(book)) as opened:
        return [org_id for (org_id,) in opened.execute("SELECT org_id FROM breaches ORDER BY org_id")]
