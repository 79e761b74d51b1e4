"""`usage-credits doctor`: settings in; a line for each thing looked at out, with what to do where it is not good."""

import asyncio
import json
from dataclasses import asdict

from rich.text import Text

from pipeline.errors import Mendable
from pipeline.operators.checks import Finding, findings
from pipeline.rights import PROCESSES, Process
from pipeline.screen import console
from pipeline.settings import Settings

_MARKS = {"good": ("✓", "green"), "warning": ("!", "yellow"), "bad": ("✗", "bold red")}


def run_doctor(process_name: str, *, as_json: bool) -> bool:
    """Look, and print; False if anything is bad.

    Args:
        process_name: whose rights the settings' user should have.

    Raises:
        Mendable: no such process.
    """
    known: dict[str, Process] = {process: process for process in PROCESSES}
    if process_name not in known:
        raise Mendable(f"no process {process_name!r}; processes are {', '.join(PROCESSES)}")
    return asyncio.run(_run(known[process_name], as_json))


async def _run(process: Process, as_json: bool) -> bool:
    screen = console(markup=False)
    found = []
    async for finding in findings(Settings(), process):
        found.append(finding)
        if not as_json:
            screen.print(_line(finding), soft_wrap=True)
    if as_json:
        print(json.dumps([asdict(finding) for finding in found], indent=2))
    return all(finding.level != "bad" for finding in found)


def _line(finding: Finding) -> Text:
    mark, style = _MARKS[finding.level]
    line = Text.assemble((f"{mark} ", style), (f"{finding.area:<14}", "bold"), finding.found)
    if finding.to_do:
        line.append(f"\n{'':16}→ {finding.to_do}", style)
    return line
