"""Every command that the documentation shows: run here, run by the test that is named, or listed with why it is not.

A system as `usage-credits up --demo` starts it takes them page by page, in a folder that looks like a clone; what runs
until it is told to end runs beside the rest of its block. A new command on a page is run without anybody's doing
anything; if it cannot be, it fails until a list below says why.
"""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import pytest

from pipeline.embedded.ports import free_port
from tests.support.documents import KINDS, PAGES, ROOT, Command, blocks, commands

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, and hands that on

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]


class Excused(NamedTuple):
    """Commands of a page that match a pattern are not run here: what is typed and, in the next lines, what is shown."""

    page: str
    pattern: str
    why: str


EXCUSED = (
    Excused("README.md", r"make demo", "run by test_demo.py"),
    Excused("README.md", r"make (test|audit|chaos|fuzz)", "minutes to hours; what they do is done small by tests"),
    Excused("README.md", r"usage-credits up --demo", "what runs here is started so"),
    Excused("pipeline/gate/README.md", r"usage-credits up --demo", "what runs here is started so"),
    Excused("docs/analysts.md", r"usage-credits (query|export) (?!.*var/demo)", "run by test_analysts.py"),
    Excused("docs/analysts.md", r".* --data-dir var/demo", "takes what `make demo` leaves: run by test_proof.py"),
    Excused("docs/billing.md", r"usage-credits ", "run by test_invoices.py"),
    Excused("docs/benchmarks.md", r"make bench-all|python -m benchmarks all", "half an hour, in other environments"),
    Excused(
        "docs/reliability.md",
        r"make (fuzz|chaos)|python -m tests.fuzz|usage-credits chaos",
        "test_fuzz.py, test_chaos.py",
    ),
    Excused("docs/operations.md", r"export KAFKA_BOOTSTRAP_SERVERS=kafka-1", "names servers of a cluster"),
    Excused(
        "docs/operations.md", r"kafka-configs.sh|.*ledger-2|kill ", "takes a Kafka with users: test_secured_parts.py"
    ),
    Excused("docs/operations.md", r"usage-credits topics --check", "the old user is refused: test_secured_parts.py"),
    Excused("docs/operations.md", r"grep ", "logs as JSON: test_gate_logs.py looks by the same ids"),
    Excused("docs/operations.md", r"clickhouse-client", "takes a server; test_sink_service.py drops a database"),
    Excused("docs/operations.md", r"usage-credits (topics\ncreated|prove\n46 events)", "tried with two versions"),
    Excused(
        "docs/operations.md",
        r"usage-credits (dead-letters.*|query .*)\n.*(927ca|1 dead|opus-9)",
        "with two price books",
    ),
    Excused("docs/operations.md", r"usage-credits invoice", "takes a month's end: test_invoices.py"),
    Excused(
        "docs/operations.md", r"CLICKHOUSE_DATABASE=usage_credits_2", "other sinks must rest: test_sink_service.py"
    ),
    Excused("docs/operations.md", r"usage-credits rebuild", "run by test_rebuild_live.py"),
)


class Endless(NamedTuple):
    """What runs until it is told to end, and what it says once it does, if its page shows no more."""

    pattern: str
    sign: str


ENDLESS = (
    Endless(r"usage-credits ledger", "…Ledger]: Starting..."),
    Endless(r"usage-credits sink", "…holding…"),
    Endless(r"usage-credits gate", "…Uvicorn running on…"),
    Endless(r"usage-credits mailer", "…mailing for…"),
    Endless(r"usage-credits prove .*--every", "{…"),
    Endless(r"python examples/(payments|breaches)", ""),
)

LOOKS = re.compile(r"usage-credits (query|status)|python examples/questions")
"""What only looks, and may have looked too early: asked again until it shows what the page shows."""

FIRST = "examples/README.md"
"""The page that makes the data which others look at."""

PATIENCE_SECONDS = 60.0


class Running:
    """A line in a shell, and what it has said so far."""

    def __init__(self, text: str, folder: Path, environment: dict[str, str]) -> None:
        self.text = text
        self._output = folder / f"said-{time.monotonic_ns()}"
        answers = folder / "answers"
        answers.write_text("y\n")  # to what asks before it does something
        with self._output.open("wb") as output, answers.open("rb") as typed:
            self.process = subprocess.Popen(
                ["bash", "-o", "pipefail", "-c", text],
                cwd=folder,
                env=environment,
                stdin=typed,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self._output.read_text(errors="replace")

    def says(self, printed: str) -> bool:
        """Wait until it has said all that, or has ended."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not shows(self.said, printed):
            if self.process.poll() is not None or time.monotonic() > deadline:
                return shows(self.said, printed)
            time.sleep(0.05)
        return True

    def ended(self) -> int:
        """Its exit code, when it has come to its end, or was killed because it does not."""
        try:
            return self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            return self.process.wait()

    def stop(self) -> int:
        """Its exit code, told to end as by Ctrl-C."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        return self.ended()


def shows(output: str, printed: str) -> bool:
    """Whether the lines of a page are there, in their order. Any figures will do, and `…` is anything."""
    lines = iter([" ".join(line.split()) for line in output.splitlines()])
    return all(any(_like(line).fullmatch(found) for found in lines) for line in printed.splitlines() if line.strip())


def _like(line: str) -> "re.Pattern[str]":
    words = re.escape(" ".join(line.split())).replace("…", ".*")
    return re.compile(re.sub(r"\d+(?:(?:,|\\\.)\d+)*", r"[\\d.,]+", words))


class Clone:
    """A folder that looks like a clone, a system that runs in it, and a shell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder / "home"),
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
            "SMTP_HOST": "127.0.0.1",
            "MAIL_FROM": "usage@example.com",
            "PYTHONPATH": str(ROOT),
        }
        self.real: dict[str, str] = {}
        self.started: list[Running] = []
        self._run: set[str] = set()
        for name in ("docs", "examples", "tests", "Makefile"):
            (folder / name).symlink_to(ROOT / name)
        (folder / ".venv").symlink_to(sys.prefix)
        (folder / "home" / ".claude").mkdir(parents=True)
        (folder / "home" / ".claude" / "projects").symlink_to(ROOT / "examples" / "claude_code")
        others = ROOT / "tests" / "data" / "importers"
        for name, shown in (
            ("litellm_spend_logs.json", "spend-logs.json"),
            ("otel_spans.jsonl", "spans.jsonl"),
            ("anthropic_usage.json", "usage.json"),
            ("anthropic_cost.json", "cost.json"),
        ):
            (folder / shown).symlink_to(others / name)
        with (folder / "requests.csv").open("w", newline="") as file:
            heads = ("time", "user_id", "product", "model", "prompt", "output_tokens")
            csv.writer(file).writerows((heads, ("2026-11-20T10:00:00Z", "ann", "chat", "claude-sonnet-4-6", 1_000, 20)))

    def start(self, text: str) -> Running:
        """Start a line as it is typed, with what can only be known here in place of what the page has."""
        for shown, here in self.real.items():
            text = text.replace(shown, here)
        if re.search(r"\bID\b", text):
            text = re.sub(r"\bID\b", self._dead_letter(), text)
        self.started.append(Running(text, self.folder, self.environment))
        return self.started[-1]

    def _dead_letter(self) -> str:
        """The id of one that waits."""
        listing = self.start("usage-credits dead-letters list --open --limit 1 --json")
        assert listing.ended() == 0, listing.said
        return str(json.loads(listing.said)["dead_letters"][0]["dead_letter_id"])

    def has_run(self, command: Command) -> bool:
        """Whether the same was run before; what shows something is run again."""
        before = bare(command.text) in self._run
        self._run.add(bare(command.text))
        return before and not command.printed


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """`usage-credits up --demo` has been typed, and what it tells to export is."""
    made = Clone(tmp_path_factory.mktemp("clone"))
    up = made.start(".venv/bin/usage-credits up --demo")
    try:
        assert up.says("Everything runs. …\n…\nLogs: …"), up.said
        made.environment |= dict(re.findall(r"export (\w+)=(\S+)", up.said))
        page = re.search(r"The page: http://127.0.0.1:(\d+)", up.said)
        assert page
        made.environment["GATE_PORT"] = page[1]
        made.real |= {
            "127.0.0.1:8080": f"127.0.0.1:{page[1]}",
            "https://… usage-credits gate": f"http://127.0.0.1:1 GATE_PORT={free_port()} usage-credits gate",
            "mail.example.com MAIL": f"127.0.0.1 SMTP_PORT={free_port()} MAIL",
            "REPLICATION_FACTOR=3 PARTITIONS=16": "REPLICATION_FACTOR=1 PARTITIONS=4",
        }
        made.real |= {f"METRICS_PORT={port}": f"METRICS_PORT={free_port()}" for port in (9100, 9101, 9102)}
        yield made
    finally:
        codes = [running.stop() for running in reversed(made.started)]
        assert codes[-1] == 0, up.said


def bare(text: str) -> str:
    """A command without settings before it, nor where it lies."""
    return re.sub(r"^(\w+=('[^']*'|\S+) +)*(\.venv/bin/)?", "", text)


def excuse(command: Command) -> str | None:
    """Why a command is not run here."""
    texts = [f"{text}\n{command.printed}" for text in (command.text.removeprefix(".venv/bin/"), bare(command.text))]
    return next(
        (one.why for one in EXCUSED if one.page == command.page and any(re.match(one.pattern, text) for text in texts)),
        None,
    )


def test_every_block_says_what_it_is_and_commands_lie_in_none_but_their_own() -> None:
    """So that no command escapes by how it is written."""
    for page in PAGES:
        for block in blocks(page):
            where = f"{page}:{block.line}"
            assert block.kind in KINDS, f"{where}: a block says which of {', '.join(sorted(KINDS))} it is"
            looks = re.search(
                r"^(\$ .*|(\S+=\S+ )*(\.venv/bin/|usage-credits |python |make ).*)", block.text, re.MULTILINE
            )
            assert block.kind in ("sh", "console") or looks is None, f"{where}: {looks and looks[0]}"


def test_no_excuse_outlives_its_command() -> None:
    shown = [command for page in PAGES for command in commands(page)]
    for one in EXCUSED:
        assert any(excuse(command) == one.why for command in shown if command.page == one.page), one


@pytest.mark.timeout(900)
@pytest.mark.long
def test_every_command_runs(clone: Clone) -> None:
    wrong: list[str] = []
    for page in sorted(PAGES, key=lambda page: page != FIRST):
        for line, block in groupby(commands(page), key=lambda command: command.line):
            wrong += [f"{page}:{line}: {problem}" for problem in run_block(clone, list(block))]
    assert not wrong, "\n\n".join(wrong)


def run_block(clone: Clone, block: list[Command]) -> Iterator[str]:
    """Go through a block as a reader does; what is endless runs until its end."""
    endless: list[Running] = []
    assigned = ""
    for command in block:
        if excuse(command) or clone.has_run(command):
            continue
        if re.match(r"(export )?\w+=\$\(.*\)$", command.text):
            assigned += command.text + "\n"
            continue
        lasts = next((one for one in ENDLESS if re.match(one.pattern, bare(command.text))), None)
        running = clone.start(assigned + command.text)
        if lasts:
            endless.append(running)
            if not running.says(command.printed or lasts.sign):
                yield f"{command.text}\n{running.said}"
            continue
        code = running.ended()
        if LOOKS.match(bare(command.text)):
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not shows(running.said, command.printed) and time.monotonic() < deadline:
                running = clone.start(assigned + command.text)
                code = running.ended()
        if code or not shows(running.said, command.printed):
            yield f"{command.text}: exit code {code}\n{running.said}"
    for running in endless:
        is_running, code = running.process.poll() is None, running.stop()
        if code or not is_running:
            yield f"{running.text}: exit code {code}\n{running.said}"
