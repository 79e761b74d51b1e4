"""`usage-credits simulate --month`: a month and a price book in; a table or JSON of what was and would be out."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from pipeline.clickhouse import open_clickhouse
from pipeline.domain.pricing import CompiledPrices
from pipeline.errors import Mendable
from pipeline.price_book import load_price_book
from pipeline.screen import apart, console, table, title
from pipeline.simulate.repricing import Compared, Repriced, StoredUsage, reprice, stored_usage
from pipeline.simulate.scenario import WrongUsage
from schemas.money import exact_for_people, usd_from_picousd
from schemas.month import Month

_TELL_EVERY_ROWS = 100_000


def run_reprice(
    month_text: str, price_book: Path, org_ids: Sequence[str], data_dir: Path | None, *, as_json: bool
) -> bool:
    """Price a month once more and print it; whether the book has a price for all of it. Nothing is written.

    Raises:
        WrongUsage: it is no month.
        Mendable: nothing was charged in it.
        PriceBookError, ClickHouseError: one of them cannot be used.
    """
    try:
        month = Month.parse(month_text)
    except ValueError as error:
        raise WrongUsage(f"--month: {error}") from None
    book = load_price_book(price_book)
    with open_clickhouse(data_dir) as client, console(stderr=True).status("pricing") as status:
        rows = _told(stored_usage(client, month, org_ids), status.update)
        repriced = reprice(rows, CompiledPrices(book))
    if not repriced.models and not repriced.unpriced:
        whom = f" to {', '.join(org_ids)}" if org_ids else ""
        raise Mendable(f"nothing was charged{whom} in {month}; `usage-credits query` shows what ClickHouse holds")
    if as_json:
        print(json.dumps(document(month, book.version, repriced), indent=2))
    else:
        console().print(report(month, str(price_book), repriced))
    return not repriced.unpriced


def document(month: Month, book_version: str, repriced: Repriced) -> dict[str, Any]:
    """Everything, exact."""
    organizations = repriced.organizations()
    return {
        "month": str(month),
        "price_book": book_version,
        **_dollars(_total(organizations)),
        "organizations": [
            {
                "org_id": org_id,
                **_dollars(compared),
                "models": [{"model": model, **_dollars(one)} for model, one in _models(repriced, org_id)],
                "unpriced": [
                    {
                        "model": model,
                        "reason": reason,
                        "detail": repriced.why[model, reason],
                        "events": one.events,
                        "was_usd": usd_from_picousd(one.was_picousd),
                    }
                    for (org, model, reason), one in sorted(repriced.unpriced.items())
                    if org == org_id
                ],
            }
            for org_id, compared in organizations.items()
        ],
    }


def report(month: Month, book: str, repriced: Repriced) -> RenderableType:
    """The table of what was and what would be; then what could not be compared."""
    return Group(title("What if", f"{month} at the prices of {book}"), _side_by_side(repriced), *_unpriced(repriced))


def _side_by_side(repriced: Repriced) -> RenderableType:
    organizations = repriced.organizations()
    lines: list[tuple[Text, Compared]] = []
    for org_id, compared in organizations.items():
        lines.append((Text(org_id, "bold"), compared))
        lines += [(Text(f"  {model}"), one) for model, one in _models(repriced, org_id)]
    if len(organizations) > 1:
        lines.append((Text("all", "bold"), _total(organizations)))
    amounts = exact_for_people(
        amount for _, one in lines for amount in (one.was_picousd, one.would_be_picousd, one.difference_picousd)
    )
    made = table("who", "events", "was", "would be", "difference", right=(1, 2, 3, 4))
    for number, (name, one) in enumerate(lines):
        was, would_be, difference = amounts[3 * number : 3 * number + 3]
        sign = "+" if one.difference_picousd > 0 else ""
        shown = Text(sign + difference if one.difference_picousd else "–", name.style)
        made.add_row(name, f"{one.events:,}", Text(was, name.style), Text(would_be, name.style), shown)
    return apart(made)


def _unpriced(repriced: Repriced) -> Iterator[RenderableType]:
    if not repriced.unpriced:
        return
    yield title("No price in this book", "not in the sums above")
    made = table("who", "model", "events", "was", "for example", right=(2, 3))
    found = sorted(repriced.unpriced.items())
    amounts = exact_for_people(one.was_picousd for _, one in found)
    for ((org_id, model, reason), one), was in zip(found, amounts, strict=True):
        made.add_row(org_id, model, f"{one.events:,}", was, repriced.why[model, reason])
    yield apart(made)


def _models(repriced: Repriced, org_id: str) -> list[tuple[str, Compared]]:
    return [(model, one) for (org, model), one in sorted(repriced.models.items()) if org == org_id]


def _total(organizations: Mapping[str, Compared]) -> Compared:
    total = Compared()
    for compared in organizations.values():
        total.add(compared)
    return total


def _dollars(compared: Compared) -> dict[str, Any]:
    return {
        "events": compared.events,
        "was_usd": usd_from_picousd(compared.was_picousd),
        "would_be_usd": usd_from_picousd(compared.would_be_picousd),
        "difference_usd": usd_from_picousd(compared.difference_picousd),
    }


def _told(rows: Iterable[StoredUsage], tell: Any) -> Iterator[StoredUsage]:
    """The rows, with a word on how many there were so far."""
    for number, row in enumerate(rows):
        if number % _TELL_EVERY_ROWS == 0:
            tell(f"pricing: {number:,} events")
        yield row
