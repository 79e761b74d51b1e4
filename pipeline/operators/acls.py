"""`usage-credits topics acls`: who runs which process in; a script of ACLs out, or the ACLs on the cluster."""

import asyncio
from collections.abc import Sequence

from pipeline.errors import Mendable
from pipeline.rights import PROCESSES, Process, script
from pipeline.rights_admin import grant
from pipeline.settings import Settings


def run_acls(given: Sequence[str], wanted: Sequence[str], *, is_to_apply: bool) -> None:
    """Print the script, or apply what it says.

    Args:
        given: PROCESS=PRINCIPAL; a process that is not named is run by User:PROCESS.
        wanted: processes; none: those of `given`, or all if that is empty too.

    Raises:
        Mendable: no such process, or no right to grant.
    """
    settings = Settings()
    known: dict[str, Process] = {process: process for process in PROCESSES}
    principals = dict(one.partition("=")[::2] for one in given)
    names = tuple(wanted) or tuple(principals) or PROCESSES
    if unknown := [name for name in (*names, *principals) if name not in known]:
        raise Mendable(f"no process {unknown[0]!r}; processes are {', '.join(PROCESSES)}")
    run_by = {known[name]: principals.get(name) or f"User:{name}" for name in names}
    if not is_to_apply:
        print(script(run_by, settings.topic_prefix), end="")
        return
    count = asyncio.run(grant(settings, run_by))
    print(f"{count} ACLs for {', '.join(f'{who} ({process})' for process, who in run_by.items())}")
