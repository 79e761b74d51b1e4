"""Disks that can be full: a directory in; a place there that takes no more on demand, and takes more again.

Root mounts a file system of a few megabytes. Who may not has a folder that can be shut: the system refuses to write for
another reason, and what is to follow is the same.
"""

import os
import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_MEGABYTES = 4


class SmallDisk:
    """Memory mounted as a disk while the block lasts.

    Attributes:
        refusal: what the system says when it is full.
    """

    refusal = "No space left on device"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._filler = directory / "filler"

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


class ShutFolder:
    """A folder in which nothing can be made while it is shut; root would not be held up by that."""

    refusal = "Permission denied"

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def fill(self) -> None:
        self._permit(0o500)

    def make_room(self) -> None:
        self._permit(0o700)

    def _permit(self, mode: int) -> None:
        for folder, _, _ in os.walk(self.directory):
            Path(folder).chmod(mode)

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.make_room()


def disk_at(directory: Path) -> SmallDisk | ShutFolder:
    """What this machine allows."""
    may_mount = subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0
    assert may_mount or os.geteuid() != 0, "root without the right to mount: run these tests as an ordinary user"
    return SmallDisk(directory) if may_mount else ShutFolder(directory)
