"""Why Kafka does not let us in: settings in; a sentence on the login, the certificate or the protocol out."""

import ssl
from typing import NamedTuple

from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from pipeline.errors import Mendable
from pipeline.settings import Settings

_PATIENCE_MILLIS = 5_000
_REFUSED = (
    AuthenticationFailedError,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)


class NotLetIn(Mendable):
    """A broker is there, and refuses us."""


class Refusal(NamedTuple):
    """What a broker has against us; where it is final, to try again changes nothing."""

    sentence: str
    is_final: bool


async def why_never_let_in(settings: Settings) -> str | None:
    """What a broker has against us that no waiting will mend."""
    refusal = await why_not_let_in(settings)
    return refusal.sentence if refusal is not None and refusal.is_final else None


async def why_not_let_in(settings: Settings) -> Refusal | None:
    """What a broker has against us; None if one takes us, or none is there.

    aiokafka itself says of either only that it found no broker.
    """
    given = settings.kafka()
    refusal = None
    for address in given.pop("bootstrap_servers").split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            connection = await create_conn(host.strip("[]"), int(port), request_timeout_ms=_PATIENCE_MILLIS, **given)
            try:
                await connection.send(MetadataRequest([]))
            finally:
                connection.close()
            return None
        except _REFUSED as error:
            refusal = Refusal(
                f"Kafka at {address} refuses {settings.kafka_sasl_username!r} by {settings.kafka_sasl_mechanism} "
                f"({str(error).rstrip('.')}); see KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and KAFKA_SASL_MECHANISM",
                is_final=True,
            )
        except ssl.SSLCertVerificationError as error:
            refusal = Refusal(
                f"Kafka at {address} shows a certificate that is not trusted here ({error.verify_message}); "
                f"KAFKA_SSL_CA_FILE={settings.kafka_ssl_ca_file} must hold who signed it",
                is_final=True,
            )
        except ssl.SSLError as error:
            refusal = Refusal(
                f"Kafka at {address} does not speak TLS with us ({error.reason}); KAFKA_SECURITY_PROTOCOL is "
                f"{settings.kafka_security_protocol}",
                is_final=True,
            )
        except (OSError, TimeoutError):
            continue
        except KafkaError:
            refusal = Refusal(
                f"Kafka at {address} takes the connection and closes it, as one that wants TLS or a login does; "
                f"KAFKA_SECURITY_PROTOCOL is {settings.kafka_security_protocol}",
                is_final=False,
            )
    return refusal
