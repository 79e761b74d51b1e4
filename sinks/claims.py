"""Who may insert for a partition: partitions in, a claim and the fence that every insert carries out.

The holder of a partition is whoever wrote the largest (epoch, claim). A claim that reads the marks knows that no
older insert can land behind its back: those that began before are killed, those that begin later find themselves
fenced. Source: docs/decisions/0005-positions-and-fence.md.
"""

import uuid
from collections.abc import Collection
from dataclasses import dataclass

from sinks.clickhouse import FENCED, ClickHouse, literal, numbers


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to insert rows of these partitions of a topic, until somebody writes a larger (epoch, name)."""

    log_id: str
    topic: str
    partitions: tuple[int, ...]
    epoch: int
    name: str

    def fence(self) -> str:
        """A condition that is true while the claim holds, and otherwise fails the statement that it stands in.

        ClickHouse evaluates it once, when the statement begins, after it can be seen in system.processes.
        """
        text = f"{FENCED}: a later claim holds {self.topic} {numbers(self.partitions)}"
        return (
            "throwIf((SELECT countIf(holder != "
            f"({self.epoch}, {literal(self.name)})) FROM (SELECT max((epoch, claim)) AS holder FROM sink_epochs "
            f"WHERE {_of(self.log_id, self.topic, self.partitions)} GROUP BY partition)) != 0, {literal(text)}) = 0"
        )


async def take_over(clickhouse: ClickHouse, log_id: str, topic: str, partitions: Collection[int]) -> Claim:
    """Claim the partitions: from the return on, no insert of an earlier claim runs or will do anything.

    Raises:
        Away: it is not known whether it was done; take over again.
    """
    mine = tuple(sorted(partitions))
    where = _of(log_id, topic, mine)
    ((last,),) = await clickhouse.rows(f"SELECT max(epoch) FROM sink_epochs WHERE {where}")
    claim = Claim(log_id, topic, mine, last + 1, uuid.uuid4().hex)
    # 1. A higher epoch: whatever begins from now on with an older one fails.
    await clickhouse.run(
        "INSERT INTO sink_epochs (log_id, topic, partition, epoch, claim) SELECT "
        f"{literal(log_id)}, {literal(topic)}, arrayJoin({numbers(mine)}), {claim.epoch}, {literal(claim.name)}"
    )
    # 2. Whatever began before is killed, our own earlier claims' included: an answer may have been lost.
    #    Only claims of these very partitions: two sinks must not kill each other in turns.
    others = (
        f"Settings['log_comment'] IN (SELECT claim FROM sink_epochs WHERE {where} AND claim != {literal(claim.name)})"
    )
    while (await clickhouse.rows(f"SELECT count() FROM system.processes WHERE {others}"))[0][0]:
        await clickhouse.run(f"KILL QUERY WHERE {others} SYNC")
    return claim


def _of(log_id: str, topic: str, partitions: Collection[int]) -> str:
    return f"log_id = {literal(log_id)} AND topic = {literal(topic)} AND partition IN {numbers(partitions)}"
