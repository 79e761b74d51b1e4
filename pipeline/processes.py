"""The processes as the command line runs them: settings in; a ledger, a sink or a gate until SIGTERM or Ctrl-C."""

import asyncio
import gc
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pipeline.logs import set_up_logs
from pipeline.settings import Settings

if TYPE_CHECKING:
    from pipeline.mailer.outlet import Outlet
    from pipeline.rights import Process


def run_ledger() -> NoReturn:
    """One ledger worker; waits for Kafka; exits with 0 when asked to stop, with 1 when it cannot go on.

    Raises:
        Refused: the topics are not made, or others.
        NotLetIn, RightsLacking: Kafka does not take us, or not for a ledger.
    """
    import faust
    import mode.loop

    from pipeline.app import engine_settings, ledger_app
    from pipeline.engine.preflight import cluster_when_ready
    from pipeline.errors import quiet_libraries
    from pipeline.rights_admin import when_let_in

    if sys.platform != "win32":
        mode.loop.use("uvloop")  # a transaction takes a fifth less processor time (docs/performance.md)
    settings = Settings()
    set_up_logs(settings.log_format)
    quiet_libraries()  # again: importing Faust gave some of them their voice back
    asyncio.run(when_let_in(settings, "ledger"))
    # The worker looks again; asked first, it answers with a sentence instead of a crashed service.
    asyncio.run(cluster_when_ready(engine_settings(settings)))
    # What is made from here on lives for one chunk or for ever: looking for cycles among it costs 7 % and finds none.
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    code: int | str | None = 0
    try:
        faust.Worker(
            ledger_app(settings), loglevel="INFO", redirect_stdouts=False, override_logging=False
        ).execute_from_commandline()
    except SystemExit as exit_:
        code = exit_.code
    raise SystemExit(1 if code else 0)


def run_sink() -> None:
    """One sink; waits for Kafka and ClickHouse.

    Raises:
        TopicsWrong: the topics are not made, or others.
        NotLetIn, RightsLacking: Kafka does not take us, or not for a sink.
        Broken: an invariant does not hold.
    """
    settings = Settings()
    set_up_logs(settings.log_format)
    asyncio.run(_sink(settings))


def run_gate() -> None:
    """One gate; waits for Kafka.

    Raises:
        Mendable: nobody could call it, or development tokens off loopback.
    """
    from pipeline.errors import quiet_libraries
    from pipeline.gate import server

    settings = Settings()
    set_up_logs(settings.log_format)
    quiet_libraries()
    server.run_gate(settings)


def run_mailer() -> None:
    """One mailer; waits for Kafka and the mail server.

    Raises:
        Mendable: neither a mail server nor a folder is named, or no sender.
        TopicsWrong: the topics are not made, or others.
    """
    from pipeline.errors import quiet_libraries
    from pipeline.mailer.outlet import outlet_of

    settings = Settings()
    set_up_logs(settings.log_format)
    quiet_libraries()
    asyncio.run(_mailer(settings, outlet_of(settings)))


def run_token(sub: str, scopes: tuple[str, ...], hours: int, data_dir: Path | None) -> str:
    """A development token for a gate on this machine.

    Raises:
        Mendable: the gate that the settings name is none on loopback; or no such scope, no such id.
    """
    from pipeline.errors import Mendable
    from pipeline.gate.callers import SCOPES, dev_secret, dev_token
    from pipeline.gate.server import is_loopback
    from schemas.base import is_identifier

    settings = Settings()
    if not is_loopback(settings.gate_host):
        raise Mendable(f"development tokens are for loopback alone; GATE_HOST is {settings.gate_host}")
    if unknown := set(scopes) - set(SCOPES):
        raise Mendable(f"no scope {min(unknown)!r}; scopes are {', '.join(SCOPES)}")
    if not is_identifier(sub):
        raise Mendable(f"{sub[:64]!r} is no id: 1-128 printable ASCII characters without spaces")
    return dev_token(dev_secret(data_dir or settings.data_dir), sub, scopes, settings.gate_audience, hours * 3_600)


def run_migrate() -> dict[str, Any]:
    """Bring ClickHouse to this version; returns what was applied now, for people."""
    return asyncio.run(_migrate(Settings()))


def _stop_on_signals() -> asyncio.Event:
    """Set by SIGTERM and Ctrl-C from now on: before anything is imported that takes a while."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _watch_loop(settings: Settings) -> asyncio.Task[NoReturn]:
    """Serve metrics, that of the loop among them, until the task is cancelled."""
    from pipeline.monitoring.loop import LoopWatch
    from pipeline.monitoring.serving import serve_metrics

    watch = LoopWatch()
    serve_metrics(settings, lambda: watch.is_alive)
    return asyncio.create_task(watch.run())


async def _log_id_unless_stopped(settings: Settings, process: "Process", stop: asyncio.Event) -> str | None:
    """The log's id once Kafka is there and lets us in and its topics are right; None if asked to stop before."""
    from pipeline.rights_admin import when_ready

    waiting = asyncio.create_task(when_ready(settings, process))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({waiting, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if stop.is_set():
        waiting.cancel()
        return None
    return await waiting


async def _mailer(settings: Settings, outlet: "Outlet") -> None:
    stop = _stop_on_signals()

    from pipeline.mailer.service import run_mailer

    watching = _watch_loop(settings)
    if await _log_id_unless_stopped(settings, "mailer", stop) is not None:
        await run_mailer(settings, outlet, stop)
    watching.cancel()


async def _sink(settings: Settings) -> None:
    stop = _stop_on_signals()

    from pipeline.list_prices import list_prices
    from sinks.sink import SinkConfig, run_sink

    watching = _watch_loop(settings)
    log_id = await _log_id_unless_stopped(settings, "sink", stop)
    if log_id is None:
        return
    config = SinkConfig(
        kafka=settings.kafka(),
        topic_prefix=settings.topic_prefix,
        group_id=settings.topic_prefix + "sink",
        clickhouse_url=settings.clickhouse_url,
        database=settings.clickhouse_database,
        log_id=log_id,
        prices=list_prices(),
        session_timeout_ms=settings.session_timeout_ms,
    )
    await run_sink(config, stop)
    watching.cancel()


async def _migrate(settings: Settings) -> dict[str, Any]:
    from pipeline.list_prices import list_prices
    from sinks.clickhouse import ClickHouse
    from sinks.list_prices import store_prices
    from sinks.migrate import migrate

    clickhouse = ClickHouse(settings.clickhouse_url, settings.clickhouse_database)
    try:
        applied = await migrate(clickhouse)
        await store_prices(clickhouse, list_prices())
    finally:
        await clickhouse.close()
    return {
        "database": settings.clickhouse_database,
        "applied": [f"{migration.number:04d}_{migration.name}" for migration in applied],
    }
