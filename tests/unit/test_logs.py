"""Log lines for people and for programs: the same fields in both."""

import json
import logging

import pytest

from pipeline.logs import REQUEST_ID, _Json, _Text, fields


def record(message: str, **said: object) -> logging.LogRecord:
    made = logging.LogRecord("gate", logging.INFO, "", 0, message, (), None)
    made.__dict__ |= fields(**said)
    return made


@pytest.fixture(autouse=True)
def within_a_request() -> object:
    token = REQUEST_ID.set("r-1")
    yield
    REQUEST_ID.reset(token)


def test_a_line_for_people_ends_with_its_fields() -> None:
    line = _Text("%(levelname)s %(message)s").format(record("command answered", command_id="c-1", reason=None))
    assert line == "INFO command answered request_id=r-1 command_id=c-1"


def test_a_line_for_programs_is_json() -> None:
    line = json.loads(_Json().format(record("command answered", command_id="c-1", org_seq=7)))
    assert {name: line[name] for name in ("level", "message", "request_id", "command_id", "org_seq")} == {
        "level": "INFO",
        "message": "command answered",
        "request_id": "r-1",
        "command_id": "c-1",
        "org_seq": 7,
    }


def test_what_was_never_given_fields_is_a_line_too() -> None:
    plain = logging.LogRecord("gate", logging.WARNING, "", 0, "no Kafka at %s", ("127.0.0.1:9092",), None)
    assert json.loads(_Json().format(plain))["message"] == "no Kafka at 127.0.0.1:9092"
