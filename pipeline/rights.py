"""The least rights of each process at Kafka: the table of topics comes in, what an administrator grants goes out.

Who writes and who reads a topic is said once, in pipeline/topics.py; here it becomes Kafka's words, with what a client
needs besides: groups, transactional ids, and to look at the topics before it starts.
Source: docs/decisions/0014-secured-parts.md.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from pipeline.topics import INPUTS, LEDGER_JOURNAL, LOG_ID, SEEN_IDS, TOPICS

Process = Literal["ledger", "sink", "gate", "mailer", "products", "billing", "analysts", "operator"]
PROCESSES: tuple[Process, ...] = get_args(Process)
OURS: tuple[Process, ...] = ("ledger", "sink", "gate", "mailer")
"""Processes of this program; the others are people and programs that come to Kafka by themselves."""

OPERATORS_JOBS = ("redrive", "rebuild", "prove", "usage-credits topics")
"""What the table calls by the job's name is done by an operator, at the command line."""

Kind = Literal["topic", "group", "transactional-id", "cluster"]
Operation = Literal["Read", "Write", "Describe", "DescribeConfigs", "Create", "Delete", "Alter", "AlterConfigs"]


@dataclass(frozen=True, slots=True)
class Right:
    """What one may do with one thing of Kafka's, or with all things whose names begin so."""

    kind: Kind
    name: str
    operations: tuple[Operation, ...]
    is_prefix: bool = False

    def __str__(self) -> str:
        return f"{' and '.join(self.operations)} on {self.kind} {self.name}{'*' if self.is_prefix else ''}"


def rights(process: Process, prefix: str) -> list[Right]:
    """All that a process needs, and nothing more.

    Args:
        prefix: TOPIC_PREFIX, which stands before topics, groups and transactional ids.
    """
    return [*_topics(process, prefix), *_more(process, prefix)]


def _topics(process: Process, prefix: str) -> Iterator[Right]:
    for topic in TOPICS:
        operations: list[Operation] = []
        if process == "operator":
            operations += ["Read", "Write", "Alter", "AlterConfigs"]
        if process in topic.readers.split(", ") or (topic is LOG_ID and process in OURS):
            operations.append("Read")
        if process in topic.writers.split(", "):
            operations.append("Write")
        if process in OURS or process == "operator":
            # Before it starts, each looks whether all topics are there and of the right kind.
            operations.append("Describe")
            is_looked_at = topic in (*INPUTS, LEDGER_JOURNAL) or (topic is SEEN_IDS and process == "ledger")
            if is_looked_at or process == "operator":
                operations.append("DescribeConfigs")
        if operations:
            yield Right("topic", prefix + topic.name, tuple(operations))


def _more(process: Process, prefix: str) -> Iterator[Right]:
    match process:
        case "ledger":
            yield Right("group", f"{prefix}ledger", ("Read",))
            yield Right("transactional-id", f"{prefix}ledger-", ("Write",), is_prefix=True)
        case "sink" | "mailer":
            yield Right("group", prefix + process, ("Read",))
        case "billing" | "products" | "analysts":
            yield Right("group", f"{prefix}{process}", ("Read",), is_prefix=True)
        case "operator":
            yield Right("cluster", "kafka-cluster", ("Create", "Describe"))
            for group in ("ledger", "sink", "mailer"):
                yield Right("group", prefix + group, ("Read", "Delete"))
            yield Right("transactional-id", f"{prefix}dead-letters", ("Write",))
            yield Right("transactional-id", f"{prefix}ledger-", ("Write",), is_prefix=True)


def script(principals: Mapping[Process, str], prefix: str) -> str:
    """A shell script that grants it all with Kafka's own kafka-acls.sh."""
    lines = [
        "#!/bin/sh",
        "# Made by `usage-credits topics acls`; each process its least rights. Run it as an administrator:",
        "# KAFKA_ACLS='kafka-acls.sh --bootstrap-server HOST:PORT --command-config admin.properties' sh kafka-acls.sh",
        "# Run it again after an upgrade: what is granted already stays as it is.",
        "set -eu",
        ': "${KAFKA_ACLS:?names the command that reaches your Kafka, see above}"',
    ]
    for process, principal in principals.items():
        lines += ["", f"# {process}"]
        alike: dict[tuple[Kind, tuple[Operation, ...], bool], list[str]] = {}
        for right in rights(process, prefix):
            alike.setdefault((right.kind, right.operations, right.is_prefix), []).append(right.name)
        for (kind, operations, is_prefix), names in alike.items():
            words = [f"$KAFKA_ACLS --add --force --allow-principal '{principal}'"]
            words += [f"--operation {operation}" for operation in operations]
            words += ["--resource-pattern-type prefixed"] if is_prefix else []
            words += ["--cluster"] if kind == "cluster" else [f"--{kind} '{name}'" for name in names]
            lines.append(" \\\n  ".join((" ".join(words[: 1 + len(operations)]), *words[1 + len(operations) :])))
    return "\n".join(lines) + "\n"
