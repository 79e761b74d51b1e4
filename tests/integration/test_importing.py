"""`usage-credits import` on a real Kafka: what is sent is sent once, and a run that was killed is taken up again."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import main
from pipeline.demo.reading import ledger_has_read_everything, read_topics
from pipeline.demo.system import environment
from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.publisher import Outgoing, publish
from pipeline.settings import Settings
from pipeline.topics import ACCOUNT_COMMANDS, PRICED_USAGE, USAGE_EVENTS
from tests.support.builders import CENT_PICOUSD, add_member, as_json, micros, register, set_credits

pytestmark = pytest.mark.kafka

WHOSE = ("--org-id", "acme", "--user-id", "ann", "--product", "chat")
BEGINS = "2026-09-14T10:00:00Z"


@pytest.fixture
async def settings(
    kafka: EmbeddedKafka, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """Topics of its own."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_servers)
    monkeypatch.setenv("TOPIC_PREFIX", topic_prefix)
    monkeypatch.setenv("PARTITIONS", "1")
    monkeypatch.setenv("MODE", "replay")
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "var"))
    assert (await run("topics")).exit_code == 0
    return Settings()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return requests(tmp_path, 7)


def requests(folder: Path, count: int, day: str = "2026-09-14") -> Path:
    """A file of so many requests, the latest first, each of which costs a cent."""
    rows = [
        f"{day}T10:{second // 60 % 60:02}:{second % 60:02}Z,e-{second},claude-sonnet-4-6,1"
        for second in reversed(range(count))
    ]
    (path := folder / "requests.csv").write_text(
        "\n".join(["occurred_at,event_id,model,web_search_requests", *rows]) + "\n"
    )
    return path


async def run(*arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, main, list(arguments))


async def imported(file: Path, *arguments: str) -> tuple[int, int]:
    """How many events were sent now, and records before."""
    answer = json.loads((await run("import", "csv", str(file), *WHOSE, "--json", *arguments)).stdout)
    return answer["sent"], answer["sent_before"]


async def ids(settings: Settings) -> list[str]:
    """Of all events in Kafka."""
    records = (await read_topics(settings, [USAGE_EVENTS]))[USAGE_EVENTS.name]
    return [json.loads(record.value)["id"] for record in records if record.value]  # a tick has none


async def test_all_is_sent_once_in_the_order_of_time_and_again_when_asked(file: Path, settings: Settings) -> None:
    assert await imported(file) == (7, 0)
    assert await imported(file) == (0, 7)
    assert await ids(settings) == [f"e-{number}" for number in range(7)]
    assert await imported(file, "--again") == (7, 0)


async def test_what_another_kafka_has_this_one_has_not(
    file: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await imported(file) == (7, 0)
    monkeypatch.setenv("TOPIC_PREFIX", settings.topic_prefix + "other.")
    assert (await run("topics")).exit_code == 0
    assert await imported(file) == (7, 0)


@pytest.mark.parametrize("spoilt", ["yesterday", "2026-09-14"])  # found when it is read; by nobody's being named
async def test_what_became_no_event_is_told_again_by_the_next_run(
    spoilt: str, tmp_path: Path, settings: Settings
) -> None:
    file = requests(tmp_path, 7, spoilt)
    for _ in range(2):
        ended = await run("import", "csv", str(file))
        assert (ended.exit_code, "sent before" in ended.stdout) == (1, False), ended.stdout
        assert "Error: not one of 7 records became an event" in ended.stderr
    assert await ids(settings) == []


async def test_a_run_that_is_killed_is_taken_up_again_and_each_event_is_charged_once(
    settings: Settings, tmp_path: Path
) -> None:
    count, at = 10_000, micros(BEGINS)
    file = requests(tmp_path, count)
    commands = [as_json(one) for one in (register(), set_credits(), add_member())]
    await publish(settings, [Outgoing(ACCOUNT_COMMANDS.name, b"acme", one, at - 1_000_000) for one in commands])
    noted = await asyncio.to_thread(_kill_in_the_midst, settings, file)
    assert 0 < noted < count

    sent, before = await imported(file)
    assert (sent + before, before >= noted) == (count, True)

    found = await ids(settings)
    assert set(found) == {f"e-{number}" for number in range(count)}
    with _ledger(settings) as ledger:
        await ledger_has_read_everything(settings, lambda _read, _there: None, lambda: _runs(ledger))
        records = (await read_topics(settings, [PRICED_USAGE]))[PRICED_USAGE.name]
    rows = [json.loads(line) for record in records for line in record.value.splitlines()]
    assert len(rows) == count
    assert sum(int(row["cost_picousd"]) for row in rows) == count * CENT_PICOUSD


def _kill_in_the_midst(settings: Settings, file: Path) -> int:
    """Start an import, kill it (-9) as soon as it has noted that Kafka has something; returns what it noted."""
    command = [sys.executable, "-m", "pipeline.cli", "import", "csv", str(file), *WHOSE]
    notes = settings.data_dir / "imports"
    with subprocess.Popen(command, env=environment(settings), stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not _notes(notes):
            time.sleep(0.002)
        process.kill()
    return _notes(notes)


def _notes(folder: Path) -> int:
    return max((int(note.read_text()) for note in folder.glob("*") if not note.suffix), default=0)


@contextmanager
def _ledger(settings: Settings) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "pipeline.cli", "ledger"]
    with subprocess.Popen(command, env=environment(settings), stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def _runs(process: "subprocess.Popen[bytes]") -> None:
    assert process.poll() is None
