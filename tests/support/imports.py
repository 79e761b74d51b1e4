"""Files of other tools go in; the events that an import would send come out, in its order."""

from pathlib import Path

from pipeline.importers.importing import find
from pipeline.importers.readings import Format, Told
from schemas.usage import UsageEvent


def imported(kind: Format, *paths: Path, told: Told | None = None) -> list[UsageEvent]:
    """All events of these files and folders."""
    with find(kind, paths, told or Told()) as found:
        return [event for _, event in found.events()]
