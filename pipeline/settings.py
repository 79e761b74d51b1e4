"""Settings: environment variables in, one frozen object out; the same names reach real servers and embedded ones.

Every variable is the field's name in capitals: KAFKA_BOOTSTRAP_SERVERS, CLICKHOUSE_URL, … A file `.env` is read too,
and so are files of the folder SECRETS_DIR, each named as a field in small letters: kafka_sasl_password, …
"""

import os
import re
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline.domain.rules import Rules
from pipeline.topics import HORIZON_DAYS, Mode

_BROKER = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):\d{1,5}")


class Settings(BaseSettings):
    """What a process needs to know about the world it runs in."""

    model_config = SettingsConfigDict(
        env_file=".env", secrets_dir=os.environ.get("SECRETS_DIR"), extra="ignore", frozen=True
    )

    kafka_bootstrap_servers: str = Field("127.0.0.1:9092", description="host:port, comma separated")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = None
    kafka_ssl_ca_file: Path | None = None
    kafka_ssl_cert_file: Path | None = None
    kafka_ssl_key_file: Path | None = None

    clickhouse_url: str = Field("http://default@127.0.0.1:8123", description="https:// is TLS; may name the user")
    clickhouse_user: str | None = None
    clickhouse_password: SecretStr | None = None
    clickhouse_ca_file: Path | None = Field(None, description="PEM; unset: whom this machine trusts")
    clickhouse_database: str = "usage_credits"

    partitions: int = Field(4, ge=1, description="of every topic; fixed for a cluster's life (R43)")
    replication_factor: int = Field(1, ge=1, description="of topics that are made now; in production 3")
    min_insync_replicas: int | None = Field(
        None, ge=1, description="of topics that are made now; unset: one less than REPLICATION_FACTOR, at least 1"
    )
    topic_prefix: str = Field("", description="before every topic's name and group id")
    mode: Mode = Field("live", description="replay: arrival is the producer's timestamp (R44)")
    horizon_days: int = Field(HORIZON_DAYS, ge=1, description="R17")
    suppress_zero_invoices: bool = Field(True, description="an invoice of 0.00 takes no number (R39)")
    poison_percent: int = Field(20, ge=1, le=99, description="more dead letters than this are a poison storm")
    poison_seconds: int = Field(60, ge=1, description="over so long a time")
    poison_events: int = Field(100, ge=1, description="of at least so many usage events of a worker")
    session_timeout_ms: int = Field(10_000, ge=1_000, description="how long a silent worker keeps its partitions")
    gate_host: str = Field("127.0.0.1", description="where the gate listens")
    gate_port: int = Field(8080, ge=0, le=65535)
    gate_issuer: str | None = Field(None, description="URL of the OIDC issuer whose tokens the gate takes")
    gate_audience: str = Field("usage-credits", description="what the tokens must be meant for")
    gate_public_url: str | None = Field(None, description="where people find the page, https://…; unset: this machine")
    gate_client_id: str | None = Field(None, description="the page's, at the issuer; unset: GATE_AUDIENCE")
    gate_client_secret: SecretStr | None = Field(None, description="unset: a public client, with PKCE alone")
    gate_session_secret: SecretStr | None = Field(
        None, min_length=32, description="signs sessions, the same for all gates; unset: one in DATA_DIR"
    )
    gate_dev_tokens: bool = Field(False, description="take tokens of `usage-credits token`; on loopback alone")
    gate_as_of_seconds: float = Field(60, gt=0, description="an older copy cannot tell who may spend (R33)")
    gate_answer_seconds: float = Field(10, gt=0, description="how long Kafka and the ledger may take to answer")
    gate_user_requests_per_second: int = Field(50, ge=1, description="of one person")
    gate_service_requests_per_second: int = Field(20_000, ge=1, description="of one service")
    smtp_host: str | None = Field(None, description="the mail server of `usage-credits mailer`")
    smtp_port: int = Field(587, ge=1, le=65535)
    smtp_security: Literal["starttls", "tls", "none"] = Field("starttls", description="none: in clear, without login")
    smtp_ca_file: Path | None = Field(None, description="who signed the server's certificate; unset: the system's")
    smtp_username: str | None = Field(None, description="unset: without login")
    smtp_password: SecretStr | None = None
    mail_dir: Path | None = Field(None, description="without SMTP_HOST: mails are laid there as files, and not sent")
    mail_from: str | None = Field(None, description="the sender: Usage credits <usage@example.com>")
    mail_url: str | None = Field(None, description="of the Usage page, at the end of each mail")
    mail_hours: int = Field(24, ge=1, le=24 * 30, description="what is older is not mailed any more")
    log_format: Literal["text", "json"] = Field("text", description="of every process: for people or programs")
    metrics_host: str = Field("127.0.0.1", description="where Prometheus finds what is not a gate")
    metrics_port: int | None = Field(None, ge=1, le=65535, description="/metrics and /healthz; unset: none")
    data_dir: Path = Path("var")
    identities_dir: Path | None = Field(
        None, description="local disk for what the ledger has seen (R14); unset: in DATA_DIR. May be lost at any time"
    )

    @property
    def client_id(self) -> str:
        """What the issuer knows the page by."""
        return self.gate_client_id or self.gate_audience

    @property
    def rules(self) -> Rules:
        """What an operator may set of the rules."""
        return Rules(horizon_days=self.horizon_days, suppress_zero_invoices=self.suppress_zero_invoices)

    @model_validator(mode="after")
    def _names_servers(self) -> Self:
        for broker in self.kafka_bootstrap_servers.split(","):
            if not _BROKER.fullmatch(broker.strip()):
                raise ValueError(
                    f"KAFKA_BOOTSTRAP_SERVERS={self.kafka_bootstrap_servers}: {broker.strip()!r} is not host:port; "
                    "write kafka-1:9092,kafka-2:9092"
                )
        try:
            url = urlsplit(self.clickhouse_url)
            names_a_server = url.scheme in ("http", "https") and url.hostname and (url.port is None or url.port > 0)
        except ValueError:
            names_a_server = False
        if not names_a_server:  # the URL itself may hold a password
            raise ValueError("CLICKHOUSE_URL is not the URL of a server; write http://user@host:8123 or https://…:8443")
        return self

    @model_validator(mode="after")
    def _can_be_written(self) -> Self:
        if self.written_replicas > self.replication_factor:
            raise ValueError(
                f"MIN_INSYNC_REPLICAS={self.min_insync_replicas} is more than "
                f"REPLICATION_FACTOR={self.replication_factor}: nothing could be written"
            )
        return self

    @model_validator(mode="after")
    def _logs_in_as_somebody(self) -> Self:
        if self.kafka_security_protocol.startswith("SASL") and not (
            self.kafka_sasl_username and self.kafka_sasl_password
        ):
            raise ValueError(
                f"KAFKA_SECURITY_PROTOCOL={self.kafka_security_protocol} needs KAFKA_SASL_USERNAME and "
                "KAFKA_SASL_PASSWORD"
            )
        for file in (
            self.kafka_ssl_ca_file,
            self.kafka_ssl_cert_file,
            self.kafka_ssl_key_file,
            self.clickhouse_ca_file,
        ):
            if file is not None and not file.is_file():
                raise ValueError(f"{file} is no file; it is named by KAFKA_SSL_… or CLICKHOUSE_CA_FILE")
        return self

    @model_validator(mode="after")
    def _has_one_clickhouse_url(self) -> Self:
        """Whoever takes the URL has all that is known of the way there."""
        url = urlsplit(self.clickhouse_url)
        login, _, address = url.netloc.rpartition("@")
        user, _, password = login.partition(":")
        if self.clickhouse_user is not None:
            user = quote(self.clickhouse_user, safe="")
        if self.clickhouse_password is not None:
            password = quote(self.clickhouse_password.get_secret_value(), safe="")
        login = f"{user}:{password}" if password else user
        query = dict(parse_qsl(url.query))
        if self.clickhouse_ca_file is not None:
            query["ca_cert"] = str(self.clickhouse_ca_file)
        whole = url._replace(netloc=f"{login}@{address}" if login else address, query=urlencode(query))
        object.__setattr__(self, "clickhouse_url", whole.geturl())
        return self

    @property
    def written_replicas(self) -> int:
        """How many replicas have a record before it counts as written: one broker may be lost."""
        return self.min_insync_replicas or max(1, self.replication_factor - 1)

    def kafka(self) -> dict[str, Any]:
        """What every aiokafka client takes to reach the brokers."""
        import pipeline.engine.header_names  # so that each can read whatever lies there
        import pipeline.engine.lost_connections  # noqa: F401  # and hears of a lost connection as of any other failure

        arguments: dict[str, Any] = {
            "bootstrap_servers": self.kafka_bootstrap_servers,
            "security_protocol": self.kafka_security_protocol,
        }
        if self.kafka_security_protocol.startswith("SASL"):
            arguments["sasl_mechanism"] = self.kafka_sasl_mechanism
            arguments["sasl_plain_username"] = self.kafka_sasl_username
            arguments["sasl_plain_password"] = self.kafka_sasl_password and self.kafka_sasl_password.get_secret_value()
        if self.kafka_security_protocol.endswith("SSL"):
            from aiokafka.helpers import create_ssl_context

            arguments["ssl_context"] = create_ssl_context(
                cafile=self.kafka_ssl_ca_file and str(self.kafka_ssl_ca_file),
                certfile=self.kafka_ssl_cert_file and str(self.kafka_ssl_cert_file),
                keyfile=self.kafka_ssl_key_file and str(self.kafka_ssl_key_file),
            )
        return arguments
