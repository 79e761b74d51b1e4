"""Quix Streams: usage comes as a StreamingDataFrame, is charged with a dict or with State, and goes to two topics."""

from collections.abc import Callable
from typing import Any

from quixstreams import Application, State

from benchmarks.contenders.charging import Charged
from benchmarks.contenders.world import World


class _InState:
    """A State as a mapping. Quix keeps one for each message key, here for each organisation."""

    def __init__(self, state: State) -> None:
        self._state = state

    def __contains__(self, key: str) -> bool:
        return bool(self._state.exists(key))

    def get(self, key: str, default: int) -> int:
        return int(self._state.get(key, default))

    def __setitem__(self, key: str, value: int) -> None:
        self._state.set(key, value)


def in_memory(world: World) -> None:
    """Two dictionaries beside the stream."""
    seen: dict[str, int] = {}
    months: dict[str, int] = {}

    def charge(value: bytes) -> Charged | None:
        return world.charging.charge(value, seen, months)

    _run(world, charge, stateful=False)


def with_state(world: World) -> None:
    """Quix's own State, at least once."""
    _run(world, _with_state(world), stateful=True)


def exactly_once(world: World) -> None:
    """Quix's own State; outputs, changelog and position in transactions."""
    _run(world, _with_state(world), stateful=True, processing_guarantee="exactly-once")


def _with_state(world: World) -> Callable[[bytes, State], Charged | None]:
    def charge(value: bytes, state: State) -> Charged | None:
        memory = _InState(state)
        return world.charging.charge(value, memory, memory)

    return charge


def _run(world: World, charge: Callable[..., Charged | None], *, stateful: bool, **more: Any) -> None:
    app = Application(
        broker_address=world.bootstrap_servers,
        consumer_group=world.group,
        auto_offset_reset="earliest",
        state_dir=world.folder / "quix",
        loglevel="WARNING",
        **more,
    )
    usage = app.topic(world.usage_events, key_deserializer="str", value_deserializer="bytes")
    priced = app.topic(world.priced_usage, key_serializer="str", value_serializer="bytes")
    breaches = app.topic(world.limit_breaches, key_serializer="str", value_serializer="bytes")

    charged = app.dataframe(usage).apply(charge, stateful=stateful)
    charged = charged.filter(lambda one: one is not None)
    charged.apply(lambda one: one.row).to_topic(priced)
    charged.filter(lambda one: one.breach is not None).apply(lambda one: one.breach).to_topic(breaches)
    app.run()
