"""Who may do what at Kafka: as the table of topics says, and in the file that grants it."""

from pathlib import Path

import pytest

from pipeline.rights import OPERATORS_JOBS, OURS, PROCESSES, Process, rights, script
from pipeline.topics import ACCOUNT_COMMANDS, TOPICS

DEPLOY = Path(__file__).parents[2] / "deploy"


def may(process: Process, operation: str) -> set[str]:
    return {one.name for one in rights(process, "") if one.kind == "topic" and operation in one.operations}


def test_everybody_in_the_table_is_known() -> None:
    named = {name for topic in TOPICS for name in (*topic.writers.split(", "), *topic.readers.split(", "))}
    assert named <= {*PROCESSES, *OPERATORS_JOBS}


def test_only_the_gate_commands_and_the_ledger_and_operators_hand_on() -> None:
    assert {process for process in PROCESSES if ACCOUNT_COMMANDS.name in may(process, "Write")} == {
        "gate",
        "ledger",
        "operator",
    }


@pytest.mark.parametrize("process", ["sink", "billing", "analysts"])
def test_who_only_reads_writes_nothing(process: Process) -> None:
    assert may(process, "Write") == set()


def test_the_ledgers_memory_is_its_own() -> None:
    for topic in ("ledger-state", "ledger-journal", "seen-ids"):
        assert {process for process in PROCESSES if topic in may(process, "Read")} == {"ledger", "operator"}


def test_our_processes_see_that_every_topic_is_there() -> None:
    for process in OURS:
        assert may(process, "Describe") == {topic.name for topic in TOPICS}


def test_names_carry_the_prefix() -> None:
    for process in PROCESSES:
        assert all(right.name.startswith("eu.") for right in rights(process, "eu.") if right.kind != "cluster")


def test_the_file_is_what_the_command_prints() -> None:
    """`usage-credits topics acls > deploy/kafka-acls.sh`."""
    assert (DEPLOY / "kafka-acls.sh").read_text() == script({name: f"User:{name}" for name in PROCESSES}, "")
