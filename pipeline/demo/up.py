"""`usage-credits up`: a data directory goes in; the whole system runs on this machine, live, until Ctrl-C.

Data, ports and passwords stay in the directory: the next `up` goes on where this one ended.
"""

import asyncio
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline.contacts import ContactFollower, encoded
from pipeline.demo.feed import command_record, contacts, registration, team_registration
from pipeline.demo.system import System, command_line, local_system, stop_in_order_on_signals
from pipeline.embedded.ports import choose_port
from pipeline.publisher import Outgoing, publish
from pipeline.screen import console
from pipeline.settings import Settings
from pipeline.topics import MEMBER_CONTACTS
from pipeline.topics_admin import create_topics
from schemas.contacts import Contact, contact_key
from schemas.instants import MICROS_PER_SECOND

_LOOK_SECONDS = 0.5


def run_up(data_dir: Path, *, with_people: bool, kafka_port: int, clickhouse_port: int, gate_port: int) -> int:
    """Run until Ctrl-C or SIGTERM; returns the exit code.

    Raises:
        EmbeddedError, Mendable: a part did not start, or ended.
    """
    stop_in_order_on_signals()
    screen = console()

    def say(line: str) -> None:
        screen.print(f"  {line}", style="dim")

    try:
        with local_system(data_dir, "live", say, kafka_port=kafka_port, clickhouse_port=clickhouse_port) as system:
            port = _gate_port(gate_port, data_dir)
            system.settings = system.settings.model_copy(
                update={"gate_port": port, "gate_dev_tokens": True, **_mail(system.settings, port)}
            )
            asyncio.run(_stay(system, screen, with_people))
    except KeyboardInterrupt:
        screen.print("stopped; the data stays in", data_dir)
    return 0


def _gate_port(wanted: int, data_dir: Path) -> int:
    remembered = data_dir / "gate" / "port"
    port = choose_port(wanted, remembered)
    remembered.parent.mkdir(parents=True, exist_ok=True)
    remembered.write_text(str(port))
    return port


def _mail(settings: Settings, gate_port: int) -> dict[str, Any]:
    """Settings of the mailer that nobody made: mails lie in a folder until a mail server is named."""
    return {
        "mail_dir": settings.mail_dir or settings.data_dir / "mails",
        "mail_from": settings.mail_from or "Usage credits <usage-credits@localhost>",
        "mail_url": settings.mail_url or f"http://127.0.0.1:{gate_port}",
    }


async def _stay(system: System, screen: Console, with_people: bool) -> None:
    await create_topics(system.settings)
    if with_people:
        # Registering again is harmless: a command's id is remembered.
        now_micros = int(time.time()) * MICROS_PER_SECOND
        commands = [*registration(), *team_registration()]
        await publish(system.settings, [command_record(command, now_micros) for command in commands])
        await _give_addresses(system.settings, now_micros)
    system.start_worker("ledger")
    system.start_worker("sink")
    system.start_worker("gate")
    system.start_worker("mailer")
    _tell(screen, system, with_people)
    while True:
        system.check()
        await asyncio.sleep(_LOOK_SECONDS)


async def _give_addresses(settings: Settings, now_micros: int) -> None:
    """To those of the demo's people of whom nothing is known: what somebody has changed since stays as it is."""
    async with ContactFollower(settings) as follower:
        await follower.whole()
        unknown = [(who, contact) for who, contact in contacts() if follower.copy.contact(*who) == Contact()]
    records = [
        Outgoing(MEMBER_CONTACTS.name, contact_key(*who), encoded(contact)[0] or b"", now_micros)
        for who, contact in unknown
    ]
    await publish(settings, records)


def _tell(screen: Console, system: System, with_people: bool) -> None:
    if with_people:
        people = "northwind, meridian and cinder (Enterprise) and lumen (Team) are registered"
        be = "; sign in as nadia, who owns northwind, or as bruno, a member"
        examples = {
            "examples/publish.py": "one event, as a product would publish it",
            "examples/payments.py": "billing's part: pays for lumen's credits",
        }
    else:
        people = "no organisation is registered yet; register one, or start with `up --demo`, which registers four"
        be = "; once acme is registered, sign in as olive, who owns it"
        examples = {
            "examples/register.py acme enterprise olive": "billing's part: registers an organisation",
            "examples/publish.py acme olive": "one event, as a product would publish it",
        }
    width = max(map(len, examples)) + 4
    tries = "".join(
        f"  {command_line('python', name)}{'':{width - len(name)}}[dim]# {why}[/]\n" for name, why in examples.items()
    )
    settings = system.settings
    mails = f"by {settings.smtp_host}" if settings.smtp_host else f"not sent, but written to {settings.mail_dir}"
    screen.print(
        "\n[bold]Everything runs.[/] Ctrl-C stops it.\n\n"
        f"The page: [bold]http://127.0.0.1:{system.settings.gate_port}[/]{be}\n\n"
        "In another terminal:\n\n"
        f"  export KAFKA_BOOTSTRAP_SERVERS={system.settings.kafka_bootstrap_servers}\n"
        f"  export CLICKHOUSE_URL={system.settings.clickhouse_url}\n\n"
        f"{tries}"
        f"  {command_line('usage-credits', 'query')} 'SELECT * FROM month_to_date_by_member'\n\n"
        f"The gate's API is there too; a token for it: "
        f"{command_line('usage-credits', 'token')} ada --data-dir {system.settings.data_dir}\n"
        f"Analysts, who only read: {system.cluster.clickhouse.reader_url}\n"
        f"Accounts: {people}.\n"
        f"Mails: {mails}\n"
        f"Logs: {', '.join(str(worker.log_file) for worker in system.workers)}\n",
        soft_wrap=True,
    )
