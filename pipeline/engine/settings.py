"""What the engine must be told: the brokers, the topics, the mode and its bounds; it knows no environment variables."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipeline.engine.contract import Input

Mode = Literal["live", "replay"]

MAX_BATCH_BYTES = 900_000
"""Kafka takes 1 MB a batch (`max.message.bytes`), counted with keys and overhead: a record stays below this."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Settings of one ledger worker; the defaults are those that were measured.

    Attributes:
        kafka: what every aiokafka client takes to reach the brokers: `bootstrap_servers`, TLS and SASL.
        prefix: before every topic's name, the group id and the transactional ids.
        partitions: how many the machine was told of; None: as many as there are.
        mode: where a record's arrival comes from (R44): the broker's clock (live) or the producer's (replay).
        identities_dir: where identities are kept on local disk; None: in memory.
        outputs: the topics the machine writes to; all are checked before the first partition is claimed.
        session_timeout_seconds: how long a silent worker keeps its partitions.
        transaction_timeout_seconds: Kafka aborts a transaction that is open for longer, and so do we.
        fetch_bytes: of one input's partition at a time; bounds what is buffered and how large a chunk gets.
        max_records: of one input, offered to the machine at once.
        quarantines_per_hour: culprits set aside before the partition halts.
        max_failures: transactions that fail in a row before the worker stops.
        stuck_seconds: a partition that came to nothing for so long stops the worker.
        idle_seconds: at least so long from a claim to its first quiet moment, and from one to the next.
        why_refused: asked where no broker takes us; a sentence if one is there and never will, as after a change of
            passwords. aiokafka says of both that there is no broker.
    """

    kafka: Mapping[str, Any]
    prefix: str = ""
    group_id: str = "ledger"
    partitions: int | None = None
    mode: Mode = "live"
    usage_events: str = "usage-events"
    account_commands: str = "account-commands"
    ledger_state: str = "ledger-state"
    ledger_journal: str = "ledger-journal"
    seen_ids: str = "seen-ids"
    outputs: tuple[str, ...] = ()
    horizon_days: int = 35
    identities_dir: Path | None = None
    session_timeout_seconds: float = 10.0
    transaction_timeout_seconds: float = 30.0
    fetch_bytes: int = 1 << 20
    max_records: int = 5_000
    advance_budget: int = 1_000
    clock_tolerance_seconds: float = 5.0
    quarantines_per_hour: int = 5
    max_failures: int = 20
    stuck_seconds: float = 180.0
    offsets_every_seconds: float = 5.0
    drained_check_seconds: float = 1.0
    idle_wait_seconds: float = 0.2
    idle_seconds: float = 0.5
    why_refused: Callable[[], Awaitable[str | None]] | None = None
    inputs: Mapping[Input, str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self,
            "inputs",
            {"usage": self.topic(self.usage_events), "commands": self.topic(self.account_commands)},
        )

    def topic(self, name: str) -> str:
        return self.prefix + name

    @property
    def group(self) -> str:
        return self.prefix + self.group_id

    @property
    def brokers(self) -> str:
        return str(self.kafka.get("bootstrap_servers", "localhost:9092"))

    def transactional_id(self, partition: int) -> str:
        """One per partition: who starts a producer with it fences whoever held the partition before."""
        return f"{self.group}-{partition}"

    @property
    def written_topics(self) -> tuple[str, ...]:
        """What nobody but the owner of a partition writes to, in its number."""
        names = (self.ledger_state, self.ledger_journal, self.seen_ids, *self.outputs)
        return tuple(dict.fromkeys(self.topic(name) for name in names))

    @property
    def all_topics(self) -> tuple[str, ...]:
        return (*self.inputs.values(), *self.written_topics)
