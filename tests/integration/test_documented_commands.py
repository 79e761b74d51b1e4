"""Every command that the documentation shows: run here, run by the test that is named, or listed with why it is not.

A system as `usage-credits up --demo` starts it takes them page by page, in a folder that looks like a clone; what runs
until it is told to end runs beside the rest of its block. A new command on a page is run without anybody's doing
anything; if it cannot be, it fails until a list below says why.
"""

import csv
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

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]


class Excused(NamedTuple):
    """Commands of a page that match a pattern are not run here; why, or by which test they are."""

    page: str
    pattern: str
    why: str


EXCUSED = (
    Excused("README.md", r"make demo", "run by test_demo.py"),
    Excused("README.md", r"make (test|audit|chaos|fuzz)", "minutes to hours; what they do is done small by tests"),
    Excused("README.md", r"usage-credits up --demo", "what runs here is started so"),
    Excused("pipeline/gate/README.md", r"usage-credits up --demo", "what runs here is started so"),
    Excused("docs/analysts.md", r"usage-credits (query|export) (?!.*var/demo)", "run by test_analysts.py"),
    Excused("docs/billing.md", r"usage-credits ", "run by test_invoices.py"),
    Excused("docs/benchmarks.md", r"make bench-all|python -m benchmarks all", "half an hour, in other environments"),
    Excused("docs/reliability.md", r"make (fuzz|chaos)|usage-credits chaos", "minutes; test_fuzz.py, test_chaos.py"),
)

ENDLESS = re.compile(r"usage-credits (ledger|sink|gate|mailer|prove .*--every)|python examples/(payments|breaches)")
"""What runs until it is told to end. It must show what its page shows, and still run at the end of its block."""

FIRST = "examples/README.md"
"""The page that makes the data which others look at."""

PATIENCE_SECONDS = 60.0


class Running:
    """A line in a shell, and what it has said so far."""

    def __init__(self, text: str, folder: Path, environment: dict[str, str]) -> None:
        self.text = text
        self._output = folder / f"said-{time.monotonic_ns()}"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                ["bash", "-o", "pipefail", "-c", text],
                cwd=folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        assert self.process.stdin is not None
        self.process.stdin.write(b"y\n")  # to what asks before it does something
        self.process.stdin.close()

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
        """Its exit code, when it has come to its end."""
        return self.process.wait(PATIENCE_SECONDS)

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
            "PYTHONPATH": str(ROOT),
        }
        self.real: dict[str, str] = {}
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
        return Running(text, self.folder, self.environment)

    def run(self, text: str) -> str:
        """What a line says that ends well."""
        running = self.start(text)
        assert running.ended() == 0, running.said
        return running.said


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
        assert up.stop() == 0, up.said


def excuse(command: Command) -> str | None:
    """Why a command is not run here."""
    text = command.text.removeprefix(".venv/bin/")
    return next(
        (one.why for one in EXCUSED if one.page == command.page and re.match(one.pattern, text)),
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


def test_every_command_runs(clone: Clone) -> None:
    wrong: list[str] = []
    for page in sorted(PAGES, key=lambda page: page != FIRST):
        for line, block in groupby(commands(page), key=lambda command: command.line):
            wrong += [f"{page}:{line}: {problem}" for problem in run_block(clone, list(block))]
    assert not wrong, "\n\n".join(wrong)


def run_block(clone: Clone, block: list[Command]) -> Iterator[str]:
    """Go through a block as a reader does; what is endless runs until its end."""
    endless: list[tuple[Command, Running]] = []
    said_before = ""
    for command in block:
        if excuse(command):
            continue
        if re.match(r"(export )?\w+=\$?\S*(\(.*\))?$", command.text):
            said_before += command.text + "\n"
            continue
        running = clone.start(said_before + command.text)
        if ENDLESS.search(command.text):
            endless.append((command, running))
            if command.printed and not running.says(command.printed):
                yield f"{command.text}\n{running.said}"
            continue
        code = running.ended()
        if code or not shows(running.said, command.printed):
            yield f"{command.text}: exit code {code}\n{running.said}"
    for command, running in endless:
        was_running = running.process.poll() is None
        code = running.stop()
        if code or not was_running:
            yield f"{command.text}: exit code {code}\n{running.said}"
