"""Invoices go in; one HTML page goes out that prints on A4, with its style inside and nothing from elsewhere."""

from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from string import Template

from pipeline.invoices.billed import Group, Invoice, Line
from pipeline.invoices.words import (
    BALANCE_NAMES,
    KIND_NAMES,
    REASONS,
    day,
    month_in_words,
    quantity_of,
    rate_of,
)
from schemas.money import exact_for_people
from schemas.money import spend_for_people as cents

_FONTS = 'Inter, "Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif'
_COLUMNS = 6


def page_of(invoices: Sequence[Invoice]) -> str:
    """The whole document, an invoice after the other, each from a new sheet on."""
    return Template(files("pipeline.invoices").joinpath("page.html").read_text(encoding="utf-8")).substitute(
        title=escape(", ".join(map(_title, invoices)) if len(invoices) < 4 else f"{len(invoices):,} invoices"),
        fonts=_FONTS,
        running="\n  ".join(_running(number, invoice) for number, invoice in enumerate(invoices)),
        articles="\n".join(_article(number, invoice) for number, invoice in enumerate(invoices)),
    )


def _title(invoice: Invoice) -> str:
    return f"{invoice.org_id} {invoice.month} {invoice.name}"


def _running(number: int, invoice: Invoice) -> str:
    """What stands at the foot of each sheet of an invoice."""
    text = _css_text(f"{invoice.org_id} · {invoice.name} · {month_in_words(invoice.month)}")
    return f"@page of{number} {{ @bottom-left {{ content: {text}; font: 7.5pt {_FONTS}; color: #6b7280; }} }}"


def _css_text(text: str) -> str:
    """Text as a CSS string; whatever is no letter or digit is written by its number."""
    return '"' + "".join(c if c.isascii() and c.isalnum() else f"\\{ord(c):x} " for c in text) + '"'


def _article(number: int, invoice: Invoice) -> str:
    return f"""<article style="page: of{number}">
{_head(invoice)}
<table>
<thead><tr><th class="line"></th><th>Product, model, kind</th><th class="n">Quantity</th><th class="n">Rate</th>
<th class="n">Exact</th><th class="n">Amount</th></tr></thead>
{"".join(_lines(invoice))}</table>
{_sums(invoice)}
{_credit_notes(invoice)}
{_payments(invoice)}
{_foot(invoice)}
</article>"""


def _head(invoice: Invoice) -> str:
    is_final = invoice.state == "finalized"
    title = "Draft" if not is_final else "Invoice" if invoice.number is None else f"Invoice {invoice.number}"
    part = f", part {invoice.part}" if invoice.part > 1 else ""
    facts = {"Usage charged in": month_in_words(invoice.month) + part}
    if is_final and invoice.at_micros is not None:
        facts["Finalised (UTC)"] = day(invoice.at_micros)
        facts["Because"] = REASONS[invoice.reason]
    facts["Amounts"] = "US dollars, without tax"
    draft = (
        "" if is_final else '<p class="draft">Not an invoice yet: what it would be now. Usage is still being added.</p>'
    )
    label, amount = "Due" if is_final else "So far", invoice.due_picousd
    if invoice.is_settled:
        label, amount = "Open", invoice.open_picousd
    told = "".join(f"<div><dt>{name}</dt><dd>{escape(fact)}</dd></div>" for name, fact in facts.items())
    return f"""<header>
<div><h1>{title}</h1><div class="whose">{escape(invoice.org_id)}</div></div>
<div class="due"><span class="label">{label}</span><b>{cents(amount)}</b></div>
</header>{draft}
<dl class="facts">{told}</dl>"""


def _lines(invoice: Invoice) -> Iterator[str]:
    exact = iter(exact_for_people(line.exact_picousd for line in invoice.lines))
    month = invoice.month
    for group in invoice.groups():
        if group.price_id and group.usage_month != month:
            month = group.usage_month
            late = f"Used in {month_in_words(month)}, arrived when the books of that month were closed"
            yield f'<tbody class="section"><tr><td colspan="{_COLUMNS}">{late}</td></tr></tbody>\n'
        rows = [_line(line, next(exact), is_last=line is group.lines[-1]) for line in group.lines]
        yield f"<tbody>{_group(group)}{''.join(rows)}</tbody>\n"


def _group(group: Group) -> str:
    if not group.price_id:
        return ""
    name = f"{escape(group.product)} &nbsp;<code>{escape(group.price_id)}</code>"
    return (
        f'<tr class="group"><td></td><td colspan="{_COLUMNS - 2}">{name}</td>'
        f'<td class="n">{cents(group.amount_picousd)}</td></tr>\n'
    )


def _line(line: Line, exact_usd: str, *, is_last: bool) -> str:
    name = KIND_NAMES[line.token_kind] if line.kind == "usage" else BALANCE_NAMES[line.kind]
    return (
        f'<tr{" class=last" if is_last else ""}><td class="line">{line.number}</td><td>{name[0].upper()}{name[1:]}</td>'
        f'<td class="n">{quantity_of(line)}</td><td class="n">{rate_of(line)}</td>'
        f'<td class="n exact">{exact_usd}</td><td class="n">{cents(line.amount_picousd)}</td></tr>\n'
    )


def _sums(invoice: Invoice) -> str:
    exact, rounding = exact_for_people((sum(line.exact_picousd for line in invoice.lines), invoice.rounding_picousd))
    rows = [("", "All lines, exact", exact), ("gap", "Rounded to the cent, once", rounding)]
    if invoice.carried_picousd:
        rows.append(("", "Below zero: carried to the next invoice", cents(-invoice.carried_picousd)))
    if invoice.state == "finalized":
        rows.append(("rule", "Total", cents(invoice.total_picousd)))
        if invoice.offset_picousd:
            rows.append(("gap", "Paid from the wallet", cents(-invoice.offset_picousd)))
        rows.append(("due", "Due", cents(invoice.due_picousd)))
        if invoice.credited_picousd:
            rows.append(("", "Taken back by credit notes", cents(-invoice.credited_picousd)))
        if invoice.paid_picousd:
            rows.append(("", "Paid", cents(-invoice.paid_picousd)))
        if invoice.is_settled:
            rows.append(("due", "Open", cents(invoice.open_picousd)))
    else:
        rows.append(("due", "So far", cents(invoice.total_picousd)))
    cells = "".join(f'<tr class="{kind}"><td>{name}</td><td class="n">{usd}</td></tr>\n' for kind, name, usd in rows)
    return f'<table class="sums">{cells}</table>'


def _credit_notes(invoice: Invoice) -> str:
    if not invoice.credit_notes:
        return ""
    rows = "".join(
        f'<tr><td class="line">{note.number}</td><td>{escape(note.note)}</td><td class="n">{day(note.at_micros)}</td>'
        f'<td class="n">{cents(-note.amount_picousd)}</td></tr>\n'
        for note in invoice.credit_notes
    )
    left = cents(invoice.total_picousd - invoice.credited_picousd)
    return f"""<h2>Credit notes</h2>
<table><thead><tr><th class="line"></th><th>Why</th>
<th class="n">Issued (UTC)</th><th class="n">Amount</th></tr></thead>
<tbody>{rows}</tbody></table>
<table class="sums end"><tr class="rule"><td>Total, credit notes taken off</td><td class="n">{left}</td></tr></table>"""


def _payments(invoice: Invoice) -> str:
    if not invoice.payments:
        return ""
    rows = "".join(
        f'<tr><td class="line"></td><td>{escape(payment.payment_id)}</td><td class="n">{day(payment.at_micros)}</td>'
        f'<td class="n">{cents(payment.amount_picousd)}</td></tr>\n'
        for payment in invoice.payments
    )
    return f"""<h2>Payments</h2>
<table><thead><tr><th class="line"></th><th>Payment</th>
<th class="n">Received (UTC)</th><th class="n">Amount</th></tr></thead>
<tbody>{rows}</tbody></table>"""


def _foot(invoice: Invoice) -> str:
    number = invoice.number or f"{invoice.month}.{invoice.part}"
    why = escape(f"usage-credits invoice show {invoice.org_id} {number} --why LINE")
    return f"""<footer><p>Exact is quantity times rate, to the last digit. Only the sum is rounded; \
its cents are distributed over the lines, so that they add up to it.</p>
<p>From a line down to each request: <code>{why}</code></p></footer>"""
