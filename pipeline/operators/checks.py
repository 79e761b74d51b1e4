"""What `doctor` looks at: settings in; findings out, each with what to do about it. Nothing of anybody's is changed."""

import platform
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Literal
from urllib.parse import urlsplit

from aiokafka import AIOKafkaProducer
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from pipeline.agents.ledger_machine import RULES_VERSION
from pipeline.engine.continuing import check_versions
from pipeline.engine.contract import InvariantBroken
from pipeline.engine.preflight import Refused
from pipeline.engine.restore import last_line
from pipeline.errors import Mendable
from pipeline.gate.server import is_loopback
from pipeline.kafka_access import why_not_let_in
from pipeline.price_book import load_price_book
from pipeline.reading import consumer, places
from pipeline.rights import Process
from pipeline.rights_admin import lacking_rights, principal
from pipeline.settings import Settings
from pipeline.topics import LEDGER_JOURNAL, LOG_ID, TOPICS
from pipeline.topics_admin import CLOCK, check_topics, open_admin
from sinks.clickhouse import ClickHouse, without_password
from sinks.errors import SinkError
from sinks.migrate import migrations

Level = Literal["good", "warning", "bad"]
_CLOCK_SECONDS = 5.0
_ROOM_BYTES = 5 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, what was found, and what to do; nothing to do where it is good."""

    level: Level
    area: str
    found: str
    to_do: str = ""


def good(area: str, found: str) -> Finding:
    """As it should be."""
    return Finding("good", area, found)


async def findings(settings: Settings, process: Process) -> AsyncIterator[Finding]:
    """Everything, in an order in which the first bad line is often the cause of the others."""
    for finding in configuration(settings):
        yield finding
    if refusal := await why_not_let_in(settings):
        yield Finding("bad", "Kafka", refusal.sentence, "set what it names; `usage-credits doctor` again")
    else:
        try:
            async for finding in _kafka(settings, process):
                yield finding
        except (KafkaError, OSError, TimeoutError) as error:
            found = f"no Kafka at {settings.kafka_bootstrap_servers}: {error or type(error).__name__}"
            yield Finding("bad", "Kafka", found, "start it (`usage-credits up`), or set KAFKA_BOOTSTRAP_SERVERS")
    async for finding in _clickhouse(settings):
        yield finding


def configuration(settings: Settings) -> Iterator[Finding]:
    """What the settings alone tell."""
    yield good(
        "versions",
        f"usage-credits {version('usage-credits')}, Python {platform.python_version()}, "
        f"aiokafka {version('aiokafka')}, Faust {version('faust-streaming')}",
    )
    hosts = {address.rpartition(":")[0].strip("[] ") for address in settings.kafka_bootstrap_servers.split(",")}
    protocol = settings.kafka_security_protocol
    if protocol != "SASL_SSL" and not all(map(is_loopback, hosts)):
        found = f"KAFKA_SECURITY_PROTOCOL={protocol}: whoever is on the network reads or writes"
        yield Finding("warning", "configuration", found, "SASL_SSL; docs/operations.md, Secure")
    else:
        yield good("configuration", f"Kafka by {protocol} at {settings.kafka_bootstrap_servers}")
    url = urlsplit(settings.clickhouse_url)
    if url.scheme != "https" and not is_loopback(url.hostname or ""):
        found = (
            f"CLICKHOUSE_URL={without_password(settings.clickhouse_url)} is not https: its password goes in the clear"
        )
        yield Finding("warning", "configuration", found, "https:// and CLICKHOUSE_CA_FILE; docs/operations.md, Secure")
    if settings.gate_issuer is None and not settings.gate_dev_tokens:
        yield Finding(
            "warning",
            "configuration",
            "no gate could start here: nobody could log in",
            "set GATE_ISSUER, if one should",
        )
    folder = settings.identities_dir or settings.data_dir / "identities"
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < _ROOM_BYTES:
        found = f"{free / (1 << 30):.1f} GiB free for identities at {folder}"
        yield Finding("warning", "disk", found, "make room, or move IDENTITIES_DIR: 31 bytes for each event of 36 days")
    else:
        yield good("disk", f"{free / (1 << 30):,.0f} GiB free for identities at {folder}")


async def _kafka(settings: Settings, process: Process) -> AsyncIterator[Finding]:
    async with open_admin(settings) as admin:
        brokers = len(admin._client.cluster.brokers())
        yield good("Kafka", f"{brokers} broker{'s' * (brokers != 1)}, logged in as {principal(settings)}")
    if lacking := await lacking_rights(settings, process):
        for right in lacking:
            to_do = f"usage-credits topics acls --principal {process}={principal(settings)} --apply"
            yield Finding("bad", "permissions", f"a {process} needs {right}", f"as an administrator: `{to_do}`")
    else:
        yield good("permissions", f"{principal(settings)} may do all that the {process} does")
    try:
        log_id = await check_topics(settings)
    except Mendable as error:
        yield Finding("bad", "topics", str(error), "as it says")
        return
    yield good("topics", f"{len(TOPICS)} topics of {settings.partitions} partitions, log {log_id}")
    if process == "operator":
        async for finding in _as_the_table_says(settings, brokers):
            yield finding
        yield await _clock(settings, log_id)
        yield await _versions(settings)


async def _as_the_table_says(settings: Settings, brokers: int) -> AsyncIterator[Finding]:
    wanted = {
        settings.topic_prefix + topic.name: topic.config(settings.mode, settings.horizon_days) for topic in TOPICS
    }
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, dict.fromkeys(wanted[name])) for name in wanted]
    other = []
    async with open_admin(settings) as admin:
        for answer in await admin.describe_configs(resources):
            for _code, _message, _kind, name, entries in answer.resources:
                there = {entry[0]: entry[1] for entry in entries}
                other += [(name, key, value, there[key]) for key, value in wanted[name].items() if there[key] != value]
        replicas = {
            topic["topic"]: min(len(partition["replicas"]) for partition in topic["partitions"])
            for topic in await admin.describe_topics(list(wanted))
        }
    for name, key, value, found in other:
        yield Finding(
            "warning",
            "topics",
            f"{name} has {key}={found}, the table says {value}",
            f"kafka-configs.sh --alter --entity-type topics --entity-name {name} --add-config {key}={value}",
        )
    if not other:
        yield good("topics", "all settings are those of the table")
    single = sorted(name for name, count in replicas.items() if count == 1)
    if single and brokers > 1:
        found = f"{len(single)} topics have no second copy, {single[0]} for example"
        yield Finding("warning", "topics", found, "kafka-reassign-partitions.sh; REPLICATION_FACTOR is for new topics")


async def _clock(settings: Settings, log_id: str) -> Finding:
    """Have the broker stamp a record: the log's id, said once more."""
    producer = AIOKafkaProducer(**settings.kafka(), acks="all")
    await producer.start()
    try:
        before = time.time()
        stamped = await producer.send_and_wait(settings.topic_prefix + LOG_ID.name, log_id.encode(), CLOCK, partition=0)
        after = time.time()
    finally:
        await producer.stop()
    off = min(0.0, after - stamped.timestamp / 1_000) or max(0.0, before - stamped.timestamp / 1_000)
    if settings.mode == "live" and abs(off) > _CLOCK_SECONDS:
        return Finding("bad", "clocks", f"this machine is {off:+.1f} s off the broker's", "set it right (NTP)")
    return good(
        "clocks", f"this machine's and the broker's are {abs(off):.1f} s apart, {_CLOCK_SECONDS:.0f} s are allowed"
    )


async def _versions(settings: Settings) -> Finding:
    """Whether a worker of this program could take over: what wrote last must not be newer."""
    book = load_price_book()
    versions: dict[str, str | int] = {"price_book_size": book.size, "rules": RULES_VERSION}
    async with consumer(settings, "read_committed") as started:
        for place in places(settings, (LEDGER_JOURNAL.name,), range(settings.partitions)):
            try:
                check_versions(await last_line(started, place), versions)
            except (Refused, InvariantBroken) as error:
                found = f"partition {place.partition}: {error}"
                return Finding("bad", "versions", found, "upgrade this program: its ledger would not start")
    return good("versions", f"price book {book.version} and rules {RULES_VERSION} are those that wrote last, or later")


async def _clickhouse(settings: Settings) -> AsyncIterator[Finding]:
    clickhouse = ClickHouse(settings.clickhouse_url, settings.clickhouse_database, answer_seconds=5)
    try:
        ((server, now),) = await clickhouse.rows("SELECT version(), toUnixTimestamp64Milli(now64(3))")
        yield good("ClickHouse", f"version {server} at {without_password(settings.clickhouse_url)}")
        if abs(off := now / 1_000 - time.time()) > _CLOCK_SECONDS:
            yield Finding("warning", "clocks", f"ClickHouse's is {off:+.1f} s off this machine's", "NTP, there or here")
        known = {number for (number,) in await clickhouse.rows("SELECT number FROM schema_migrations")}
        missing = [one.name for one in migrations() if one.number not in known]
        if missing:
            found = f"database {clickhouse.database} lacks {', '.join(missing)}"
            yield Finding("warning", "ClickHouse", found, "`usage-credits migrate`, or start a sink of this version")
        else:
            yield good("ClickHouse", f"database {clickhouse.database} has all {len(known)} migrations")
    except SinkError as error:
        yield Finding(
            "bad", "ClickHouse", str(error), "start it, or set CLICKHOUSE_URL; `usage-credits migrate` makes tables"
        )
    finally:
        await clickhouse.close()
