"""A poison storm is told once when it begins and once when it ends, with what an operator must know (R17)."""

import logging

import pytest

from pipeline.dead_letters.storm import PoisonAlarm, Threshold
from pipeline.engine.contract import Place, Rejections, Run
from pipeline.engine.observer import Committed
from schemas.dead_letters import Reason
from tests.support.builders import NOON, micros, searches
from tests.support.ledger import acme

LIMIT = Threshold(percent=20, seconds=60, events=100)


class Worker:
    """An alarm, and a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.alarm = PoisonAlarm(LIMIT, lambda: self.now)

    def took(self, events: int, partition: int = 0, **rejected: int) -> None:
        self.alarm.committed(
            Committed(
                partition=partition,
                seq=1,
                usage_position=9,
                commands_position=0,
                now_micros=0,
                records=events,
                seconds=0.01,
                counts={"usage_events": events} if events else {},
                rejected={reason: Rejections(count, Place("usage", 7, 2)) for reason, count in rejected.items()},
            )
        )


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.mark.parametrize(
    ("events", "rejected", "already", "storm"),
    [
        (100, 20, False, False),
        (100, 21, False, True),
        (99, 99, False, False),
        (100, 11, True, True),
        (100, 10, True, False),
        (1, 1, True, True),
        (0, 0, True, False),
    ],
)
def test_where_a_storm_begins_and_ends(events: int, rejected: int, already: bool, storm: bool) -> None:
    assert LIMIT.is_storm(events, rejected, already=already) is storm


def test_a_storm_is_told_once_with_its_reasons_and_an_example(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    worker.took(60, partition=1, unknown_model=10)
    worker.took(60, partition=3, unknown_model=10, invalid=5)
    worker.took(60, partition=3, unknown_model=50)
    (told,) = caplog.records
    assert told.levelno == logging.ERROR
    assert told.getMessage() == (
        "poison storm: 25 of 120 usage events of the last 60 s are dead letters (unknown_model 20, invalid 5), for "
        "example usage-events[3] offset 7, event 2; see `usage-credits dead-letters list --open`"
    )
    assert worker.alarm.is_storm


def test_its_end_is_told_once_also_when_nothing_comes_any_more(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    worker.took(100, invalid=100)
    worker.now += 59.9
    worker.took(0)
    assert worker.alarm.is_storm
    worker.now += 0.1
    worker.took(0)
    worker.took(0)
    begin, end = caplog.records
    assert begin.getMessage().startswith("poison storm: 100 of 100")
    assert end.levelno == logging.ERROR
    assert end.getMessage() == "the poison storm is over: 0 of 0 usage events of the last 60 s are dead letters"
    assert not worker.alarm.is_storm


def test_what_was_rejected_is_counted_for_good_and_for_now(worker: Worker) -> None:
    worker.took(100, invalid=1)
    worker.now += 30
    worker.took(200, invalid=2, conflict=3)
    worker.now += 30
    worker.took(50)
    assert (worker.alarm.events, worker.alarm.events_total) == (250, 350)
    assert worker.alarm.rejected == {"invalid": 2, "conflict": 3}
    assert worker.alarm.rejected_total == {"invalid": 3, "conflict": 3}


def test_the_ledger_tells_how_many_it_rejected_and_where_the_first_lay() -> None:
    ledger = acme()
    wires = [searches("good", 1), searches("bad", -1), searches("worse", -1), searches("c", 1, model="claude-99")]
    ledger.machine.begin(ledger.now_micros, frozenset())
    ledger.machine.take(Run("usage", [ledger.record("usage", wire, micros(NOON)) for wire in wires]))
    assert ledger.machine.finish().rejected == {
        Reason.INVALID: Rejections(2, Place("usage", 1, 0)),
        Reason.UNKNOWN_MODEL: Rejections(1, Place("usage", 3, 0)),
    }
