"""What a contender needs to know: environment variables in; addresses, names of topics and the accounts out."""

import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.contenders.charging import Charging
from pipeline.domain.pricing import CompiledPrices
from pipeline.price_book import load_price_book
from pipeline.settings import Settings
from pipeline.topics import ACCOUNT_COMMANDS, LIMIT_BREACHES, PRICED_USAGE, USAGE_EVENTS
from schemas.money import PICOUSD_PER_USD


@dataclass(frozen=True, slots=True)
class World:
    """Where a contender reads and writes.

    Attributes:
        group: of its consumers.
        folder: its own.
        charging: knows limits and seat tiers; those were read beforehand, since all contenders would do it alike.
    """

    bootstrap_servers: str
    partitions: int
    group: str
    usage_events: str
    priced_usage: str
    limit_breaches: str
    folder: Path
    charging: Charging

    @classmethod
    def from_environment(cls) -> "World":
        """The project's own settings, and OUTPUT_PREFIX."""
        settings, output = Settings(), os.environ["OUTPUT_PREFIX"]
        limits_picousd, seat_tiers = asyncio.run(_accounts(settings))
        return cls(
            settings.kafka_bootstrap_servers,
            settings.partitions,
            output + "contender",
            settings.topic_prefix + USAGE_EVENTS.name,
            output + PRICED_USAGE.name,
            output + LIMIT_BREACHES.name,
            settings.data_dir,
            Charging(CompiledPrices(load_price_book()), limits_picousd, seat_tiers),
        )


async def _accounts(settings: Settings) -> tuple[dict[str, int], dict[str, str]]:
    """Limits by organisation and seat tiers by member, out of `account-commands`."""
    limits_picousd, seat_tiers = {}, {}
    consumer = AIOKafkaConsumer(**settings.kafka(), enable_auto_commit=False)
    await consumer.start()
    try:
        topic = settings.topic_prefix + ACCOUNT_COMMANDS.name
        places = [TopicPartition(topic, number) for number in range(settings.partitions)]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        ends = await consumer.end_offsets(places)
        while any([await consumer.position(place) < ends[place] for place in places]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    command: dict[str, Any] = json.loads(record.value)
                    if command["command"] == "add_member":
                        seat_tiers[command["user_id"]] = command["seat_tier"]
                    elif command["command"] == "set_organization_limit" and command["limit_usd"] is not None:
                        whole, _, cents = command["limit_usd"].partition(".")
                        limits_picousd[command["org_id"]] = int(whole + cents) * PICOUSD_PER_USD // 10 ** len(cents)
    finally:
        await consumer.stop()
    return limits_picousd, seat_tiers
