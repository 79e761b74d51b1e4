"""The job in other frameworks: a name comes in; what it promises and how to start it go out.

Every contender reads `usage-events` and writes its own `priced-usage` and `limit-breaches`. What one record costs and
means is the same code for all, charging.py, built on this project's own decode and prices; so frameworks are compared,
not arithmetic. Each file is written as its framework's documentation would have it.

Rows leave in one of two ways. *A record each* is what documentations show. *In lines* puts the rows of a batch into
records of up to a thousand JSON lines, as our ledger does; it is open to whoever has a batch in hand, and faster.
"""

from dataclasses import dataclass

AT_LEAST_ONCE = "at least once"
EXACTLY_ONCE = "exactly once"
NOT_REMEMBERED = "dictionary; lost on a crash, then totals are wrong"


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do the job.

    Attributes:
        title: for people.
        place: module and function, which takes a World and does not return by itself.
        distribution: the package whose version is told.
        outputs: what becomes of rows and breaches if it crashes.
        state: where totals and identities are kept, and what a crash leaves of them.
        survives: totals and identities are still there after a crash.
        slow: it is given fewer events.
        environment: the folder it is installed in.
    """

    title: str
    place: str
    distribution: str
    outputs: str
    state: str
    survives: bool = False
    slow: bool = False
    environment: str = ".venv-bench"

    @property
    def does_the_job(self) -> bool:
        """After a crash everything is right: each row and breach once, totals and limits as they should be."""
        return self.survives and self.outputs == EXACTLY_ONCE


CONTENDERS = {
    "faust": Contender(
        "Faust, agent and Tables",
        "plain_faust:events",
        "faust-streaming",
        f"{AT_LEAST_ONCE}; a repeat is dropped if its identity was saved",
        "Tables, in memory with changelog topics; not saved together with the position",
        survives=True,
        slow=True,
    ),
    "faust-take": Contender(
        "Faust, `take` and Tables, in lines",
        "plain_faust:taken",
        "faust-streaming",
        f"{AT_LEAST_ONCE}; a repeat is dropped if its identity was saved",
        "Tables, in memory with changelog topics; not saved together with the position",
        survives=True,
        slow=True,
    ),
    "aiokafka": Contender(
        "aiokafka, `getmany`, a record each", "raw_aiokafka:events", "aiokafka", AT_LEAST_ONCE, NOT_REMEMBERED
    ),
    "aiokafka-lines": Contender(
        "aiokafka, `getmany`, in lines", "raw_aiokafka:lines", "aiokafka", AT_LEAST_ONCE, NOT_REMEMBERED
    ),
    "aiokafka-transactions": Contender(
        "aiokafka, `getmany`, in lines, transactions",
        "raw_aiokafka:transactions",
        "aiokafka",
        EXACTLY_ONCE,
        NOT_REMEMBERED,
    ),
    "faststream": Contender(
        "FastStream on aiokafka, batch, a record each",
        "fast_stream:on_aiokafka",
        "faststream",
        AT_LEAST_ONCE,
        NOT_REMEMBERED,
    ),
    "faststream-lines": Contender(
        "FastStream on aiokafka, batch, in lines",
        "fast_stream:on_aiokafka_lines",
        "faststream",
        AT_LEAST_ONCE,
        NOT_REMEMBERED,
    ),
    "faststream-confluent": Contender(
        "FastStream on confluent-kafka, batch, in lines",
        "fast_stream:on_confluent_lines",
        "faststream",
        AT_LEAST_ONCE,
        NOT_REMEMBERED,
    ),
    "quix": Contender(
        "Quix Streams without its state",
        "quix:in_memory",
        "quixstreams",
        AT_LEAST_ONCE,
        NOT_REMEMBERED,
        environment=".venv-bench-quix",
    ),
    "quix-state": Contender(
        "Quix Streams with its state",
        "quix:with_state",
        "quixstreams",
        f"{AT_LEAST_ONCE}; a repeat is dropped if its identity was saved",
        "RocksDB with changelog topics; after a crash it may be ahead of the position",
        survives=True,
        slow=True,
        environment=".venv-bench-quix",
    ),
    "quix-exactly-once": Contender(
        "Quix Streams with its state, exactly once",
        "quix:exactly_once",
        "quixstreams",
        EXACTLY_ONCE,
        "RocksDB with changelog topics, in the same transaction",
        survives=True,
        slow=True,
        environment=".venv-bench-quix",
    ),
    "bytewax": Contender(
        "Bytewax, `stateful_map`",
        "bytewax_flow:run",
        "bytewax",
        f"{AT_LEAST_ONCE}, if recovery is set up; here it is not",
        "of each key, in memory; recovery would save snapshots to SQLite",
    ),
    "arroyo": Contender(
        "sentry-arroyo, a record each", "arroyo_steps:events", "sentry-arroyo", AT_LEAST_ONCE, NOT_REMEMBERED
    ),
    "arroyo-batch": Contender(
        "sentry-arroyo, `BatchStep`, in lines", "arroyo_steps:batches", "sentry-arroyo", AT_LEAST_ONCE, NOT_REMEMBERED
    ),
    "confluent": Contender(
        "confluent-kafka, `consume`, a record each",
        "confluent:events",
        "confluent-kafka",
        AT_LEAST_ONCE,
        NOT_REMEMBERED,
    ),
    "confluent-lines": Contender(
        "confluent-kafka, `consume`, in lines", "confluent:lines", "confluent-kafka", AT_LEAST_ONCE, NOT_REMEMBERED
    ),
    "confluent-transactions": Contender(
        "confluent-kafka, `consume`, in lines, transactions",
        "confluent:transactions",
        "confluent-kafka",
        EXACTLY_ONCE,
        NOT_REMEMBERED,
    ),
    "clickhouse": Contender(
        "ClickHouse's Kafka engine, in lines",
        "clickhouse_engine:run",
        "chdb",
        f"{AT_LEAST_ONCE}, but a row is lost if its identity was saved and it was not sent",
        "tables, each saved by itself",
        survives=True,
        environment=".venv",
    ),
}
