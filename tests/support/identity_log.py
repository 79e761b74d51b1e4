"""A log of identities that can be written out again from any position, as `seen-ids` can; and a store filled from it.

Record n is the same for everybody who asks for it, so a process that is killed need not tell what it wrote.
"""

import os
from pathlib import Path

import xxhash

from pipeline.engine.disk_identities import DiskIdentities
from pipeline.engine.identity import DAY_MICROS, IdentityStore

HORIZON_DAYS = 3
SEAL_IDENTITIES = 500
RECORDS_PER_DAY = 40
_NEW = 50
_REWRITTEN = 5


def identity(record: int, index: int) -> bytes:
    """The key of one of a record's identities; every seventh shares its first half with others of its record."""
    key: bytes = xxhash.xxh3_128_digest(f"{record} {index}".encode())
    first_half: bytes = xxhash.xxh3_64_digest(f"{record}".encode())
    return first_half + key[8:] if index % 7 == 0 else key


def identities_of(record: int) -> dict[bytes, bytes]:
    """New ones, and some of an earlier record with another value, as a correction writes them."""
    value = record.to_bytes(12, "big")
    fresh = {identity(record, index): value for index in range(_NEW)}
    earlier = record - record % 60  # of this day or of the one before
    return fresh | {identity(earlier, index): value for index in range(_REWRITTEN)}


def micros_of(record: int) -> int:
    """Its ledger time."""
    return record * (DAY_MICROS // RECORDS_PER_DAY)


def refill(store: IdentityStore, end: int) -> None:
    """What a claim does: add everything from the store's position to the end of the log."""
    for record in range(store.position, end):
        store.add(identities_of(record), micros_of(record), record + 1)


def remembered_after(end: int) -> dict[bytes, bytes]:
    """What a store must know when it has all records before this one: the days that are over are left out."""
    first_day = (end - 1) // RECORDS_PER_DAY - (HORIZON_DAYS + 1)
    right: dict[bytes, bytes] = {}
    for record in range(max(0, first_day * RECORDS_PER_DAY), end):
        right |= identities_of(record)
    return right


def check(store: IdentityStore, end: int) -> None:
    """Everything remembered is known with its latest value; nothing that is to come, and nothing that is over."""
    right = remembered_after(end)
    assert list(store.look_up(list(right))) == list(right.values())
    over = [identity(r, i) for r in range(max(0, end - 12 * RECORDS_PER_DAY), end) for i in range(_NEW)]
    others = [key for key in over if key not in right]
    others += [identity(record, index) for record in range(end, end + 20) for index in range(_NEW)]
    assert set(store.look_up(others)) == {None}


def disk_store(folder: Path) -> DiskIdentities:
    """A store that seals and merges all the time."""
    return DiskIdentities(folder, HORIZON_DAYS, seal_identities=SEAL_IDENTITIES)


def add_for_ever(folder: Path, committed: Path) -> None:
    """Add record after record to a store on disk, and tell before each that it is committed."""
    store = disk_store(folder)
    told = os.open(committed, os.O_WRONLY | os.O_CREAT, 0o600)
    record = store.position
    while True:
        os.pwrite(told, (record + 1).to_bytes(8, "big"), 0)
        store.add(identities_of(record), micros_of(record), record + 1)
        record += 1
