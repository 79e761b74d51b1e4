"""The engine as a Faust app: an app that starts no Kafka client of its own, a channel of chunks, and the service.

An agent on the channel computes; nothing else is asked of it:

    app, chunks = faust_app(settings, new_machine)

    @app.agent(chunks)
    async def ledger(stream):
        async for chunk in stream:
            await answer(chunk)
"""

import logging
from pathlib import Path
from typing import Any

import faust
from mode.supervisors import CrashingSupervisor

from pipeline.engine.contract import Chunk, MachineFactory
from pipeline.engine.engine import Engine
from pipeline.engine.observer import Observer
from pipeline.engine.preflight import Refused
from pipeline.engine.settings import EngineSettings

log = logging.getLogger(__name__)


def faust_app(
    settings: EngineSettings,
    new_machine: MachineFactory,
    *,
    data_dir: Path = Path("var/faust"),
    observer: Observer | None = None,
    **options: Any,
) -> tuple[Any, Any]:
    """(app, channel of chunks); `options` are Faust's own and win over ours."""

    class App(faust.App):  # type: ignore[misc]  # Faust has no types that mypy can follow
        class BootStrategy(faust.App.BootStrategy):  # type: ignore[misc]
            enable_kafka = False  # no consumer, producer, tables of Faust's own

    app = App(
        settings.group,
        **{
            "broker": f"kafka://{settings.brokers.split(',')[0]}",
            "store": "memory://",
            "datadir": str(data_dir),
            "web_enabled": False,
            "topic_disable_leader": True,
            "agent_supervisor": CrashingSupervisor,
            **options,
        },
    )
    chunks = app.channel(maxsize=64)

    async def submit(chunk: Chunk) -> None:
        await chunks.put(chunk)

    class Ledger(faust.Service):  # type: ignore[misc]
        """Starts and stops the engine with the app."""

        engine: Engine | None = None

        async def on_start(self) -> None:
            app.flow_control.resume()  # channels are closed until somebody opens them
            self.engine = Engine(settings, new_machine, submit, observer=observer)

        @faust.Service.task  # type: ignore[untyped-decorator]
        async def _run(self) -> None:
            assert self.engine is not None
            refused: Refused | None = None
            try:
                await self.engine.run()
            except Refused as error:
                refused = error
            if refused is not None:
                log.critical("%s", refused)
                # Out of the except block, so that Faust has no stack trace to show for what a person can mend.
                await self.crash(refused)

        async def on_stop(self) -> None:
            if self.engine is not None:
                await self.engine.stop()

    app.service(Ledger)
    return app, chunks
