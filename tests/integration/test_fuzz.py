"""A worker that is given what nobody should send goes on, and accounts for all of it (R17, R41)."""

from pathlib import Path

import pytest

from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.settings import Settings
from tests.fuzz.originals import accounts
from tests.fuzz.worker import PARTITIONS, fuzz

pytestmark = pytest.mark.kafka

RECORDS = 3_000


async def test_a_worker_accounts_for_every_record(kafka: EmbeddedKafka, topic_prefix: str, tmp_path: Path) -> None:
    settings = Settings(
        kafka_bootstrap_servers=kafka.bootstrap_servers,
        topic_prefix=topic_prefix,
        partitions=PARTITIONS,
        data_dir=tmp_path,
    )
    outcomes = await fuzz(settings, seed=3, records=RECORDS)
    assert outcomes["records"] == RECORDS + len(accounts())
    assert outcomes["accepted"] > RECORDS / 10
