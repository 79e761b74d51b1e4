"""Rights on a cluster: settings and a process come in; what that process lacks, or what was granted, goes out.

Nobody but an administrator may read ACLs, so a process asks Kafka what it may do itself.
Source: docs/decisions/0014-secured-parts.md; pipeline/rights.py.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    BrokerResponseError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    SecurityDisabled,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    for_code,
)
from aiokafka.protocol.admin import CreateAclsRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

from pipeline.errors import Mendable
from pipeline.rights import Kind, Operation, Process, Right, rights
from pipeline.settings import Settings
from pipeline.topics_admin import check_topics, open_admin, when_kafka_is_there

# Kafka's numbers.
_OPERATIONS: Mapping[Operation, int] = {
    "Read": 3,
    "Write": 4,
    "Create": 5,
    "Delete": 6,
    "Alter": 7,
    "Describe": 8,
    "DescribeConfigs": 10,
    "AlterConfigs": 11,
}
_KINDS: Mapping[Kind, int] = {"topic": 2, "group": 3, "cluster": 4, "transactional-id": 5}
_LITERAL, _PREFIXED, _ALLOW = 3, 4, 3
_COORDINATOR: Mapping[Kind, int] = {"group": 0, "transactional-id": 1}
_DENIED = (GroupAuthorizationFailedError, TransactionalIdAuthorizationFailed)


class RightsLacking(Mendable):
    """Kafka knows who we are, and does not let us do what this process does."""


async def check_rights(settings: Settings, process: Process) -> None:
    """Nothing, if whom the settings log in as may do what the process does.

    Raises:
        RightsLacking: naming what is lacking and how it is granted.
        KafkaError: no broker.
    """
    if lacking := await lacking_rights(settings, process):
        who = principal(settings)
        raise RightsLacking(
            f"Kafka at {settings.kafka_bootstrap_servers} does not let {who} do what the {process} does; lacking: "
            f"{'; '.join(map(str, lacking[:4]))}{f'; and {len(lacking) - 4} more' if len(lacking) > 4 else ''}. An "
            f"administrator grants it: `usage-credits topics acls --principal {process}={who} --apply`"
        )


async def when_let_in(settings: Settings, process: Process) -> None:
    """Wait for Kafka, and see that it lets this process do what it does.

    Raises:
        NotLetIn, RightsLacking: it does not.
    """
    await when_kafka_is_there(lambda settings: check_rights(settings, process), settings, float("inf"), logging.warning)


async def when_ready(settings: Settings, process: Process) -> str:
    """As when_let_in, and until the topics are looked at, too; the log's id.

    Raises:
        NotLetIn, RightsLacking: Kafka does not let this process do what it does.
        TopicsWrong: the topics are not made, or others.
    """
    await when_let_in(settings, process)
    return await when_kafka_is_there(check_topics, settings, float("inf"), logging.warning)


async def lacking_rights(settings: Settings, process: Process) -> list[Right]:
    """What whom the settings log in as may not do, though the process does it; topics that are not there lack nothing.

    Raises:
        KafkaError: no broker.
    """
    wanted = rights(process, settings.topic_prefix)
    async with open_admin(settings) as admin:
        may = await _operations_on_topics(admin, [right.name for right in wanted if right.kind == "topic"])
        lacking = [
            Right("topic", right.name, missing)
            for right in wanted
            if right.kind == "topic"
            and (missing := tuple(one for one in right.operations if one not in may.get(right.name, right.operations)))
        ]
        return lacking + [right for right in wanted if right.kind in _COORDINATOR and not await _may_use(admin, right)]


async def grant(settings: Settings, principals: Mapping[Process, str]) -> int:
    """Grant each process what it needs; what is granted already stays. Returns how many ACLs that are.

    Raises:
        Mendable: this Kafka has no ACLs, or not for us to give.
        KafkaError: no broker.
    """
    wanted = [
        (right, operation, who)
        for process, who in principals.items()
        for right in rights(process, settings.topic_prefix)
        for operation in right.operations
    ]
    async with open_admin(settings) as admin:
        for right, operation, who in wanted:
            pattern = _PREFIXED if right.is_prefix else _LITERAL
            request = CreateAclsRequest(
                _KINDS[right.kind], right.name, pattern, who, "*", _OPERATIONS[operation], _ALLOW
            )
            answer = await admin._send_to_controller(request)
            _raise_for(settings, answer.creation_responses)
    return len(wanted)


def principal(settings: Settings) -> str:
    """Whom Kafka takes us for, as far as the settings tell."""
    if settings.kafka_security_protocol.startswith("SASL"):
        return f"User:{settings.kafka_sasl_username}"
    return "User:ANONYMOUS" if settings.kafka_ssl_cert_file is None else "the certificate's name"


async def _may_use(admin: AIOKafkaAdminClient, right: Right) -> bool:
    # Kafka tells a group's or a transactional id's coordinator to those alone who may do something with it.
    name = right.name + "0" if right.is_prefix else right.name
    try:
        await admin.find_coordinator(name, _COORDINATOR[right.kind])
    except _DENIED:
        return False
    except BrokerResponseError:  # it has none yet: whether we may ask was looked at before
        return True
    return True


class _MetadataResponse(Response):  # type: ignore[misc]  # aiokafka has no types
    """Version 8: with what the asker may do, which aiokafka's own, up to version 5, do not have."""

    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            Array(("node_id", Int32), ("host", String("utf-8")), ("port", Int32), ("rack", String("utf-8"))),
        ),
        ("cluster_id", String("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String("utf-8")),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("authorized_operations", Int32),
    )


class _MetadataRequestStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", Array(String("utf-8"))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class _MetadataRequest(Request[_MetadataRequestStruct]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topics: list[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_MetadataRequestStruct]) -> _MetadataRequestStruct:
        return request_struct_class(self._topics, False, False, True)


async def _operations_on_topics(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, set[Operation]]:
    """What we may do with each topic that is there; nothing with one that is hidden from us."""
    answer = (await admin._send_request(_MetadataRequest(names))).to_object()
    may: dict[str, set[Operation]] = {}
    for topic in answer["topics"]:
        bits = topic["authorized_operations"]
        if topic["error_code"] == TopicAuthorizationFailedError.errno:
            may[topic["topic"]] = set()
        elif not topic["error_code"]:
            may[topic["topic"]] = {operation for operation, number in _OPERATIONS.items() if bits >> number & 1}
    return may


def _raise_for(settings: Settings, answers: Iterable[Any]) -> None:
    for code, message in answers:
        error = for_code(code)
        if error is SecurityDisabled:
            raise Mendable(
                f"Kafka at {settings.kafka_bootstrap_servers} has no ACLs: its authorizer.class.name is not set"
            )
        if error is ClusterAuthorizationFailedError:
            raise Mendable(
                f"Kafka at {settings.kafka_bootstrap_servers} does not let {principal(settings)} grant rights; log in "
                "as an administrator (KAFKA_SASL_USERNAME), or have one run `usage-credits topics acls`"
            )
        if code:
            raise error(message or "")
