"""`usage-credits query`: rows as a table; nothing needs to run."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline import query


def test_what_stands_in_a_row_is_shown_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = SimpleNamespace(column_names=("user_id", "[n]"), result_rows=[("[ann]", ["a"]), ("[/bob]", ":smile:")])
    client: Any = SimpleNamespace(query=lambda _: answer)
    monkeypatch.setattr(query, "open_clickhouse", lambda _: nullcontext(client))
    query.run_query("SELECT 1", None, as_json=False)
    shown = capsys.readouterr().out.split()
    assert [word for word in shown if "─" not in word] == ["user_id", "[n]", "[ann]", "['a']", "[/bob]", ":smile:"]
