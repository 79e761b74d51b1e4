"""The command `usage-credits`: arguments in; calls of the parts, and exit code 0, 1 (it failed) or 2 (wrong usage) out.

Thin on purpose: every body lies in the part it belongs to and is imported when its command runs, so help is instant.
"""

import sys
from pathlib import Path
from typing import Any, BinaryIO, Literal

import click

from pipeline.cli_analysts import export
from pipeline.cli_billing import invoice, statement
from pipeline.cli_dead_letters import dead_letters
from pipeline.cli_imports import imports
from pipeline.cli_operators import acls, doctor, status
from pipeline.cli_options import AS_JSON, DATA_DIR

OTHER_BOOK = "Use this price book instead of the packaged one."


class Sentences(click.Group):
    """The one place where an error that a person can mend becomes a sentence, and exit code 1."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """A misspelt command is told with the one that was probably meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            if close := get_close_matches(args[0], self.list_commands(ctx), n=1):
                error.message += f" Did you mean {close[0]!r}?"
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a bug keeps its stack trace."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            from pipeline.errors import sentence_for

            sentence = sentence_for(error)
            if sentence is None:
                raise
            raise click.ClickException(sentence) from error


@click.group(cls=Sentences, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="usage-credits")
@click.pass_context
def main(context: click.Context) -> None:
    """Price usage, enforce monthly spend limits, bill it, and prove the sums.

    Every command reads its settings from the environment (KAFKA_BOOTSTRAP_SERVERS, CLICKHOUSE_URL, …) or from .env.
    """
    if context.invoked_subcommand not in ("ledger", "sink", "gate", "mailer"):
        from pipeline.errors import quiet_libraries

        quiet_libraries()


@main.command()
@AS_JSON
@click.option("--data-dir", type=click.Path(path_type=Path), default=Path("var/demo"), show_default=True)
def demo(as_json: bool, data_dir: Path) -> None:
    """Run everything on recorded usage, and prove the outcome.

    It starts a Kafka and a ClickHouse of its own, empty every time. Exits with 0 only if all sums agree.
    """
    from pipeline.demo.run import run_demo

    sys.exit(0 if run_demo(data_dir, as_json=as_json) else 1)


@main.command()
@click.option("--demo", "with_people", is_flag=True, help="Register the demo's organisations and members first.")
@click.option("--data-dir", type=click.Path(path_type=Path), default=Path("var/live"), show_default=True)
@click.option("--kafka-port", type=click.IntRange(0, 65535), default=0, help="0: the last one, or any free one.")
@click.option("--clickhouse-port", type=click.IntRange(0, 65535), default=0, help="0: the last one, or any free one.")
@click.option("--gate-port", type=click.IntRange(0, 65535), default=0, help="0: the last one, or any free one.")
def up(with_people: bool, data_dir: Path, kafka_port: int, clickhouse_port: int, gate_port: int) -> None:
    """Run everything on this machine until Ctrl-C; the data stays."""
    from pipeline.demo.up import run_up

    ports = {"kafka_port": kafka_port, "clickhouse_port": clickhouse_port, "gate_port": gate_port}
    sys.exit(run_up(data_dir, with_people=with_people, **ports))


@main.command()
def ledger() -> None:
    """Run a ledger worker: price usage, enforce limits. Start up to one per partition."""
    from pipeline.processes import run_ledger

    run_ledger()


@main.command()
def sink() -> None:
    """Run a sink: priced usage and events into ClickHouse. Start up to one per partition."""
    from pipeline.processes import run_sink

    run_sink()


@main.command()
def gate() -> None:
    """Run a gate: the HTTP API and the page. Start as many as you like."""
    from pipeline.processes import run_gate

    run_gate()


@main.command()
def mailer() -> None:
    """Run a mailer: notices to members by SMTP, each mail once. Start as many as you like."""
    from pipeline.processes import run_mailer

    run_mailer()


@main.command()
@click.argument("sub")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    help="A right of a service, such as usage:write; a person has none. May be repeated.",
)
@click.option("--hours", type=click.IntRange(1, 24), default=8, show_default=True)
@click.option("--data-dir", type=click.Path(path_type=Path), help="The data directory of the gate; otherwise DATA_DIR.")
def token(sub: str, scopes: tuple[str, ...], hours: int, data_dir: Path | None) -> None:
    """Make a token for development. SUB is the id of a user or a service; only a gate on loopback accepts it."""
    from pipeline.processes import run_token

    click.echo(run_token(sub, scopes, hours, data_dir))


@main.command()
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--faults", type=click.IntRange(min=1), default=10, show_default=True)
def chaos(seed: int, faults: int) -> None:
    """Break a system of its own with seeded faults.

    They hit workers, sink, broker, network and ClickHouse; then all output is checked. Exits with 0 only if the
    output is that of an undisturbed system. It must be run from a clone of the repository.
    """
    import subprocess

    from pipeline.errors import Mendable

    clone = Path(__file__).parents[1]
    if not (clone / "tests" / "chaos").is_dir():
        raise Mendable("chaos lies among the tests: run it from a clone of the repository")
    command = [sys.executable, "-m", "tests.chaos", "--seed", str(seed), "--faults", str(faults)]
    sys.exit(subprocess.run(command, cwd=clone).returncode)


@main.command()
@AS_JSON
def migrate(as_json: bool) -> None:
    """Bring ClickHouse's tables and views up to date. A sink does so too when it starts."""
    from pipeline.processes import run_migrate

    _show(run_migrate(), as_json)


@main.group(invoke_without_command=True)
@click.option("--check", is_flag=True, help="Change nothing; fail if a topic is missing or wrong.")
@click.option(
    "--wait", "wait_seconds", type=click.FloatRange(min=0), default=0, help="How many seconds to wait for Kafka."
)
@AS_JSON
@click.pass_context
def topics(context: click.Context, check: bool, wait_seconds: float, as_json: bool) -> None:
    """Create the topics, or check them, and print the log's id."""
    if context.invoked_subcommand is not None:
        return
    from pipeline.topics_admin import run_topics

    _show(run_topics(check=check, wait_seconds=wait_seconds, say=_say), as_json)


@main.command()
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--rejects", type=click.File("wb"), help="Where to write rejected lines; otherwise stderr.")
@click.option("--price-book", "book", type=click.Path(exists=True, dir_okay=False, path_type=Path), help=OTHER_BOOK)
def price(file: BinaryIO, rejects: BinaryIO | None, book: Path | None) -> None:
    """Price usage events: NDJSON in, priced NDJSON out.

    Reads FILE, or stdin. Nothing needs to be running, and no event is too old. Rejected lines say why, in --rejects
    or on stderr; the exit code is 0 even so.
    """
    from pipeline.price_book import load_price_book
    from pipeline.price_lines import write_priced
    from schemas.money import usd_from_picousd

    out = click.get_binary_stream("stdout")
    summary = write_priced(file, load_price_book(book), out, rejects or click.get_binary_stream("stderr"))
    out.flush()
    _say(f"{summary.priced:,} priced, {summary.rejected:,} rejected, {usd_from_picousd(summary.cost_picousd)} USD")


@main.command()
@click.argument("accounts", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("usage", nargs=-1, type=click.File("rb"))
@click.option(
    "--claude-code",
    "logs",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="Claude Code's logs, a file or a folder. May be repeated.",
)
@click.option(
    "--org-id", help="The organisation the logs belong to. Without it, the demo's rule decides (examples/README.md)."
)
@click.option("--user-id", help="The member the logs belong to; goes with --org-id.")
@click.option("--funding", type=click.Choice(["included", "credits"]), help="How every request in the logs is funded.")
@click.option("--until", help="Simulate until this instant or day; otherwise until the last month's books are closed.")
@click.option(
    "--set-limit",
    "set_limits",
    multiple=True,
    metavar="SCOPE=AMOUNT",
    help="What if: ORG=15.00, ORG/tier:premium=12.00, ORG/user:bruno=4.00, or …=unlimited. May be repeated.",
)
@click.option(
    "--price-book",
    "book",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What if: another price book.",
)
@click.option(
    "--from", "from_month", metavar="MONTH", help="The month from which the what-if applies, such as 2026-02."
)
@click.option(
    "--month", metavar="MONTH", help="Price this month of ClickHouse again, such as 2026-02; needs --price-book."
)
@click.option("--org", "org_ids", multiple=True, help="With --month: only this organisation. May be repeated.")
@DATA_DIR
@click.option(
    "--strict", is_flag=True, help="Exit with 1 if anything was refused, became a dead letter, or has no price."
)
@AS_JSON
def simulate(
    accounts: Path | None,
    usage: tuple[BinaryIO, ...],
    logs: tuple[Path, ...],
    org_id: str | None,
    user_id: str | None,
    funding: Literal["included", "credits"] | None,
    until: str | None,
    set_limits: tuple[str, ...],
    book: Path | None,
    from_month: str | None,
    month: str | None,
    org_ids: tuple[str, ...],
    data_dir: Path | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Show what the ledger would make of accounts and usage.

    ACCOUNTS is a YAML file (see examples/README.md), USAGE are NDJSON files (- is stdin). Nothing needs to be running.

    With --set-limit or --price-book, it shows what would have been beside what was.

    With --month instead, it shows what organisations would have paid for that month by another price book. Nothing is
    written.
    """
    from pipeline.importers.readings import Told
    from pipeline.simulate.command import WhatIf, run_simulate
    from pipeline.simulate.scenario import WrongUsage

    if month is not None:
        if any((accounts, usage, logs, org_id, user_id, funding, until, set_limits, from_month)):
            raise click.UsageError(
                "--month takes usage from ClickHouse; only --price-book, --org, --data-dir go with it"
            )
        if book is None:
            raise click.UsageError("--month prices a month again; name the other book with --price-book")
        from pipeline.simulate.repriced import run_reprice

        try:
            has_all = run_reprice(month, book, org_ids, data_dir, as_json=as_json)
        except WrongUsage as error:
            raise click.UsageError(str(error)) from None
        sys.exit(1 if strict and not has_all else 0)
    if accounts is None:
        raise click.UsageError("no ACCOUNTS file; or name a --month of ClickHouse")
    if org_ids or data_dir:
        raise click.UsageError("--org and --data-dir go with --month")
    if (org_id is None) != (user_id is None):
        raise click.UsageError("--org-id and --user-id go together")
    if not usage and not logs:
        raise click.UsageError("no usage; name an NDJSON file, - for stdin, or --claude-code PATH")
    whose, what_if = Told(org_id, user_id, funding=funding), WhatIf(set_limits, book, from_month)
    try:
        took_all = run_simulate(accounts, usage, logs, whose, until, what_if, as_json_document=as_json)
    except WrongUsage as error:
        raise click.UsageError(str(error)) from None
    sys.exit(1 if strict and not took_all else 0)


@main.command()
@click.argument("sql")
@DATA_DIR
@AS_JSON
def query(sql: str, data_dir: Path | None, as_json: bool) -> None:
    """Run one SELECT on ClickHouse and print a table. The views are described in docs/analysts.md."""
    from pipeline.query import run_query

    run_query(sql, data_dir, as_json=as_json)


@main.command()
@click.option("--every", "every_seconds", type=click.FloatRange(min=0), help="Repeat every so many seconds.")
@click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(min=0),
    default=60,
    show_default=True,
    help="How many seconds to wait for ClickHouse to catch up; then it is compared as it is.",
)
@AS_JSON
def prove(every_seconds: float | None, wait_seconds: float, as_json: bool) -> None:
    """Prove that all sums agree, wherever they are kept.

    That is in Kafka, in ClickHouse and in the ledger's memory; nothing has to be stopped for it. Exits with 0 only
    if everything agrees to the last picodollar; otherwise it says what differs first, and where.
    """
    from pipeline.proof.command import run_prove

    sys.exit(0 if run_prove(every_seconds=every_seconds, wait_seconds=wait_seconds, as_json=as_json) else 1)


@main.command()
@click.option(
    "--price-book",
    "books",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A price book that the ledger used earlier, besides today's. May be repeated.",
)
@click.option("--to-prefix", help="Write everything that is rebuilt to new topics with this prefix.")
@click.option("--mend", is_flag=True, help="Repair ledger-state and seen-ids. Stop the workers first.")
@AS_JSON
def rebuild(books: tuple[Path, ...], to_prefix: str | None, mend: bool, as_json: bool) -> None:
    """Replay the journal and compare the outcome with Kafka.

    Exits with 0 only if all is the same, or --mend made it so; otherwise it says what differs first, and where.
    """
    from pipeline.rebuild.command import run_rebuild

    sys.exit(0 if run_rebuild(books, to_prefix=to_prefix, mend=mend, as_json=as_json) else 1)


@main.command()
@click.argument("model", required=False)
@click.option("--names", is_flag=True, help="List every name that products may send, with the model it stands for.")
@click.option("--price-book", "book", type=click.Path(exists=True, dir_okay=False, path_type=Path), help=OTHER_BOOK)
@AS_JSON
def prices(model: str | None, names: bool, book: Path | None, as_json: bool) -> None:
    """Print the price book, for one MODEL or for all. Rates are in USD per million tokens."""
    from pipeline.price_book import load_price_book
    from pipeline.price_list import name_rows, price_rows

    rows = list((name_rows if names else price_rows)(load_price_book(book), model))
    if not rows:
        raise click.ClickException(f"the price book knows no model {model!r}; `usage-credits prices --names` lists all")
    if as_json:
        import json

        click.echo(json.dumps(rows, indent=2))
        return
    heads = {name: name.removesuffix("_usd_per_mtok") for row in rows[:2] for name in row}
    lines = [list(heads.values()), *([_cell(row.get(name)) for name in heads] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        click.echo("  ".join(map(str.ljust, line, widths)).rstrip())


topics.add_command(acls)
for command in (dead_letters, doctor, export, imports, invoice, statement, status):
    main.add_command(command)


def _show(answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        import json

        click.echo(json.dumps(answer, indent=2))
    else:
        click.echo(_sentences(answer))


def _sentences(answer: dict[str, Any]) -> str:
    return "\n".join(f"{name.replace('_', ' ')}: {_text(value)}" for name, value in answer.items())


def _cell(value: object) -> str:
    return "–" if value is None else str(value)


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count:,} × {what}" for what, count in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _say(line: str) -> None:
    click.echo(line, err=True)


if __name__ == "__main__":
    main(prog_name="usage-credits")
