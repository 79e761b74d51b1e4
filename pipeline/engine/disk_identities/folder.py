"""The folder of one partition's identities: its lock, its list of what it holds, and what to do when it cannot be used.

The list is the truth: a file that it does not name is left over from a life that was cut short, and is removed.
"""

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from pipeline.engine.contract import InvariantBroken

FORMAT = 1
LOCK_NAME, LIST_NAME = "lock", "list.json"
_NEW_LIST_NAME = "list.new"


class IdentitiesDamaged(InvariantBroken):
    """What is read is not what was written: the partition halts rather than guess what it has seen."""

    def __init__(self, path: Path, trouble: str) -> None:
        folder = path if path.is_dir() else path.parent
        super().__init__(
            f"{path}: {trouble}. Look after the disk, remove the folder {folder} and start the worker again: "
            "it is made anew from seen-ids, and nothing is lost"
        )


class IdentitiesUnwritable(OSError):
    """The disk takes no more; the claim is repeated until it does."""

    def __init__(self, folder: Path, error: OSError) -> None:
        super().__init__(
            f"identities cannot be written in {folder}: {error.strerror or error}. Make room there, or start the "
            "worker with another IDENTITIES_DIR; nothing is lost, the partition waits"
        )


class IdentitiesBusy(OSError):
    """Another process has the folder, perhaps one that is about to end; the claim is repeated until it has."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"{folder} is in use by another process; end that worker, or give this one an IDENTITIES_DIR of its own"
        )


class Listed(msgspec.Struct, frozen=True):
    """A segment file; `level` says how many times its content was merged."""

    file: str
    level: int


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """What the folder holds, written after each change as a whole.

    Attributes:
        position: the offset of `seen-ids` up to which all is in the segments.
        position_micros: ledger time of the record before it.
        today: day of the latest segment.
        segments: older ones first.
    """

    format: int = FORMAT
    position: int = 0
    position_micros: int = 0
    today: int = 0
    segments: tuple[Listed, ...] = ()


class Folder:
    """Held by one process at a time.

    Raises:
        IdentitiesBusy: another process holds it.
        IdentitiesDamaged: its list cannot be read.
        IdentitiesUnwritable: it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise IdentitiesUnwritable(path, error) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.listing = self._read_list()
            self.remove_strangers()
        except BlockingIOError as error:
            self.close()
            raise IdentitiesBusy(path) from error
        except OSError as error:
            self.close()
            raise IdentitiesUnwritable(path, error) from error
        except BaseException:
            self.close()
            raise

    def write_list(self, listing: Listing) -> None:
        """Make it the truth, also after a loss of power."""
        new = self.path / _NEW_LIST_NAME
        with new.open("wb") as file:
            file.write(msgspec.json.encode(listing))
            file.flush()
            os.fsync(file.fileno())
        new.rename(self.path / LIST_NAME)
        self._sync()
        self.listing = listing

    def remove_strangers(self, also_known: Iterable[str] = ()) -> None:
        """Remove the files that neither the list nor the caller knows."""
        known = {LOCK_NAME, LIST_NAME, *(listed.file for listed in self.listing.segments), *also_known}
        for file in self.path.iterdir():
            if file.name not in known:
                file.unlink()

    def close(self) -> None:
        os.close(self._lock)

    def _read_list(self) -> Listing:
        path = self.path / LIST_NAME
        try:
            listing = msgspec.json.decode(path.read_bytes(), type=Listing)
        except FileNotFoundError:
            return Listing()
        except (msgspec.MsgspecError, OSError) as error:
            raise IdentitiesDamaged(path, f"it cannot be read ({error})") from error
        if listing.format != FORMAT:
            raise IdentitiesDamaged(path, f"it is of format {listing.format}, this program knows {FORMAT}")
        return listing

    def _sync(self) -> None:
        """The names too, not only what is in the files."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
