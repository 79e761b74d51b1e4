"""Cells of the wallet: read back they are the same memory; what is used up is forgotten (R13, R44)."""

import json
from random import Random

from pipeline.domain import wallet as rules
from pipeline.domain.cell import Cell
from tests.support.builders import NOON, later, micros
from tests.support.wallets import WALLET_CELLS, Purse, put_together, usd

KINDS = {cell.KIND: cell for cell in WALLET_CELLS}


def lived_in() -> tuple[Purse, dict[bytes, bytes]]:
    """A wallet that has seen a bit of everything, and its cells as the topic keeps them."""
    purse = Purse()
    purse.does(rules.set_notice, usd(4))
    purse.does(rules.set_auto_reload, True, usd(5), usd(20), usd(100))
    purse.does(rules.purchase, "p-1", usd(10))
    purse.does(rules.grant, usd(3), micros(later(NOON, days=30)))
    purse.uses(9)
    purse.does(rules.refund, "r-1", "p-1", usd(1))
    written = {key: value for key, value in purse.state.take_changes().items() if value is not None}
    return purse, {key: value for key, value in written.items() if json.loads(value)["cell"] in KINDS}


def restored(cells: dict[bytes, bytes]) -> list[Cell]:
    fields = [json.loads(value) for value in cells.values()]
    return [KINDS[each.pop("cell")].restored(each) for each in fields]


def test_what_is_restored_in_any_order_is_written_again_to_the_byte() -> None:
    purse, cells = lived_in()
    assert {json.loads(value)["cell"] for value in cells.values()} == set(KINDS)
    parts = restored(cells)
    Random(1).shuffle(parts)
    wallet = put_together(parts)["acme"]
    again = [wallet, *wallet.lots.values(), *wallet.payments.values(), *wallet.reloads.values()]
    assert {cell.key(): cell.value() for cell in again} == cells
    assert wallet.pending_reload is not None
    rules.set_watch(purse.state, purse.organization, wallet)
    assert (wallet.watch_picousd, wallet.due_micros) == (purse.wallet.watch_picousd, purse.wallet.due_micros)


def test_amounts_in_cells_are_digits() -> None:
    _, cells = lived_in()
    wallet = json.loads(cells[b'["wallet","acme"]'])
    # 10 + 3 - 9 - 1
    assert wallet["balance_picousd"] == str(usd(3))
    assert "watch_picousd" not in wallet
    assert "due_micros" not in wallet


def test_a_lot_that_is_used_up_is_forgotten_and_its_payment_is_not() -> None:
    purse = Purse()
    purse.does(rules.purchase, "p-1", usd(10))
    (lot,) = purse.lots
    purse.uses(10)
    purse.state.take_changes()
    purse.settle()
    assert purse.state.take_changes()[lot.key()] is None
    assert purse.wallet.payments["p-1"].lot_id == lot.lot_id


def test_fields_of_a_newer_version_are_kept() -> None:
    _, cells = lived_in()
    newer = {key: json.dumps(json.loads(value) | {"mood": "sunny"}).encode() for key, value in cells.items()}
    for cell in restored(newer):
        value = cell.value()
        assert value is not None
        assert json.loads(value) == json.loads(newer[cell.key()])
