"""Lines and invoices go in; how people read kinds, rates, quantities and instants comes out, the same everywhere."""

from pipeline.invoices.billed import Invoice, Line
from schemas.instants import format_instant
from schemas.money import usd_from_picousd
from schemas.month import Month

KIND_NAMES = {
    "input_tokens": "input tokens",
    "output_tokens": "output tokens",
    "cache_read_tokens": "cache reads",
    "cache_write_5m_tokens": "cache writes, 5 min",
    "cache_write_1h_tokens": "cache writes, 1 h",
    "web_search_requests": "web searches",
    "": "",
}
BALANCE_NAMES = {"carried": "carried over from the invoice before", "debt": "used beyond the balance, on Team"}
REASONS = {
    "month_closed": "the month closed",
    "plan_changed": "the plan changed to Team",
    "organization_closed": "the organisation was closed",
}

_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def rate_of(line: Line) -> str:
    """Dollars for so many: `$3.00 / million`."""
    units, name = (1_000, "1,000") if line.token_kind == "web_search_requests" else (1_000_000, "million")
    return f"${usd_from_picousd(line.rate_picousd * units)} / {name}" if line.kind == "usage" else ""


def quantity_of(line: Line) -> str:
    """Whole tokens or searches; nothing for what is no usage."""
    return f"{line.quantity:,}" if line.kind == "usage" else ""


def month_in_words(month: str) -> str:
    """`February 2026`."""
    year, number = Month.parse(month)
    return f"{_MONTHS[number - 1]} {year}"


def day(instant_micros: int) -> str:
    """`4 March 2026`, UTC."""
    text = format_instant(instant_micros)
    return f"{int(text[8:10])} {month_in_words(text[:7])}"


def minute(instant_micros: int) -> str:
    """`2026-03-04 00:00`, UTC."""
    return format_instant(instant_micros)[:16].replace("T", " ")


def state_of(invoice: Invoice) -> str:
    """What it is, since when and why."""
    match invoice.state:
        case "open":
            return "open: the month runs"
        case "draft":
            return "draft: late usage is still added"
    return f"finalised {'' if invoice.at_micros is None else minute(invoice.at_micros)}: {REASONS[invoice.reason]}"
