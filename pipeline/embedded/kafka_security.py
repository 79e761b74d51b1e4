"""Kafka that lets in only whom it knows: certificates and users in, a node's settings and arguments of its making out.

Clients come by TLS and a password (SASL_SSL, SCRAM-SHA-512), and may do what an ACL allows; the node reaches its own
controller by TLS with its certificate. Source: docs/decisions/0014-secured-parts.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MECHANISM = "SCRAM-SHA-512"
NODE = "node"
"""The common name in the node's certificate."""


@dataclass(frozen=True, slots=True)
class KafkaSecurity:
    """What a secured node is made of.

    Attributes:
        key_file: PEM: the node's private key (PKCS#8) and its certificate, for 127.0.0.1 and the common name NODE.
        ca_file: PEM: who signed it; clients must trust the same.
        users: name → password, made with the cluster; later ones are made by Kafka's own means.
        admin: the one of them who may do all; the node logs in as this one too.
    """

    key_file: Path
    ca_file: Path
    users: Mapping[str, str]
    admin: str

    def settings(self) -> dict[str, str]:
        """Broker settings."""
        login = "org.apache.kafka.common.security.scram.ScramLoginModule required"
        return {
            "listener.security.protocol.map": "CLIENT:SASL_SSL,CONTROLLER:SSL",
            "sasl.enabled.mechanisms": MECHANISM,
            "sasl.mechanism.inter.broker.protocol": MECHANISM,
            f"listener.name.client.{MECHANISM.lower()}.sasl.jaas.config": (
                f'{login} username="{self.admin}" password="{self.users[self.admin]}";'
            ),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.key_file),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.ca_file),
            "listener.name.controller.ssl.client.auth": "required",
            "ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            "super.users": f"User:{self.admin};User:{NODE}",
        }

    def format_arguments(self) -> list[str]:
        """Of the tool that makes the cluster: without users nobody could log in to make the first."""
        made = [f"{MECHANISM}=[name={name},password={password}]" for name, password in self.users.items()]
        return [argument for user in made for argument in ("--add-scram", user)]
