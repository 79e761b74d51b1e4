"""A month with everything, rebuilt along its journal on a real Kafka: the same comes out, or what differs is told."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.app import engine_settings
from pipeline.cli import main
from pipeline.demo.reading import read_topics
from pipeline.demo.system import environment
from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.errors import Mendable
from pipeline.price_book import PACKAGED, load_price_book
from pipeline.publisher import publish
from pipeline.rebuild.command import rebuild_all
from pipeline.rebuild.rebuilding import Rebuilder, Rebuilt
from pipeline.rebuild.versions import machines_of
from pipeline.settings import Settings
from pipeline.topics import CREDIT_STATUS, LEDGER_OUTPUTS
from pipeline.topics_admin import create_topics
from tests.faults.test_accounts_faults import ENDS, PARTITIONS, the_month
from tests.support.builders import micros
from tests.support.ledger_cluster import Death, everything_at, worker

pytestmark = pytest.mark.kafka


def amiss(rebuilt: list[Rebuilt]) -> list[str]:
    return [sentence for one in rebuilt for sentence in (*one.outputs_amiss, *one.memory_amiss)]


@pytest.fixture(scope="module")
async def month(
    kafka: EmbeddedKafka, fresh_name: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    """Every command, corrections, duplicates, dead letters, forwards, a month's end; a worker killed on the way."""
    settings = Settings(
        kafka_bootstrap_servers=kafka.bootstrap_servers,
        topic_prefix=fresh_name("rebuild") + ".",
        partitions=PARTITIONS,
        mode="replay",
        session_timeout_ms=3_000,
        data_dir=tmp_path_factory.mktemp("rebuild"),
    )
    await create_topics(settings)
    await publish(settings, the_month(), ticks_at_micros=micros(ENDS))
    with worker(settings, Death(150, "before")) as victim:
        await victim.dies()
    with worker(settings) as running:
        await everything_at(micros(ENDS), settings, running)
    return settings


def test_a_month_with_everything_is_rebuilt_the_same(month: Settings) -> None:
    answer = CliRunner(env=environment(month)).invoke(main, ["rebuild", "--json"])
    assert answer.exit_code == 0, answer.output
    partitions = json.loads(answer.stdout)
    assert [one["partition"] for one in partitions] == list(range(PARTITIONS))
    assert all(one["same"] and one["transactions"] and one["compared"] and one["cells"] for one in partitions)


async def test_other_rules_are_told_by_the_first_record_that_comes_out_otherwise(month: Settings) -> None:
    """Half the horizon: an event that was taken late is too old."""
    (difference, *_) = amiss(await rebuild_all(month.model_copy(update={"horizon_days": 17})))
    assert "offset" in difference
    assert "transaction" in difference


async def test_a_price_book_that_is_not_at_hand_is_asked_for(month: Settings, tmp_path: Path) -> None:
    older = tmp_path / "older.yaml"
    older.write_bytes(PACKAGED.read_bytes().replace(b'web_search: "10"', b'web_search: "11"'))
    rebuilder = Rebuilder(month, engine_settings(month), machines_of(month, [load_price_book(older)]))
    with pytest.raises(Mendable, match=r"goes by price book \w+, at hand is \w+; give the file as it was then"):
        await rebuilder.rebuild(0)
    assert all(one.is_same for one in await rebuild_all(month, [older]))


async def test_all_that_is_rebuilt_is_written_to_another_prefix_and_is_the_same_there(month: Settings) -> None:
    prefix = f"again-{month.topic_prefix}"
    assert all(one.is_same for one in await rebuild_all(month, to_prefix=prefix))
    copy = month.model_copy(update={"topic_prefix": prefix})
    topics = [topic for topic in LEDGER_OUTPUTS if topic is not CREDIT_STATUS]
    here, there = await read_topics(month, topics), await read_topics(copy, topics)
    for topic in topics:
        assert [(r.partition, r.key, r.value) for r in there[topic.name]] == [
            (r.partition, r.key, r.value) for r in here[topic.name]
        ]
    with pytest.raises(Mendable, match=r"topics of the prefix .* exist already"):
        await rebuild_all(month, to_prefix=prefix)
