"""The demo's figures against a plain recomputation from the example files and the published list prices.

Nothing here comes from our pricing, importing or ledger code: rates are written down below, files are read line by
line, the story of pipeline/demo/feed.py is told again in a few lines.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pipeline.publisher import Outgoing, publish
from pipeline.settings import Settings
from pipeline.topics import ACCOUNT_COMMANDS
from tests.support.builders import as_json, command, user

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "claude_code"

# Dollars per million tokens in February 2026: input, output, cache read, cache write 5 m, cache write 1 h.
# No request of these logs has more than 200,000 tokens of context, so no long-context rate applies.
LIST_PRICES = {
    "claude-opus-4-6": ("5", "25", "0.50", "6.25", "10"),
    "claude-sonnet-4-5-20250929": ("3", "15", "0.30", "3.75", "6"),
    "claude-haiku-4-5-20251001": ("1", "5", "0.10", "1.25", "2"),
}

# examples/README.md: index of the member, by the hash of the session.
MEMBERS = [
    ("northwind", "bruno", "standard"),
    ("cinder", "chloe", "premium"),
    ("meridian", "mara", "premium"),
    ("northwind", "nadia", "premium"),
    ("meridian", "milan", "standard"),
    ("cinder", "caleb", "standard"),
    ("meridian", "moira", "standard"),
    ("cinder", "clara", "premium"),
    ("northwind", "nils", "standard"),
]


@dataclass(frozen=True)
class Request:
    at: str
    org_id: str
    user_id: str
    seat_tier: str
    is_included: bool
    usd: Decimal


def recomputed() -> list[Request]:
    """Every request of the example files, priced by hand, in the order of time."""
    last: dict[tuple[str, str], dict[str, Any]] = {}
    for path in sorted(EXAMPLES.rglob("*.jsonl")):
        for line in path.read_text().splitlines():
            delivery = json.loads(line)
            last[delivery["message"]["id"], delivery["requestId"]] = delivery
    by_session: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for delivery in last.values():
        by_session[delivery["sessionId"]].append(delivery)
    requests = []
    for session, deliveries in by_session.items():
        member = MEMBERS[int(sha256(session.encode()).hexdigest()[:16], 16) % len(MEMBERS)]
        deliveries.sort(key=lambda delivery: (delivery["timestamp"], delivery["message"]["id"]))
        for number, delivery in enumerate(deliveries):
            requests.append(Request(delivery["timestamp"], *member, number < 25, usd_of(delivery["message"])))
    return sorted(requests, key=lambda request: request.at)


def usd_of(message: dict[str, Any]) -> Decimal:
    usage = message["usage"]
    written = usage["cache_creation"]
    tokens = (
        usage["input_tokens"],
        usage["output_tokens"],
        usage["cache_read_input_tokens"],
        written["ephemeral_5m_input_tokens"],
        written["ephemeral_1h_input_tokens"],
    )
    assert sum(tokens) - usage["output_tokens"] <= 200_000
    rates = LIST_PRICES[message["model"]]
    return sum((Decimal(rate) * count / 1_000_000 for rate, count in zip(rates, tokens, strict=True)), Decimal(0))


def northwinds_story(requests: list[Request]) -> tuple[list[tuple[str, Decimal, Decimal]], Decimal]:
    """Breaches (when, limit, spend) and what was spent while paused: $15, then $28 from 12 February 09:00."""
    limit, spend, while_paused = Decimal(15), Decimal(0), Decimal(0)
    breaches = []
    is_paused = False
    for request in requests:
        if request.org_id != "northwind" or request.is_included:
            continue
        if limit == 15 and request.at >= "2026-02-12T09:00:00":
            limit, is_paused = Decimal(28), False
        spend += request.usd
        while_paused += request.usd if is_paused else 0
        if spend >= limit and not is_paused:
            is_paused = True
            breaches.append((request.at, limit, spend))
    return breaches, while_paused


def sums(requests: list[Request], *keys: str) -> dict[tuple[str, ...], tuple[Decimal, Decimal]]:
    """Who → (spend, value of included usage)."""
    totals: dict[tuple[str, ...], list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for request in requests:
        totals[tuple(getattr(request, key) for key in keys)][request.is_included] += request.usd
    return {who: (spend, included) for who, (spend, included) in totals.items()}


def processes_of(data_dir: Path) -> list[str]:
    """Command lines of running processes that name the directory or have it as their settings' data_dir."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (process / "environ").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(data_dir) in command or f"DATA_DIR={data_dir}" in environment:
            found.append(command)
    return found


def start(data_dir: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", *arguments, "--data-dir", str(data_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The document that `usage-credits demo --json` writes; nothing of it runs any more."""
    data_dir = tmp_path_factory.mktemp("demo") / "var"
    process = start(data_dir, "demo", "--json")
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert processes_of(data_dir) == []
    document: dict[str, Any] = json.loads(out)
    return document


def figures(rows: list[dict[str, Any]], *keys: str) -> dict[tuple[str, ...], tuple[Decimal, Decimal]]:
    assert {row["month"] for row in rows} == {"2026-02"}
    return {tuple(row[key] for key in keys): (Decimal(row["spend_usd"]), Decimal(row["included_usd"])) for row in rows}


@pytest.mark.parametrize(
    ("table", "keys"),
    [("organizations", ["org_id"]), ("tiers", ["org_id", "seat_tier"]), ("members", ["org_id", "user_id"])],
)
def test_month_to_date_is_what_the_files_and_the_list_prices_say(
    demo: dict[str, Any], table: str, keys: list[str]
) -> None:
    assert figures(demo[table], *keys) == sums(recomputed(), *keys)


def test_the_limit_is_reached_by_the_event_that_reaches_it(demo: dict[str, Any]) -> None:
    breaches, while_paused = northwinds_story(recomputed())
    assert len(breaches) == 2
    assert [
        (breach["org_id"], breach["at"], Decimal(breach["limit_usd"]), Decimal(breach["spend_usd"]))
        for breach in demo["breaches"]
    ] == [("northwind", at, limit, spend) for at, limit, spend in breaches]
    for breach in demo["breaches"]:
        assert Decimal(breach["overshoot_usd"]) == Decimal(breach["spend_usd"]) - Decimal(breach["limit_usd"])
        assert breach["paused_until"] == "2026-03-01T00:00:00Z"
    after_pause = {row["org_id"]: Decimal(row["after_pause_usd"]) for row in demo["organizations"]}
    assert after_pause == {"northwind": while_paused, "meridian": Decimal(0), "cinder": Decimal(0)}


def test_raising_the_limit_resumes_and_only_an_owner_may(demo: dict[str, Any]) -> None:
    assert [(resume["org_id"], resume["at"]) for resume in demo["resumes"]] == [("northwind", "2026-02-12T09:00:00Z")]
    assert [(refusal["actor"]["id"], refusal["reason"]) for refusal in demo["refusals"]] == [("bruno", "not_allowed")]


def test_every_event_sent_is_accounted_for(demo: dict[str, Any]) -> None:
    requests = len(recomputed())
    # Every 50th request is sent twice; 12 mishaps and one bad event among good ones; one event is forwarded.
    twice, bad, forwarded = requests // 50, 13, 1
    assert demo["events"] == {
        "read": requests + twice + bad + forwarded,
        "accepted": requests,
        "duplicates": twice,
        "dead_letters": bad,
        "forwarded": forwarded,
    }


def test_each_bad_event_has_its_reason(demo: dict[str, Any]) -> None:
    assert Counter(letter["reason"] for letter in demo["dead_letters"]) == {
        "malformed": 1,
        "too_large": 1,
        "invalid": 2,
        "unknown_field": 1,
        "count_too_large": 1,
        "in_the_future": 1,
        "too_old": 1,
        "unknown_organization": 1,
        "unknown_member": 1,
        "unknown_model": 1,
        "unpriced": 1,
        "conflict": 1,
    }


def test_kafka_clickhouse_and_state_agree(demo: dict[str, Any]) -> None:
    assert demo["agree"] is True
    assert all(claim["agrees"] for claim in demo["proof"])
    spend = {claim["what"]: set(claim["values"].values()) for claim in demo["proof"]}
    for row in demo["organizations"]:
        assert spend[f"spend of {row['org_id']}, 2026-02"] == {row["spend_usd"]}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_no_process_behind(tmp_path: Path, number: signal.Signals) -> None:
    data_dir = tmp_path / "var"
    process = start(data_dir, "demo")
    assert process.stdout is not None
    for line in process.stdout:
        if "topics," in line:
            break
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert processes_of(data_dir) == []


def test_up_stays_until_it_is_asked_to_stop_and_takes_an_event_and_writes_a_mail_meanwhile(tmp_path: Path) -> None:
    data_dir = tmp_path / "var"
    process = start(data_dir, "up", "--demo")
    try:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("Logs:"):
                break
        exported = dict(re.findall(r"export (\w+)=(\S+)", "".join(said)))
        environment = {**os.environ, **exported}
        limit = command("set_user_limit", user("nadia"), org_id="northwind", user_id="nadia", limit_usd="0.01")
        settings = Settings(kafka_bootstrap_servers=exported["KAFKA_BOOTSTRAP_SERVERS"])
        asyncio.run(publish(settings, [Outgoing(ACCOUNT_COMMANDS.name, b"northwind", as_json(limit), 0)]))
        published = subprocess.run(
            [sys.executable, "examples/publish.py"],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert published.returncode == 0, published.stderr
        rows = eventually_stored(environment)
        while not list((data_dir / "mails").glob("nadia-northwind-example-You-have-reached-your-spend-limit-*.html")):
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 0
    finally:
        if process.poll() is None:
            process.kill()  # what it started ends with it
            process.communicate()
    assert processes_of(data_dir) == []
    # 1,200 x $3 + 800 x $15 + 45,000 x $0.30 per million tokens.
    assert [(row["user_id"], Decimal(row["cost_usd"])) for row in rows] == [("nadia", Decimal("0.0291"))]


def eventually_stored(environment: dict[str, str]) -> list[dict[str, Any]]:
    """The priced rows, once there are any; pytest's own timeout bounds the wait."""
    sql = "SELECT user_id, cost_usd FROM priced_usage"
    while True:
        answer = subprocess.run(
            [sys.executable, "-m", "pipeline.cli", "query", "--json", sql],
            env=environment, cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if answer.returncode == 0 and (rows := json.loads(answer.stdout)):
            return list(rows)


def test_a_directory_that_is_no_demos_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    process = start(tmp_path, "demo")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "holds something that is no demo's" in err
    assert (tmp_path / "thesis.txt").exists()
