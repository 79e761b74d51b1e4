"""`python -m benchmarks.contenders NAME`: one contender; variables say where Kafka is; it works until stopped."""

import importlib
import logging
import sys

from benchmarks.contenders import CONTENDERS
from benchmarks.contenders.world import World

if __name__ == "__main__":
    module, function = CONTENDERS[sys.argv.pop(1)].place.split(":")
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    world = World.from_environment()
    getattr(importlib.import_module(f"benchmarks.contenders.{module}"), function)(world)
