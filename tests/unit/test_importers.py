"""Usage that other tools have recorded: small files in their own formats in, exactly these events out (R8, R9, R14)."""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import main
from pipeline.errors import Mendable
from pipeline.importers import readings
from pipeline.importers.anthropic_usage import ANTHROPIC_USAGE, cost_picousd
from pipeline.importers.csv_file import csv_format
from pipeline.importers.importing import find
from pipeline.importers.litellm import LITELLM
from pipeline.importers.otel import OTEL
from pipeline.importers.readings import Format, Told, instant
from pipeline.price_book import load_price_book
from schemas.usage import TOKEN_KINDS, UsageEvent
from tests.support.builders import micros

FILES = Path(__file__).parents[1] / "data" / "importers"
TOLD = Told(org_id="acme", user_id="somebody", product="api")


def read(kind: Format, *paths: str | Path) -> tuple[list[UsageEvent], Counter[str]]:
    with find(kind, [FILES / path for path in paths], TOLD) as found:
        return [event for _, event in found.events()], found.skipped


def tokens(event: UsageEvent) -> tuple[int, ...]:
    """Input, output, cache reads, writes of 5 minutes and of an hour, searches."""
    return (*(getattr(event, f"{kind}_tokens") for kind in TOKEN_KINDS), event.web_search_requests)


def test_litellm_counts_cached_tokens_among_prompt_tokens_and_we_do_not() -> None:
    (cached, plain), skipped = read(LITELLM, "litellm_spend_logs.json")
    assert tokens(cached) == (101_000 - 90_000 - 10_000, 500, 90_000, 10_000 - 4_000, 4_000, 2)
    assert (cached.event_id, cached.source, cached.user_id) == ("chatcmpl-8f1e2d", "litellm", "ann")
    assert cached.occurred_at_micros == micros("2026-09-14T18:13:42.617Z")
    assert (tokens(plain), plain.user_id) == ((100, 50, 0, 0, 0, 0), "ben")
    assert sum(skipped.values()) == 2
    assert any("own cache" in why for why in skipped)


def test_every_litellm_model_has_a_price() -> None:
    events, _ = read(LITELLM, "litellm_spend_logs.json")
    assert all(load_price_book().find(event.model) for event in events)


def test_input_tokens_of_spans_count_what_the_cache_read_and_wrote() -> None:
    (chat, plain), skipped = read(OTEL, "otel_spans.jsonl")
    assert tokens(chat) == (100 - 50 - 25, 180, 50, 25, 0, 0)
    assert (chat.event_id, chat.product) == ("5b8efff798038103d269b633813fc60c:eee19b7ec3c1b174", "helpdesk")
    assert (tokens(plain), plain.user_id, plain.model) == ((7, 3, 0, 0, 0, 0), "somebody", "claude-haiku-4-5")
    assert list(skipped) == ["no request to a model: gen_ai.operation.name is invoke_agent"]


@pytest.mark.parametrize(("also", "count"), [({}, 0), ({"gen_ai.usage.cache_read.input_tokens": 90}, 1)])
def test_cached_tokens_by_a_name_of_nobodys_conventions_are_not_left_out(
    also: dict[str, int], count: int, tmp_path: Path
) -> None:
    """Some count them among input tokens, some do not; beside the known name it does not matter."""
    said = {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.cache_read_input_tokens": 90} | also
    attributes = [{"key": key, "value": {"intValue": str(value)}} for key, value in said.items()]
    attributes += [
        {"key": key, "value": {"stringValue": value}}
        for key, value in {"gen_ai.operation.name": "chat", "gen_ai.request.model": "claude-haiku-4-5"}.items()
    ]
    span = {"traceId": "a", "spanId": "b", "startTimeUnixNano": "1789409622617000000", "attributes": attributes}
    (file := tmp_path / "spans.json").write_text(
        json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}),
    )
    events, skipped = read(OTEL, file)
    assert [tokens(event)[:3] for event in events] == [(10, 0, 90)] * count
    assert [why.split(" ")[0] for why in skipped] == ["gen_ai.usage.cache_read_input_tokens"] * (1 - count)


def test_more_cached_tokens_than_tokens_are_no_event(tmp_path: Path) -> None:
    row = json.loads((FILES / "litellm_spend_logs.json").read_text())["data"][0] | {"prompt_tokens": 99_999}
    file = tmp_path / "one.json"
    file.write_text(json.dumps([row]))
    events, skipped = read(LITELLM, file)
    assert (events, sum(skipped.values())) == ([], 1)


def test_a_bucket_is_cut_below_the_threshold_of_its_window_and_adds_up() -> None:
    """Sonnet 4.6 had its cliff at 200,000 tokens until March 2026 (R10)."""
    events, skipped = read(ANTHROPIC_USAGE, "anthropic_usage.json")
    short = [event for event in events if event.user_id == "user_01" and event.cache_read_tokens]
    prompts = [sum(tokens(event)[:5]) - event.output_tokens for event in short]
    assert (len(short), sum(prompts)) == (5, 1_500 + 900_000 + 1_000 + 500)
    assert max(prompts) <= 200_000
    assert [sum(kind) for kind in zip(*map(tokens, short), strict=True)] == [1_500, 5_001, 900_000, 500, 1_000, 10]
    (long,) = [event for event in events if event.input_tokens == 250_000]
    assert long.event_id not in {event.event_id for event in short}
    assert len({event.event_id for event in events}) == len(events)
    assert len(skipped) == 2


def test_no_event_has_more_tokens_of_a_kind_than_the_ledger_takes() -> None:
    events, _ = read(ANTHROPIC_USAGE, "anthropic_usage.json")
    batch = [event for event in events if event.processing == "batch"]
    assert ([event.input_tokens for event in batch], {event.inference_geo for event in batch}) == (
        [83_333_333, 83_333_334, 83_333_334],
        {""},
    )


def test_searches_of_a_bucket_are_cut_to_what_an_event_may_have(tmp_path: Path) -> None:
    """100,000 of an event (R17)."""
    bucket = json.loads((FILES / "anthropic_usage.json").read_text())["data"][0]
    many = bucket["results"][1] | {"server_tool_use": {"web_search_requests": 250_001}}
    (file := tmp_path / "usage.json").write_text(json.dumps({"data": [bucket | {"results": [many]}]}))
    events, skipped = read(ANTHROPIC_USAGE, file)
    assert not skipped
    assert sum(event.web_search_requests for event in events) == 250_001
    assert max(event.web_search_requests for event in events) <= 100_000


def test_sums_of_two_service_accounts_are_two_events(tmp_path: Path) -> None:
    bucket = json.loads((FILES / "anthropic_usage.json").read_text())["data"][0]
    alike = {name: value for name, value in bucket["results"][1].items() if name != "account_id"}
    both = [alike | {"service_account_id": account} for account in ("svac_1", "svac_2")]
    (file := tmp_path / "usage.json").write_text(json.dumps({"data": [bucket | {"results": both}]}))
    one, other = read(ANTHROPIC_USAGE, file)[0]
    assert one.event_id != other.event_id
    assert {one.user_id, other.user_id} == {"svac_1", "svac_2"}


def test_a_cost_report_is_in_cents_with_decimals() -> None:
    with (FILES / "anthropic_cost.json").open("rb") as file:
        assert cost_picousd(file) == 1_337_891_200_000


def test_columns_are_mapped_and_equal_lines_are_told_apart() -> None:
    columns = {"occurred_at": "time", "user_id": "who", "product": "app", "input_tokens": "prompt"}
    kind = csv_format(columns | {"output_tokens": "completion"}, input_includes_cached=True)
    (first, second), skipped = read(kind, "requests.csv")
    assert tokens(first) == tokens(second) == (1_000 - 600, 20, 600, 0, 0, 0)
    assert (first.user_id, first.product) == ("ann", "chat")
    assert first.event_id != second.event_id
    assert sorted(skipped) == ["completion is no whole number, such as 'x'", "no instant such as 'yesterday' is known"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("2026-09-14T10:00:00Z,claude-sonnet-4-6,1,000,20", "5 fields, the heading has 4"),
        ("2026-09-14T10:00:00Z,claude-sonnet-4-6,1000", "3 fields, the heading has 4"),
        ('2026-09-14T10:00:00Z,claude-sonnet-4-6,"1,5",20', "input_tokens is no whole number, such as '1,5'"),
    ],
)
def test_a_line_whose_counts_cannot_be_told_is_no_event(line: str, why: str, tmp_path: Path) -> None:
    """A thousands separator that is not quoted moves all that follows; a line may be cut."""
    (file := tmp_path / "rows.csv").write_text(f"occurred_at,model,input_tokens,output_tokens\n{line}\n")
    events, skipped = read(csv_format({}, input_includes_cached=False), file)
    assert events == []
    assert [why in told for told in skipped] == [True], skipped


@pytest.mark.parametrize("written", ["1234567", '"1,234,567"', "1234567.0", " 1234567 "])
def test_a_count_may_be_written_in_many_ways(written: str, tmp_path: Path) -> None:
    (file := tmp_path / "rows.csv").write_text(
        f"occurred_at,model,input_tokens\n2026-09-14T10:00:00Z,claude-sonnet-4-6,{written}\n"
    )
    ((event,), _) = read(csv_format({}, input_includes_cached=False), file)
    assert event.input_tokens == 1_234_567


@pytest.mark.parametrize("spoils", ["the log", "whose it is", "the mapping"])
def test_what_was_sent_is_known_by_all_that_decides_it(spoils: str) -> None:
    """A note of how far an import came must not be taken for that of another one."""

    def digest(log_id: str = "log", told: Told = TOLD, **columns: str) -> str:
        kind = csv_format({"occurred_at": "time", **columns}, input_includes_cached=False)
        with find(kind, [FILES / "requests.csv"], told) as found:
            return found.digest(log_id)

    others = {
        "the log": digest("other"),
        "whose it is": digest(told=Told(org_id="other")),
        "the mapping": digest(input_tokens="prompt"),
    }
    assert digest() == digest()
    assert digest() != others[spoils]


def test_a_line_in_two_files_is_one_request_and_two_equal_lines_of_a_file_are_two(tmp_path: Path) -> None:
    """Exports overlap."""
    line = "2026-09-14T10:00:00Z,claude-sonnet-4-6"
    for name, lines in (("a.csv", [line, line]), ("b.csv", [line])):
        (tmp_path / name).write_text("\n".join(["occurred_at,model", *lines]))
    ids = [event.event_id for event in read(csv_format({}, input_includes_cached=False), tmp_path)[0]]
    first, second = sorted(set(ids))
    assert sorted(ids) == [first, first, second]


ROWS = json.loads((FILES / "litellm_spend_logs.json").read_text())["data"]
WAYS = {
    "array": json.dumps(ROWS),
    "object": json.dumps({"total": 4, "data": ROWS}),
    "array over lines": json.dumps(ROWS, indent=2),
    "object over lines": json.dumps({"data": ROWS}, indent=2),
    "lines": "".join(json.dumps(row) + "\n" for row in ROWS),
    "lines of arrays": "\n" + "\n\n".join(json.dumps([row]) for row in ROWS),
}


@pytest.mark.parametrize("way", WAYS)
def test_json_may_be_put_down_in_many_ways(way: str, tmp_path: Path) -> None:
    (file := tmp_path / "rows.json").write_text(WAYS[way])
    assert read(LITELLM, file)[0] == read(LITELLM, "litellm_spend_logs.json")[0]


@pytest.mark.parametrize("way", ["array", "object"])
def test_a_document_in_one_line_too_long_to_be_looked_at_is_read_all_the_same(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readings, "_MOST_LINE_BYTES", 10)
    (file := tmp_path / "rows.json").write_text(WAYS[way])
    assert [event.event_id for event in read(LITELLM, file)[0]] == ["chatcmpl-8f1e2d", "chatcmpl-9a0b1c"]


def test_a_bad_line_is_counted_and_the_others_go_on(tmp_path: Path) -> None:
    (file := tmp_path / "rows.jsonl").write_text("\n".join([json.dumps(ROWS[0]), '{"request_id": "cut', "7"]))
    events, skipped = read(LITELLM, file)
    assert len(events) == 1
    assert sorted(skipped) == [
        "a line is no JSON",
        "no row of spend logs: AttributeError 'int' object has no attribute 'get'",
    ]


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        (LITELLM, [7, "x", {}, {"request_id": "r", "prompt_tokens": "many", "model": 1, "startTime": "x"}]),
        (OTEL, [7, {"resourceSpans": [7, {"scopeSpans": 7}, {"scopeSpans": [{"spans": [7, {}]}]}]}]),
        (ANTHROPIC_USAGE, [7, {"data": [7, {}, {"starting_at": "x", "results": [7, {}]}]}]),
    ],
)
def test_records_of_any_other_shape_are_counted_one_by_one(kind: Format, lines: list[Any], tmp_path: Path) -> None:
    (file := tmp_path / "odd.jsonl").write_text("\n".join(map(json.dumps, lines)))
    events, skipped = read(kind, file)
    assert (events, sum(skipped.values()) >= 4) == ([], True), skipped


def test_of_reasons_that_all_differ_only_some_are_remembered(tmp_path: Path) -> None:
    (file := tmp_path / "rows.csv").write_text("\n".join(["occurred_at", *(f"day {number}" for number in range(500))]))
    _, skipped = read(csv_format({}, input_includes_cached=False), file)
    assert (len(skipped), skipped["for other reasons"]) == (101, 400)


def test_without_room_on_the_disk_it_is_a_sentence(tmp_path: Path) -> None:
    """As on a full disk: no file of this process may grow beyond 1 MB."""
    row = json.dumps(ROWS[1] | {"user": "x" * 2_000})  # that much is kept until it is known to be too long
    (tmp_path / "rows.jsonl").write_text((row + "\n") * 15_000)
    done = limited("RLIMIT_FSIZE", 1_000_000, tmp_path)
    assert done.returncode == 1
    assert re.search(r"no temporary file for what was read: .*disk.*; TMPDIR names another folder", done.stderr)


@pytest.mark.parametrize("text", ['{"rows": [\n]}', '[{"request_id": "cut', "[\n\xff]", "time,model"])
def test_a_file_of_another_kind_is_told_by_its_name(text: str, tmp_path: Path) -> None:
    (file := tmp_path / "rows.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(Mendable, match=r"rows\.json: (not JSON|neither an array)"):
        read(LITELLM, file)


def test_lines_without_spans_are_counted(tmp_path: Path) -> None:
    """As of a file of another kind, or of logs and metrics in the same file."""
    (file := tmp_path / "rows.jsonl").write_text(WAYS["lines"] + '{"resourceLogs": []}\n')
    assert read(OTEL, file) == ([], {"no spans of a resource: KeyError 'scopeSpans'": len(ROWS) + 1})


def test_half_a_character_is_no_event(tmp_path: Path) -> None:
    (file := tmp_path / "rows.json").write_text(json.dumps([ROWS[0] | {"request_id": "\ud800"}]))
    events, skipped = read(LITELLM, file)
    assert (events, len(skipped)) == ([], 1)


def test_memory_stays_flat_whatever_the_size(tmp_path: Path) -> None:
    """200 MB in one line, 40,000 requests in no order, by a process that may have 160 MB for all its data."""
    row = json.dumps(ROWS[1] | {"messages": "x" * 4_500})
    with (tmp_path / "rows.json").open("w") as file:
        for number in range(40_000):
            another = row.replace("chatcmpl-9a0b1c", f"r-{number}").replace("18:14:00", f"{number * 7 % 24:02}:14:00")
            file.write(("[" if number == 0 else ",") + another)
        file.write("]")
    assert (tmp_path / "rows.json").stat().st_size > 190_000_000
    done = limited("RLIMIT_DATA", 160_000_000, tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["events"] == 40_000


@pytest.mark.parametrize(
    "text",
    [
        "2026-09-14T18:13:42.617Z",
        "2026-09-14 18:13:42.617",
        "2026-09-14T20:13:42.617000+02:00",
        "2026-09-14T18:13:42.617000001Z",
    ],
)
def test_an_instant_may_be_written_in_many_ways(text: str) -> None:
    assert instant(text) == micros("2026-09-14T18:13:42.617Z")


# The command.


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["import", *arguments])


def test_a_dry_run_says_what_there_is_and_what_it_costs() -> None:
    result = run("litellm", str(FILES / "litellm_spend_logs.json"), "--org-id", "acme", "--product", "api", "--dry-run")
    assert result.exit_code == 0, result.output
    # Sonnet 4.6, dollars per million: input 3, output 15, reads 0.30, writes 3.75 and 6; a search is a cent.
    cost = 1_000 * 3 + 500 * 15 + 90_000 * 0.3 + 6_000 * 3.75 + 4_000 * 6 + 20_000 + 100 * 3 + 50 * 15
    assert cost == 105_050
    assert "2 events of 2 records, 2026-09-14T18:13:42.617Z to 2026-09-14T18:14:00.123Z" in result.stdout
    assert "nothing was sent" in result.stdout
    assert "$0.10505" in result.stdout
    assert "1 × no event: answered from LiteLLM's own cache" in " ".join(result.stdout.split())


def test_a_dry_run_compares_with_the_cost_report() -> None:
    said = document("anthropic-usage", "anthropic_usage.json", "--cost-report", str(FILES / "anthropic_cost.json"))
    assert (said["vendor_cost_usd"], said["events"]) == ("1.3378912", 5 + 1 + 3)


def test_what_nobody_said_is_asked_for() -> None:
    result = run("otel", str(FILES / "otel_spans.jsonl"), "--dry-run")
    assert "org_id: Field required; say --org-id" in " ".join(result.stdout.split())


def test_a_model_without_a_price_would_be_a_dead_letter(tmp_path: Path) -> None:
    row = json.loads((FILES / "litellm_spend_logs.json").read_text())["data"][1] | {"model": "gpt-9"}
    file = tmp_path / "one.json"
    file.write_text(json.dumps([row]))
    said = json.loads(run("litellm", str(file), "--org-id", "acme", "--product", "api", "--dry-run", "--json").stdout)
    assert (said["cost_usd"], sum(said["unpriced"].values())) == ("0.00", 1)


def test_events_can_be_printed_and_are_what_the_ledger_takes() -> None:
    mapped = ("--map", "occurred_at=time", "--map", "user_id=who", "--map", "product=app")
    result = run("csv", str(FILES / "requests.csv"), "--org-id", "acme", *mapped, "--stdout")
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 2), result.stderr
    result = run("litellm", str(FILES / "litellm_spend_logs.json"), "--org-id", "acme", "--product", "api", "--stdout")
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == ["chatcmpl-8f1e2d", "chatcmpl-9a0b1c"]


@pytest.mark.parametrize("how", [["--dry-run"], ["--dry-run", "--json"], ["--stdout"]])
def test_records_of_which_not_one_becomes_an_event_are_a_failure(how: list[str]) -> None:
    result = run("otel", str(FILES / "otel_spans.jsonl"), *how)
    assert result.exit_code == 1
    assert "Error: not one of 3 records became an event" in result.stderr


@pytest.mark.parametrize("how", ["--dry-run", "--stdout"])
def test_a_day_without_usage_is_no_failure(how: str, tmp_path: Path) -> None:
    (file := tmp_path / "rows.json").write_text("[]")
    result = run("litellm", str(file), "--org-id", "acme", how)
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        (("csv", "requests.csv", "--map", "occurred_at"), 2, "--map FIELD=COLUMN"),
        (("csv", "requests.csv", "--map", "cost=spend"), 2, "fields are cache_read_tokens"),
        (("litellm", "requests.csv"), 1, "requests.csv: not JSON"),
        (("otel", "otel_spans.jsonl", "--stdout", "--dry-run"), 2, "leave --dry-run and --json out"),
    ],
)
def test_what_cannot_be_is_a_sentence(arguments: tuple[str, ...], exit_code: int, says: str) -> None:
    result = run(arguments[0], str(FILES / arguments[1]), *arguments[2:])
    assert (result.exit_code, says in result.stderr) == (exit_code, True), result.stderr


def limited(limit: str, value: int, folder: Path) -> "subprocess.CompletedProcess[str]":
    """A dry run by a process that may have no more than that."""
    command = "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    command += f"resource.setrlimit(resource.{limit}, ({value}, {value})); "
    command += "from pipeline.cli import main; main(sys.argv[1:])"
    arguments = ["import", "litellm", str(folder), "--org-id", "acme", "--product", "api", "--dry-run", "--json"]
    return subprocess.run([sys.executable, "-c", command, *arguments], capture_output=True, text=True)


def document(command: str, file: str, *arguments: str) -> dict[str, Any]:
    said = ("--org-id", "acme", "--user-id", "api", "--product", "api", "--dry-run", "--json")
    answer: dict[str, Any] = json.loads(run(command, str(FILES / file), *arguments, *said).stdout)
    return answer
