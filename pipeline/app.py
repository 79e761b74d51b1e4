"""The composition root of the ledger: settings in, the Faust app that runs it out; knows every part, decides nothing.

`usage-credits ledger` runs it, and so does `faust -A pipeline.app worker`.
"""

from functools import partial
from typing import Any

from pipeline.agents.ledger import ledger
from pipeline.agents.ledger_machine import LedgerMachine
from pipeline.dead_letters.storm import Threshold
from pipeline.domain.pricing import CompiledPrices
from pipeline.engine.contract import Identities, MachineFactory
from pipeline.engine.faust_app import faust_app
from pipeline.engine.settings import EngineSettings
from pipeline.kafka_access import why_never_let_in
from pipeline.monitoring.ledger import LedgerMetrics
from pipeline.monitoring.loop import LoopWatch
from pipeline.monitoring.serving import serve_metrics
from pipeline.price_book import load_price_book
from pipeline.settings import Settings
from pipeline.topics import (
    ACCOUNT_COMMANDS,
    LEDGER_JOURNAL,
    LEDGER_OUTPUTS,
    LEDGER_STATE,
    SEEN_IDS,
    USAGE_EVENTS,
)


def engine_settings(settings: Settings) -> EngineSettings:
    """What the engine is told of our settings and topics."""
    return EngineSettings(
        kafka=settings.kafka(),
        prefix=settings.topic_prefix,
        group_id="ledger",
        partitions=settings.partitions,
        mode=settings.mode,
        usage_events=USAGE_EVENTS.name,
        account_commands=ACCOUNT_COMMANDS.name,
        ledger_state=LEDGER_STATE.name,
        ledger_journal=LEDGER_JOURNAL.name,
        seen_ids=SEEN_IDS.name,
        outputs=tuple(topic.name for topic in LEDGER_OUTPUTS),
        horizon_days=settings.horizon_days,
        identities_dir=settings.identities_dir or settings.data_dir / "identities",
        session_timeout_seconds=settings.session_timeout_ms / 1000,
        why_refused=partial(why_never_let_in, settings),
    )


def machine_factory(settings: Settings) -> MachineFactory:
    """Makes the ledger of one partition."""
    prices = CompiledPrices(load_price_book())
    rules = settings.rules

    def new_machine(partition: int, identities: Identities) -> LedgerMachine:
        return LedgerMachine(partition, identities, partitions=settings.partitions, prices=prices, rules=rules)

    return new_machine


def ledger_app(settings: Settings) -> Any:
    """The Faust app of one ledger worker."""
    data_dir = settings.data_dir / "faust"
    data_dir.mkdir(parents=True, exist_ok=True)  # Faust makes the last folder only
    threshold = Threshold(settings.poison_percent, settings.poison_seconds, settings.poison_events)
    metrics = LedgerMetrics(threshold, settings.partitions)
    app, chunks = faust_app(engine_settings(settings), machine_factory(settings), data_dir=data_dir, observer=metrics)
    app.agent(chunks)(ledger)
    watch = LoopWatch()
    serve_metrics(settings, lambda: watch.is_alive)
    app.task(watch.run)
    return app


def __getattr__(name: str) -> Any:
    """`app`, made when Faust's own command asks for it."""
    if name == "app":
        return ledger_app(Settings())
    raise AttributeError(name)
