"""Whether this worker may go on where the last one left a partition: what it left comes in, a refusal goes out.

All is read after the claim, so nothing of it moves. Each transaction wrote cell, journal and identities together: where
they are of different ages, a topic was lost, made anew or restored by itself.
"""

from collections.abc import Mapping

from pipeline.engine.contract import InvariantBroken
from pipeline.engine.journal import CELL_FORMAT, EngineCell, JournalLine
from pipeline.engine.preflight import Refused
from pipeline.engine.settings import EngineSettings


def check_left(
    cell: EngineCell | None, last: JournalLine | None, seen_to: int, settings: EngineSettings, partitions: int
) -> None:
    """See that what was left is whole, and was begun as this worker would.

    Args:
        cell: the engine's own; None if there is none.
        last: the journal's last line; None if it has none.
        seen_to: where `seen-ids` ends.
        partitions: N, of every topic.

    Raises:
        InvariantBroken: it is not; the partition must stop.
    """
    if cell is not None:
        _check_begun(cell, settings, partitions)
    state_seq, journal_seq = cell.seq if cell else 0, last.seq if last else 0
    if cell is None and last is not None:
        raise InvariantBroken(
            f"{settings.ledger_state} is lost: it says nothing, and {settings.ledger_journal} ends with transaction "
            f"{journal_seq}; to begin anew would charge everything twice. See docs/operations.md, Backup"
        )
    if state_seq != journal_seq:
        raise InvariantBroken(
            f"{settings.ledger_state} is as of transaction {state_seq}, {settings.ledger_journal} ends with "
            f"{journal_seq}: one of them was lost or restored by itself. See docs/operations.md, Backup"
        )
    if cell is not None and seen_to < cell.seen_to:
        raise InvariantBroken(
            f"{settings.seen_ids} ends at offset {seen_to}, the ledger wrote up to {cell.seen_to}: it was lost or "
            "restored by itself, and what was taken before would be taken again. See docs/operations.md, Backup"
        )


def check_versions(last: JournalLine | None, versions: Mapping[str, str | int]) -> None:
    """See that no older program takes over from a newer one; of versions that are numbers, none goes back.

    Raises:
        Refused: this worker is older; a newer one may go on.
    """
    for name, was in (last.versions if last else {}).items():
        now = versions.get(name)
        if isinstance(was, int) and isinstance(now, int) and now < was:
            raise Refused(
                f"this worker is older than the one before it: {name} {now}, the last transaction was made with {was}; "
                "start the version that made it, or a later one"
            )


def _check_begun(cell: EngineCell, settings: EngineSettings, partitions: int) -> None:
    if cell.format > CELL_FORMAT:
        raise InvariantBroken(f"its state is of format {cell.format}, this program knows {CELL_FORMAT}; upgrade")
    if cell.mode != settings.mode:
        raise InvariantBroken(f"it was begun in {cell.mode} mode, this worker runs in {settings.mode} mode")
    if cell.partitions != partitions:
        raise InvariantBroken(f"it was begun as one of {cell.partitions}, there are {partitions} now")
