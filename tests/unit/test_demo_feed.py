"""What the demo sends: the order, the story, the mishaps; nothing needs to run."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline.demo.feed import ENDS, command_record, events_in, feed, registration
from pipeline.engine.partitioning import partition_of
from pipeline.importers.claude_code import CLAUDE_CODE
from pipeline.importers.people import PEOPLE
from pipeline.publisher import Outgoing
from pipeline.topics import ACCOUNT_COMMANDS, USAGE_EVENTS
from schemas.commands import COMMANDS
from schemas.dead_letters import MAX_RECORD_BYTES
from tests.support.imports import imported

LOGS = Path(__file__).parents[2] / "examples" / "claude_code"


@pytest.fixture(scope="module")
def records() -> list[Outgoing]:
    return feed(imported(CLAUDE_CODE, LOGS), 4)


def test_records_come_by_arrival_and_before_the_end(records: list[Outgoing]) -> None:
    assert all(one.arrival_micros <= next_one.arrival_micros for one, next_one in pairwise(records))
    assert records[-1].arrival_micros < ENDS


def test_everybody_is_registered_before_the_first_usage(records: list[Outgoing]) -> None:
    first_usage = next(index for index, record in enumerate(records) if record.topic == USAGE_EVENTS.name)
    assert len(list(registration())) == first_usage


def test_every_command_is_one_that_the_vocabulary_knows(records: list[Outgoing]) -> None:
    commands = [COMMANDS.validate_json(record.value) for record in records if record.topic == ACCOUNT_COMMANDS.name]
    assert len({command.command_id for command in commands}) == len(commands)
    known = {command.user_id for command in commands if command.command == "add_member"}
    known |= {command.primary_owner for command in commands if command.command == "register_organization"}
    assert known == {person.user_id for person in PEOPLE}


def test_a_commands_record_is_keyed_by_its_organization() -> None:
    command = next(registration())
    assert command_record(command, 0).key == command.org_id.encode()


def test_one_event_lies_without_a_key_in_a_partition_that_is_not_its_own(records: list[Outgoing]) -> None:
    (astray,) = [record for record in records if record.key is None]
    org_id = json.loads(astray.value)["data"]["org_id"]
    assert astray.partition != partition_of(org_id.encode(), 4)


def test_all_882_requests_17_retries_and_13_mishaps_are_sent(records: list[Outgoing]) -> None:
    usage = [record for record in records if record.topic == USAGE_EVENTS.name]
    assert sum(map(events_in, usage)) == 882 + 882 // 50 + 13
    assert [events_in(record) for record in usage if record.value.startswith(b"[")] == [3]
    assert sum(len(record.value) > MAX_RECORD_BYTES for record in usage) == 1


def test_it_is_the_same_feed_every_time(records: list[Outgoing]) -> None:
    assert feed(imported(CLAUDE_CODE, LOGS), 4) == records
