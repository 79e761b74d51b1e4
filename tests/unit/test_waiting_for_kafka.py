"""What waits for Kafka at its start, and what it does not wait for."""

from collections.abc import Awaitable, Callable

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    LeaderNotAvailableError,
    NodeNotReadyError,
    TopicAuthorizationFailedError,
)

from pipeline.settings import Settings
from pipeline.topics_admin import when_kafka_is_there


def failing_once(error: KafkaError) -> Callable[[Settings], Awaitable[str]]:
    failures = [error]

    async def task(_settings: Settings) -> str:
        if failures:
            raise failures.pop()
        return "done"

    return task


@pytest.mark.parametrize(
    "error", [KafkaConnectionError(), NodeNotReadyError(), LeaderNotAvailableError(), KafkaTimeoutError()]
)
async def test_a_kafka_of_which_a_part_is_away_is_waited_for(error: KafkaError) -> None:
    """One broker of three that was killed is a node that is not ready."""
    said: list[str] = []
    assert await when_kafka_is_there(failing_once(error), Settings(), 0.01, said.append) == "done"
    assert len(said) == 1
    with pytest.raises(type(error)):
        await when_kafka_is_there(failing_once(error), Settings(), 0, said.append)


async def test_what_would_fail_again_is_told_at_once() -> None:
    with pytest.raises(TopicAuthorizationFailedError):
        await when_kafka_is_there(failing_once(TopicAuthorizationFailedError()), Settings(), 60, pytest.fail)
