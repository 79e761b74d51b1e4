"""The machine that wrote a line of the journal: its versions in, a ledger of just that price book and rules out."""

from collections.abc import Iterable

from pipeline.agents.ledger_machine import RULES_VERSION, LedgerMachine
from pipeline.domain.pricing import CompiledPrices, PriceBook
from pipeline.engine.contract import Identities
from pipeline.errors import Mendable
from pipeline.rebuild.follower import MachineFor, Versions
from pipeline.settings import Settings


def machines_of(settings: Settings, books: Iterable[PriceBook]) -> MachineFor:
    """Makes machines of the versions that are at hand: this program's rules, and these price books."""
    prices = {book.version: CompiledPrices(book) for book in books}
    rules = settings.rules

    def machine_for(versions: Versions, number: int, identities: Identities) -> LedgerMachine:
        """A machine with empty memory.

        Raises:
            Mendable: it takes a program or a price book that is not at hand.
        """
        if versions.get("rules") != RULES_VERSION:
            raise Mendable(
                f"partition {number}: the journal goes by version {versions.get('rules')} of the rules, this program "
                f"has {RULES_VERSION}; rebuild with the program that has them"
            )
        book = str(versions.get("price_book"))
        if book not in prices:
            raise Mendable(
                f"partition {number}: the journal goes by price book {book}, at hand is {', '.join(prices)}; give the "
                "file as it was then: --price-book FILE (git log pipeline/price_book/anthropic.yaml)"
            )
        return LedgerMachine(number, identities, partitions=settings.partitions, prices=prices[book], rules=rules)

    return machine_for
