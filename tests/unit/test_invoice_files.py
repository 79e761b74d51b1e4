"""Invoices as tables, CSV and pages: what stands in them; nothing needs to run."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.invoices import command
from pipeline.invoices.billed import CreditNote, Invoice, Line, Payment
from pipeline.invoices.files import csv_of, document_of
from pipeline.invoices.page import page_of
from pipeline.invoices.reading import Wanted
from pipeline.invoices.tables import page_of as table_of
from pipeline.screen import console
from tests.support.builders import CENT_PICOUSD, DOLLAR_PICOUSD, micros

NASTY = "</style><script>[bold]&\"'\\"


def usage(number: int, quantity: int, **fields: object) -> Line:
    """Output tokens at $15 a million; amounts are rounded down here."""
    exact = quantity * 15_000_000
    line = Line(
        number, "usage", "2026-02", "chat", "m", "m@2026-01-01", "output_tokens",
        quantity, 15_000_000, exact, exact // CENT_PICOUSD * CENT_PICOUSD,
    )  # fmt: skip
    return line._replace(**fields)


def balance(number: int, kind: str, picousd: int) -> Line:
    """What is no usage."""
    return Line._make((number, kind, "", "", "", "", "", 0, 0, picousd, picousd))


def invoice(*lines: Line, **fields: object) -> Invoice:
    total = sum(line.amount_picousd for line in lines)
    exact = sum(line.exact_picousd for line in lines if line.kind == "usage")
    at = micros("2026-03-04T00:00:00Z")
    made = Invoice("acme", "2026-02", 1, "finalized", 7, "month_closed", at, exact, total, 0, 0, total, lines=lines)
    return replace(made, **fields)


def as_text(one: Invoice) -> str:
    """The table as it lies in a file, with single spaces."""
    screen = console(markup=False)
    with screen.capture() as captured:
        screen.print(table_of(one))
    return " ".join(captured.get().split())


def test_an_export_that_fails_leaves_the_file_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_found", lambda *_: [invoice(usage(1, 10))])
    output = tmp_path / "invoices.csv"
    command.run_export(Wanted(), "csv", output, None)
    whole = output.read_text()
    monkeypatch.setattr(command.files, "csv_of", lambda _: "org_id\n\ud800")  # what no file takes
    with pytest.raises(UnicodeEncodeError):
        command.run_export(Wanted(), "csv", output, None)
    assert output.read_text() == whole
    assert list(tmp_path.iterdir()) == [output]


def test_what_others_named_is_text_in_a_page_and_in_its_style() -> None:
    nasty = invoice(usage(1, 10, product=NASTY, price_id=NASTY), org_id=NASTY)
    note = CreditNote(1, 7, CENT_PICOUSD, NASTY, nasty.at_micros or 0)
    paid = Payment(NASTY.replace("\\", ""), 7, CENT_PICOUSD, nasty.at_micros or 0)
    page = page_of([replace(nasty, credit_notes=(note,), payments=(paid,))])
    assert "<script" not in page
    assert page.count("</style>") == 1
    style = page[: page.index("</style>")]
    assert NASTY not in style.partition("<style>")[2]
    assert "&lt;/style&gt;&lt;script&gt;[bold]&amp;&quot;&#x27;\\" in page


def test_brackets_in_a_name_are_no_markup_of_the_table() -> None:
    assert "chat[red] m@2026-01-01" in as_text(invoice(usage(1, 10, product="chat[red]")))


def test_carried_amounts_and_debt_are_lines_of_their_own() -> None:
    one = invoice(
        usage(1, 2_000_000), balance(2, "carried", -5 * DOLLAR_PICOUSD), balance(3, "debt", 3 * DOLLAR_PICOUSD // 2)
    )
    assert document_of(one)["rounding_usd"] == "0.00"
    assert document_of(one)["lines"][1]["kind"] == "carried"
    for shown in (as_text(one), page_of([one])):
        assert "arried over from the invoice before" in shown
        assert "-$5.00" in shown
        assert "sed beyond the balance, on Team" in shown
        assert "$26.50" in shown  # 30.00 - 5.00 + 1.50


def test_the_rounding_is_what_the_sum_differs_from_the_exact_lines() -> None:
    # 3 x 333 tokens at $15 per million are $0.014985 exactly, which is one cent.
    one = invoice(usage(1, 333, amount_picousd=CENT_PICOUSD), usage(2, 333), usage(3, 333))
    assert document_of(one)["rounding_usd"] == "-0.004985"
    assert "all lines, exact $0.014985 rounded, once -$0.004985 total $0.01" in as_text(one)


def test_lines_of_other_months_stand_apart() -> None:
    one = invoice(usage(1, 10), usage(2, 10, usage_month="2026-01"), usage(3, 10, usage_month="2026-01", product="x"))
    assert page_of([one]).count("Used in January 2026") == 1
    assert as_text(one).count("used in 2026-01, which was closed") == 2


@pytest.mark.parametrize("name", ["=1+1", "+x", "-x", "@x"])
def test_a_spreadsheet_takes_no_name_for_a_formula(name: str) -> None:
    (row,) = csv.DictReader(io.StringIO(csv_of([invoice(usage(1, -10, product=name))])))
    assert row["product"] == f"'{name}"
    assert (row["quantity"], row["exact_usd"]) == ("-10", "-0.00015")


def test_a_draft_says_that_it_is_no_invoice() -> None:
    draft = invoice(usage(1, 10), state="draft", number=None, reason="")
    assert "Not an invoice" in page_of([draft])
    assert "Due" not in page_of([draft]).partition("<body>")[2]
    assert "due" not in as_text(draft)


def test_an_invoice_without_a_number_was_suppressed() -> None:
    zero = invoice(usage(1, 10, amount_picousd=0), number=None)
    assert "no invoice: nothing to pay" in as_text(zero)


def test_what_was_paid_and_taken_back_leaves_what_is_open() -> None:
    due = invoice(usage(1, 2_000_000))  # 30.00
    for shown in (as_text(due), page_of([due])):
        assert "pen</td>" not in shown
        assert " open " not in shown
    settled = replace(due, credited_picousd=5 * DOLLAR_PICOUSD, paid_picousd=27 * DOLLAR_PICOUSD)
    table = as_text(replace(settled, payments=(Payment("bank-1", 7, 27 * DOLLAR_PICOUSD, due.at_micros or 0),)))
    assert "due $30.00 taken back by credit notes -$5.00 paid -$27.00 open -$2.00" in table
    assert "bank-1 2026-03-04 00:00 $27.00" in table
    assert '<span class="label">Open</span><b>-$2.00</b>' in page_of([settled])
    assert document_of(settled)["open_usd"] == "-2.00"
