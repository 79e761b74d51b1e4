"""The JSON Schemas under docs/schemas say what the models say, and what the ledger writes fits them."""

import json
from typing import Any

import pytest

from schemas.events import envelope
from schemas.export import DIRECTORY, schemas, text_of
from tests.support import examples
from tests.support.bad_input import GOOD_CLOUD_EVENT
from tests.support.builders import Wire, add_member, event, register, searches, set_credits, set_limit
from tests.support.ledger import LedgerInMemory, acme

SCHEMAS = schemas()


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_checked_in_file_is_current(name: str) -> None:
    assert (DIRECTORY / name).read_text(encoding="utf-8") == text_of(SCHEMAS[name]), "run python -m schemas.export"


def test_no_file_is_left_over() -> None:
    assert {path.name for path in DIRECTORY.glob("*.json")} == set(SCHEMAS)


def fits(value: Any, schema: Wire, root: Wire) -> bool:
    """Whether names, presence and JSON types are as the schema says; patterns and bounds are the models' own tests."""
    if "$ref" in schema:
        return fits(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return any(fits(value, option, root) for option in options)
    if "const" in schema:
        return bool(value == schema["const"])
    if "enum" in schema:
        return value in schema["enum"]
    types = {"string": str, "integer": int, "boolean": bool, "null": type(None), "array": (list, tuple), "object": dict}
    named = schema.get("type", list(types))
    if not any(isinstance(value, types[name]) for name in ([named] if isinstance(named, str) else named)):
        return False
    if isinstance(value, dict) and "properties" in schema:
        known = schema["properties"]
        return (
            set(schema.get("required", ())) <= set(value)
            and (schema.get("additionalProperties", True) is not False or set(value) <= set(known))
            and all(fits(each, known[name], root) for name, each in value.items() if name in known)
        )
    return True


@pytest.fixture(scope="module")
def ledger() -> LedgerInMemory:
    lived = acme()
    lived.commands(set_limit("1"), set_limit("1"), add_member("ann", command_id="again"))
    lived.usage(searches("a", 100, processing="batch"), searches("b", 1), b"{", event("c", model="claude-99"))
    lived.commands(set_limit(None))
    return lived


def test_everything_the_ledger_writes_fits_its_schema(ledger: LedgerInMemory) -> None:
    written = [("priced-usage.json", json.loads(line)) for line in ledger.row_lines]
    written += [("dead-letter.json", letter) for letter in ledger.envelopes("dead-letters")]
    for topic in ("limit-breaches", "account-events"):
        written += [(f"{wire['type'].removeprefix('usage-credits.')}.json", wire) for wire in ledger.envelopes(topic)]
    for name, wire in written:
        assert fits(wire, SCHEMAS[name], SCHEMAS[name]), (name, wire)


PUBLISHED = [(f"{event.TYPE.removeprefix('usage-credits.')}.json", envelope(event)) for event in examples.EVENTS]
PUBLISHED += [(f"status.{record.KIND}.json", json.loads(record.value())) for record in examples.STATUS]
PUBLISHED += [("dead-letter-decision.json", json.loads(one.model_dump_json())) for one in examples.DECISIONS]
PUBLISHED += [("member-contact.json", json.loads(one.model_dump_json())) for one in examples.CONTACTS]
PUBLISHED += [("mail.json", json.loads(one.model_dump_json())) for one in examples.MAILS]


@pytest.mark.parametrize(("name", "wire"), PUBLISHED)
def test_everything_the_ledger_may_write_fits_its_schema(name: str, wire: Wire) -> None:
    assert fits(wire, SCHEMAS[name], SCHEMAS[name])


def test_every_schema_has_an_example() -> None:
    others = {"priced-usage.json", "dead-letter.json", "usage-event.json", "usage-cloud-event.json", "command.json"}
    assert {name for name, _ in PUBLISHED} | others == set(SCHEMAS)


SENT = [
    ("usage-event.json", event()),
    ("usage-event.json", event(processing=None, speed=None, inference_geo=None, corrects=None)),
    ("usage-cloud-event.json", GOOD_CLOUD_EVENT),
    ("usage-cloud-event.json", GOOD_CLOUD_EVENT | {"traceparent": "00-1"}),
    *(
        ("command.json", command)
        for command in (register(), set_credits(), add_member(), set_limit("5"), set_limit(None))
    ),
    *(("command.json", command) for command in examples.COMMANDS.values()),
]
NOT_SENT = [
    ("usage-event.json", event(tokens=5)),
    ("usage-event.json", event(occurred_at=None)),
    ("usage-event.json", {name: value for name, value in event().items() if name != "model"}),
    ("usage-cloud-event.json", event()),
    ("usage-cloud-event.json", GOOD_CLOUD_EVENT | {"data": event()}),
    ("command.json", set_limit("5") | {"limit_usd": 5}),
    ("command.json", set_credits() | {"command": "set_credit"}),
]


@pytest.mark.parametrize(("name", "wire"), SENT)
def test_what_may_be_sent_fits_its_schema(name: str, wire: Wire) -> None:
    assert fits(wire, SCHEMAS[name], SCHEMAS[name])


@pytest.mark.parametrize(("name", "wire"), NOT_SENT)
def test_what_may_not_be_sent_does_not(name: str, wire: Wire) -> None:
    assert not fits(wire, SCHEMAS[name], SCHEMAS[name])
