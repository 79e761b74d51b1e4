"""Settings that depend on each other."""

import pytest
from pydantic import ValidationError

from pipeline.errors import sentence_for
from pipeline.settings import Settings


@pytest.mark.parametrize(
    ("replication_factor", "min_insync_replicas", "written_replicas"),
    [(1, None, 1), (2, None, 1), (3, None, 2), (3, 1, 1), (3, 3, 3)],
)
def test_one_broker_may_be_lost_unless_it_is_set_otherwise(
    replication_factor: int, min_insync_replicas: int | None, written_replicas: int
) -> None:
    settings = Settings(replication_factor=replication_factor, min_insync_replicas=min_insync_replicas)
    assert settings.written_replicas == written_replicas


def test_more_replicas_in_sync_than_there_are_is_refused_in_a_sentence() -> None:
    with pytest.raises(ValidationError) as raised:
        Settings(replication_factor=1, min_insync_replicas=2)
    sentence = sentence_for(raised.value)
    assert sentence is not None
    assert "MIN_INSYNC_REPLICAS=2 is more than REPLICATION_FACTOR=1" in sentence
