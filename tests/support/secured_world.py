"""Kafka with TLS, passwords and ACLs, ClickHouse behind TLS: a folder in; settings for each user out."""

import asyncio
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from pipeline.demo.system import environment
from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.embedded.kafka_security import NODE, KafkaSecurity
from pipeline.settings import Settings

ROOT = Path(__file__).parents[2]
ADMIN = "admin"
USERS = {name: f"{name}-s3cret" for name in (ADMIN, "ledger", "sink", "gate", "products", "operator", "nobody")}


@dataclass(frozen=True, slots=True)
class Secured:
    """What runs, and how each user comes to it."""

    kafka: EmbeddedKafka
    ca_file: Path
    key_file: Path
    data_dir: Path
    prefix: str = "secured."

    def settings(self, user: str, **more: Any) -> Settings:
        """Of a process that logs in as this user."""
        ours = {
            "kafka_bootstrap_servers": self.kafka.bootstrap_servers,
            "kafka_security_protocol": "SASL_SSL",
            "kafka_sasl_username": user,
            "kafka_sasl_password": USERS[user],
            "kafka_ssl_ca_file": self.ca_file,
            "topic_prefix": self.prefix,
            "partitions": 2,
            "data_dir": self.data_dir,
        }
        return Settings(**(ours | more))


def certificates(folder: Path) -> tuple[Path, Path]:
    """A node's key with its certificate, and who signed it; both PEM."""
    ca = trustme.CA()
    issued = ca.issue_cert("127.0.0.1", common_name=NODE)
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    key_file, ca_file = folder / "node.pem", folder / "ca.pem"
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    # Kafka reads no other form of a key.
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + chain)
    ca.cert_pem.write_to_path(ca_file)
    return key_file, ca_file


def secured_kafka(folder: Path) -> Secured:
    """Not started yet."""
    folder.mkdir(parents=True)
    key_file, ca_file = certificates(folder)
    security = KafkaSecurity(key_file, ca_file, USERS, ADMIN)
    return Secured(EmbeddedKafka(folder / "kafka", security=security), ca_file, key_file, folder)


@asynccontextmanager
async def tls_in_front(address: str, key_file: Path) -> AsyncIterator[str]:
    """`127.0.0.1:PORT`, which takes TLS and hands on what comes to a plain address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(key_file)
    host, _, port = address.rpartition(":")

    async def hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            inside_reader, inside_writer = await asyncio.open_connection(host, int(port))
            await asyncio.gather(_copy(reader, inside_writer), _copy(inside_reader, writer))

    server = await asyncio.start_server(hand_on, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, asyncio.IncompleteReadError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


def run(settings: Settings, *command: str) -> "subprocess.CompletedProcess[str]":
    """A command of ours, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *command],
        cwd=ROOT,
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=180,
    )


def configure(secured: Secured, *arguments: str) -> str:
    """Kafka's own `kafka-configs.sh`, as an administrator; what it says."""
    login = "org.apache.kafka.common.security.scram.ScramLoginModule required"
    (properties := secured.data_dir / "admin.properties").write_text(
        "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\nssl.truststore.type=PEM\n"
        f"ssl.truststore.location={secured.ca_file}\n"
        f'sasl.jaas.config={login} username="{ADMIN}" password="{USERS[ADMIN]}";\n'
    )
    where = ("--bootstrap-server", secured.kafka.bootstrap_servers, "--command-config", str(properties))
    command = secured.kafka.tool("kafka.admin.ConfigCommand", *where, "--alter", *arguments)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()
