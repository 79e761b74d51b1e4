"""Kafka with TLS, SCRAM and an authorizer, ClickHouse behind TLS: each process gets along with its least rights."""

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
import trustme
from aiokafka.errors import TopicAuthorizationFailedError
from clickhouse_connect.driver.client import Client

from pipeline.embedded.clickhouse import EmbeddedClickHouse
from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.embedded.ports import free_port
from pipeline.publisher import Outgoing, publish
from pipeline.reading import consumer, places
from pipeline.rights import PROCESSES
from pipeline.rights_admin import RightsLacking, check_rights, grant, lacking_rights
from pipeline.settings import Settings
from pipeline.topics_admin import create_topics
from tests.support.builders import add_member, as_json, register, set_credits
from tests.support.gate_world import GateWorld, make_organization, process, usage
from tests.support.secured_world import ADMIN, Secured, configure, run, secured_kafka, tls_in_front
from tests.support.sink_world import until

GRANTS = Path(__file__).parents[2] / "deploy" / "clickhouse-grants.sql"

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]


@pytest.fixture(scope="module")
def started(server_dir: Path, fresh_name: Callable[[str], str]) -> Iterator[Secured]:
    secured = secured_kafka(server_dir / fresh_name("secured"))
    with secured.kafka:
        yield secured


@pytest.fixture(scope="module")
async def secured(started: Secured) -> Secured:
    """Topics are made, and rights given, by an administrator."""
    admin = started.settings(ADMIN)
    await create_topics(admin)
    await grant(admin, {name: f"User:{name}" for name in PROCESSES})
    return started


async def test_usage_is_priced_and_stored_by_processes_that_may_do_no_more_than_they_do(
    secured: Secured, clickhouse: EmbeddedClickHouse, database: str, client: Client
) -> None:
    url = urlsplit(clickhouse.url)
    reader = urlsplit(clickhouse.reader_url)
    async with tls_in_front(f"{url.hostname}:{url.port}", secured.key_file) as address:
        store = {
            "clickhouse_url": f"https://{address}",
            "clickhouse_ca_file": secured.ca_file,
            "clickhouse_database": database,
        }
        writes = {"clickhouse_user": url.username, "clickhouse_password": url.password}
        reads = {"clickhouse_user": reader.username, "clickhouse_password": reader.password}
        gate = secured.settings("gate", gate_port=free_port(), gate_dev_tokens=True, **store, **reads)
        with (
            process(secured.settings("ledger"), "ledger"),
            process(gate, "gate"),
            process(secured.settings("sink", **store, **writes), "sink"),
        ):
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{gate.gate_port}", timeout=30) as http:
                world = GateWorld(gate, http)
                await world.ready()
                await make_organization(world, "acme")
                event = json.dumps(usage("one", "acme", 7)).encode()
                await publish(
                    secured.settings("products"), [Outgoing("usage-events", b"acme", event, time.time_ns() // 1_000)]
                )
                rows = await asyncio.to_thread(stored, client)
                assert rows == [("acme", "mia", "one", "0.07")]
                # The gate reads ClickHouse as a user who may do nothing else.
                answer = await world.call("GET", "/v1/organizations/acme/members/mia", of="mia")
                assert answer.status_code == 200


def stored(client: Client) -> list[tuple[str, ...]]:
    """What ClickHouse has of usage, as soon as there is any."""
    query = "SELECT org_id, user_id, event_id, toString(toDecimal64(cost_usd, 2)) FROM priced_usage"
    rows: list[tuple[str, ...]] = []
    while not rows:
        time.sleep(0.1)
        if client.command("EXISTS TABLE priced_usage"):
            rows = [tuple(row) for row in client.query(query).result_rows]
    return rows


@pytest.mark.parametrize("name", ["ledger", "sink", "gate", "operator"])
async def test_each_process_lacks_nothing(secured: Secured, name: str) -> None:
    assert await lacking_rights(secured.settings(name), name) == []  # type: ignore[arg-type]


async def test_what_a_process_does_not_do_it_may_not_do(secured: Secured) -> None:
    # Only the gate commands (R1): a product's password is no way to raise a limit.
    command = Outgoing("account-commands", b"acme", b"{}", 0)
    with pytest.raises(TopicAuthorizationFailedError):
        await publish(secured.settings("products"), [command])


async def test_all_that_lacks_is_named_together_with_who_grants_it(secured: Secured) -> None:
    with pytest.raises(RightsLacking) as error:
        await check_rights(secured.settings("sink"), "ledger")
    assert "User:sink do what the ledger does; lacking: Read and Write on topic secured.usage-events" in str(
        error.value
    )
    assert "`usage-credits topics acls --principal ledger=User:sink --apply`" in str(error.value)


def test_doctor_lists_what_is_lacking_and_who_is_asked(secured: Secured) -> None:
    ended = run(secured.settings("sink"), "doctor", "--process", "gate", "--json")
    assert ended.returncode == 1
    lacking = [one for one in json.loads(ended.stdout) if one["area"] == "permissions"]
    assert {one["found"] for one in lacking} >= {
        "a gate needs Write on topic secured.usage-events",
        "a gate needs Read and Write on topic secured.member-contacts",
    }
    assert {one["to_do"] for one in lacking} == {
        "as an administrator: `usage-credits topics acls --principal gate=User:sink --apply`"
    }


def test_a_ledger_with_too_few_rights_does_not_start(secured: Secured) -> None:
    ended = run(secured.settings("sink"), "ledger")
    assert ended.returncode == 1
    assert "does not let User:sink do what the ledger does" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_rights_are_given_and_printed_by_the_command(secured: Secured) -> None:
    granted = run(secured.settings(ADMIN), "topics", "acls", "--principal", "sink=User:nobody", "--apply")
    assert (granted.returncode, granted.stderr) == (0, "")
    assert granted.stdout.endswith("ACLs for User:nobody (sink)\n")
    checked = run(secured.settings("nobody"), "topics", "--check")
    assert checked.returncode == 0, checked.stderr
    refused = run(secured.settings("ledger"), "topics", "acls", "--apply")
    assert refused.returncode == 1
    assert "does not let User:ledger grant rights; log in as an administrator" in refused.stderr


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"kafka_sasl_password": "wrong"}, "refuses 'ledger' by SCRAM-SHA-512"),
        ({"kafka_sasl_username": "stranger"}, "refuses 'stranger' by SCRAM-SHA-512"),
        ({"kafka_sasl_mechanism": "PLAIN"}, "refuses 'ledger' by PLAIN"),
        ({"kafka_security_protocol": "PLAINTEXT"}, "takes the connection and closes it"),
        ({"kafka_security_protocol": "SSL"}, "takes the connection and closes it"),
    ],
)
def test_who_comes_without_a_login_is_refused_and_told_why(
    secured: Secured, change: dict[str, str], sentence: str
) -> None:
    ended = run(secured.settings("ledger", **change), "topics", "--check")
    assert ended.returncode == 1
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_ledger_with_a_wrong_password_ends_at_once(secured: Secured) -> None:
    ended = run(secured.settings("ledger", kafka_sasl_password="wrong"), "ledger")
    assert ended.returncode == 1
    assert "refuses 'ledger' by SCRAM-SHA-512" in ended.stderr


def test_a_node_that_somebody_else_vouches_for_is_not_trusted(secured: Secured, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    ended = run(secured.settings("ledger", kafka_ssl_ca_file=tmp_path / "other.pem"), "topics", "--check")
    assert ended.returncode == 1
    assert "shows a certificate that is not trusted here" in ended.stderr


def test_grants_are_statements_that_clickhouse_reads(client: Client) -> None:
    """Read alone: the embedded engine has no users to make."""
    text = re.sub(r"--.*", "", GRANTS.read_text())
    statements = [statement.strip() for statement in text.split(";") if statement.strip()]
    assert len(statements) == 9
    for statement in statements:
        assert client.command("SELECT formatQuery({statement:String})", parameters={"statement": statement})


async def test_an_open_kafka_has_no_acls_to_give(kafka: EmbeddedKafka, topic_prefix: str) -> None:
    settings = Settings(kafka_bootstrap_servers=kafka.bootstrap_servers, topic_prefix=topic_prefix)
    ended = await asyncio.to_thread(run, settings, "topics", "acls", "--apply")
    assert ended.returncode == 1
    assert "has no ACLs: its authorizer.class.name is not set" in ended.stderr


# Passwords are changed. docs/operations.md shows the same commands.


async def test_a_password_is_changed_by_a_second_user_and_whoever_keeps_an_old_one_lets_go(secured: Secured) -> None:
    def user(name: str, password: str) -> None:
        configure(
            secured,
            "--entity-type",
            "users",
            "--entity-name",
            name,
            f"--add-config=SCRAM-SHA-512=[password={password}]",
        )

    def worker(name: str, password: str, folder: str) -> Settings:
        (data_dir := secured.data_dir / folder).mkdir()
        login = {"kafka_sasl_username": name, "kafka_sasl_password": password}
        return secured.settings("ledger", data_dir=data_dir, **login)

    await asyncio.to_thread(user, "first", "one")
    await asyncio.to_thread(user, "second", "two")
    for name in ("first", "second"):
        granted = run(secured.settings(ADMIN), "topics", "acls", "--principal", f"ledger=User:{name}", "--apply")
        assert granted.returncode == 0, granted.stderr
    await command(secured, "initech")
    with process(worker("first", "one", "first"), "ledger") as first:
        await priced(secured, "initech")
        with process(worker("second", "two", "second"), "ledger") as second:
            await until(lambda: workers(secured, 2), "two workers")
            first.terminate()
            assert await asyncio.to_thread(first.wait) == 0
            await priced(secured, "initech")
            # In place: the worker goes on until it has to log in again, and then does not keep a partition to itself.
            await asyncio.to_thread(user, "second", "three")
            await priced(secured, "initech")
            with process(worker("second", "three", "third"), "ledger"):
                assert await asyncio.to_thread(second.wait) == 1
                assert "refuses 'second' by SCRAM-SHA-512" in (secured.data_dir / "second" / "ledger.log").read_text()
                await priced(secured, "initech")


async def command(secured: Secured, org_id: str) -> None:
    """An organisation with a member who may spend."""
    wires = (register(org_id), set_credits(org_id=org_id), add_member("mia", org_id=org_id))
    records = [Outgoing("account-commands", org_id.encode(), as_json(wire), 0) for wire in wires]
    await publish(secured.settings("gate"), records)


async def priced(secured: Secured, org_id: str) -> None:
    """An event is used, and priced."""
    before = await rows(secured)
    event = json.dumps(usage(uuid4().hex, org_id, 1)).encode()
    await publish(secured.settings("products"), [Outgoing("usage-events", org_id.encode(), event, 0)])

    async def is_there() -> bool:
        return await rows(secured) > before

    await until(is_there, "a priced row")


async def rows(secured: Secured) -> int:
    """Where `priced-usage` ends, all partitions together: markers of transactions count."""
    settings = secured.settings(ADMIN)
    async with consumer(settings, "read_committed") as reader:
        return sum((await reader.end_offsets(places(settings, ["priced-usage"], range(2)))).values())


async def workers(secured: Secured, count: int) -> bool:
    """Whether so many share the ledger's partitions."""
    ended = await asyncio.to_thread(run, secured.settings(ADMIN), "status", "--quick", "--json")
    return bool(json.loads(ended.stdout)["workers"]["ledger"] == count)
