"""A disk that can be full: a directory in; a file system of a few megabytes there, filled and emptied on demand.

It is memory mounted as a disk, for which one has to be root: `can_be_made` says whether one may.
"""

import os
import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_MEGABYTES = 4


class SmallDisk:
    """Mounted while the block lasts."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._filler = directory / "filler"

    @staticmethod
    def can_be_made() -> bool:
        return os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0

    def fill(self) -> None:
        """To the last byte."""
        with suppress(OSError), self._filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass

    def make_room(self) -> None:
        self._filler.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True)
        size = f"size={_MEGABYTES}m"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "usage-credits-tests", self.directory], check=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        subprocess.run(["umount", "--lazy", self.directory], check=True)
