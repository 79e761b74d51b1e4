"""Commands of operators: arguments in, calls of the parts out; see pipeline/cli.py."""

import sys

import click

from pipeline.cli_options import AS_JSON


@click.command()
@click.option(
    "--principal",
    "principals",
    multiple=True,
    metavar="PROCESS=PRINCIPAL",
    help="Who runs a process, such as ledger=User:CN=ledger; otherwise User:PROCESS. May be repeated.",
)
@click.option("--process", "processes", multiple=True, help="Only this process; otherwise all. May be repeated.")
@click.option(
    "--apply", "is_to_apply", is_flag=True, help="Grant the rights, as the administrator named by the settings."
)
def acls(principals: tuple[str, ...], processes: tuple[str, ...], is_to_apply: bool) -> None:
    """Print the least rights each process needs at Kafka, as a script for kafka-acls.sh; or --apply them."""
    from pipeline.operators.acls import run_acls

    run_acls(principals, processes, is_to_apply=is_to_apply)


@click.command()
@click.option(
    "--quick", is_flag=True, help="Leave out who is paused, which takes some ten seconds for a million members."
)
@AS_JSON
def status(quick: bool, as_json: bool) -> None:
    """Show what is running, how far behind, and who is paused.

    Exits with 0 only if all is well.
    """
    from pipeline.operators.status import run_status

    sys.exit(0 if run_status(with_members=not quick, as_json=as_json) else 1)


@click.command()
@click.option(
    "--process",
    default="operator",
    show_default=True,
    help="Check that the user named by the settings has the rights of this process.",
)
@AS_JSON
def doctor(process: str, as_json: bool) -> None:
    """Check configuration, rights, topics, clocks and versions.

    Each line that is not ✓ says what to do.

    Exits with 0 only if nothing is bad.
    """
    from pipeline.operators.doctor import run_doctor

    sys.exit(0 if run_doctor(process, as_json=as_json) else 1)
