"""The ledger agent: chunks of records from the engine in, their effects back to it; pure computation in between."""

from collections.abc import AsyncIterator

from pipeline.engine.contract import Chunk
from pipeline.engine.work import answer


async def ledger(chunks: AsyncIterator[Chunk]) -> None:
    """Work chunks through, one at a time, in order."""
    async for chunk in chunks:
        await answer(chunk)
