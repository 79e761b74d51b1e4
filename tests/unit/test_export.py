"""`usage-credits export`: what becomes of an answer that breaks off; nothing needs to run."""

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from urllib3.exceptions import IncompleteRead

from pipeline import export
from pipeline.errors import Mendable


class Answer:
    """An answer of one piece, whose server is gone then."""

    def __init__(self) -> None:
        self.pieces = [b'"acme"\n']

    def read(self, _: int) -> bytes:
        if self.pieces:
            return self.pieces.pop()
        raise IncompleteRead(7, 100)


def test_an_answer_whose_server_went_away_is_a_sentence_and_no_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    columns = SimpleNamespace(result_rows=[("org_id",)])
    client: Any = SimpleNamespace(query=lambda *_, **__: columns, raw_stream=lambda *_, **__: Answer())
    monkeypatch.setattr(export, "open_clickhouse", lambda _: nullcontext(client))
    with pytest.raises(Mendable, match=r"export of members: the answer broke off: .*; try again"):
        export.run_export(export.Wanted("members"), "csv", tmp_path / "members.csv", None)
    assert not list(tmp_path.iterdir())
