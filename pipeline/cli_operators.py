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
@click.option("--process", "processes", multiple=True, help="Of this process alone; otherwise of all. May be repeated.")
@click.option("--apply", "is_to_apply", is_flag=True, help="Grant it, as the administrator the settings log in as.")
def acls(principals: tuple[str, ...], processes: tuple[str, ...], is_to_apply: bool) -> None:
    """The least rights of each process at Kafka, as a script for kafka-acls.sh; or --apply them."""
    from pipeline.operators.acls import run_acls

    run_acls(principals, processes, is_to_apply=is_to_apply)


@click.command()
@click.option("--quick", is_flag=True, help="Leave out who is paused: a million members take some ten seconds.")
@AS_JSON
def status(quick: bool, as_json: bool) -> None:
    """What runs, how far it is, what the last proof said, who is paused. Exits with 0 only if all is well."""
    from pipeline.operators.status import run_status

    sys.exit(0 if run_status(with_members=not quick, as_json=as_json) else 1)


@click.command()
@click.option("--process", default="operator", show_default=True, help="Whose rights the settings' user should have.")
@AS_JSON
def doctor(process: str, as_json: bool) -> None:
    """Look at configuration, permissions, topics, clocks and versions; each line says what to do.

    Exits with 0 only if nothing is bad.
    """
    from pipeline.operators.doctor import run_doctor

    sys.exit(0 if run_doctor(process, as_json=as_json) else 1)
