"""People can read every price and every name of the book (R12)."""

from pipeline.price_book import load_price_book
from pipeline.price_list import name_rows, price_rows

BOOK = load_price_book()


def test_a_model_s_rows_are_its_price_ids_with_their_rates_in_dollars() -> None:
    normal, batch, long, long_batch, retired = price_rows(BOOK, "claude-sonnet-4-5-20250929")
    assert normal == {
        "price_id": "claude-sonnet-4-5@2025-09-29",
        "model": "claude-sonnet-4-5",
        "from": "2025-09-29T00:00:00Z",
        "until": "2026-11-30T00:00:00Z",
        "prompt_over_tokens": None,
        "input_usd_per_mtok": "3.00",
        "output_usd_per_mtok": "15.00",
        "cache_read_usd_per_mtok": "0.30",
        "cache_write_5m_usd_per_mtok": "3.75",
        "cache_write_1h_usd_per_mtok": "6.00",
        "web_search_usd_per_thousand": "10.00",
    }
    assert (batch["price_id"], batch["output_usd_per_mtok"]) == ("claude-sonnet-4-5@2025-09-29+batch", "7.50")
    assert (long["prompt_over_tokens"], long["output_usd_per_mtok"]) == (200_000, "22.50")
    assert long_batch["output_usd_per_mtok"] == "11.25"
    assert (retired["price_id"], retired["from"]) == (None, "2026-11-30T00:00:00Z")


def test_every_name_is_listed_once_with_its_model() -> None:
    rows = list(name_rows(BOOK))
    assert {row["name"]: row["model"] for row in rows} == dict(BOOK.names())
    assert len(rows) == len({row["name"] for row in rows})
    assert {row["model"] for row in name_rows(BOOK, "claude-opus-4.6")} == {"claude-opus-4-6"}


def test_an_unknown_name_has_no_rows() -> None:
    assert list(price_rows(BOOK, "claude-9")) == []
    assert list(name_rows(BOOK, "claude-9")) == []
