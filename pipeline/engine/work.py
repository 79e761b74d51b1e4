"""The loop an agent runs: a chunk goes in, the machine works it through slice by slice, effects come out."""

import asyncio

from pipeline.engine.contract import Chunk, Effects, Input, Run

SLICE_RECORDS: dict[Input, int] = {"usage": 250, "commands": 20}
"""So many records stay in the processor's cache, and heartbeats and commits get the loop in between."""


async def work(chunk: Chunk) -> Effects:
    """Work one chunk through.

    Raises:
        whatever the machine raises: its memory is then to be dropped.
    """
    machine = chunk.machine
    machine.begin(chunk.now_micros, chunk.quarantined)
    for run in chunk.runs:
        size = SLICE_RECORDS[run.input]
        for start in range(0, len(run.records), size):
            if not machine.take(Run(run.input, run.records[start : start + size])):
                return machine.finish()
            await asyncio.sleep(0)
    return machine.finish()


async def answer(chunk: Chunk) -> None:
    """Work one chunk through and set its result, or the exception: the partition that waits for it decides on.

    An agent that died of a chunk would take every partition of the worker with it.
    """
    try:
        effects = await work(chunk)
    except asyncio.CancelledError:
        chunk.result.cancel()
        raise
    except Exception as error:
        if not chunk.result.done():
            chunk.result.set_exception(error)
    else:
        if not chunk.result.done():  # the partition may have been revoked meanwhile
            chunk.result.set_result(effects)
