"""A price book that cannot be right is refused, with file, model, value and what to do next (R12)."""

from pathlib import Path

import pytest

from pipeline.price_book import PriceBookError, load_price_book

BOOK = """
sources:
  page: {what: "https://example.org/prices", read: 2026-01-02}
spellings: {names: "{,anthropic/}NAME", bedrock: "anthropic.NAME", vertex: "NAME"}
models:
  - model: m-1
    names: ["m-{1,one}"]
    blocks:
      - from: 2026-01-01
        rates: {input: "3", output: "15"}
        batch: "0.5"
        source: [page]
      - from: 2026-02-01
        retired: true
        source: [page]
  - model: m-2
    names: [m-2]
    blocks:
      - {from: 2026-01-01, rates: {input: "1"}, source: [page]}
"""


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "book.yaml"
    file.write_text(text)
    return file


def test_a_small_book_is_read_whole(tmp_path: Path) -> None:
    book = load_price_book(written(tmp_path, BOOK))
    assert sorted(name for name, model in book.names() if model == "m-1") == [
        "anthropic/m-1",
        "anthropic/m-one",
        "m-1",
        "m-one",
    ]
    first, last = book.models["m-1"].blocks
    assert (first.block_id, first.variants["+batch"].input) == ("m-1@2026-01-01", 1_500_000)
    assert last.retired


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ('input: "3"', 'input: "0.0000003"', "m-1@2026-01-01: input at 0.0000003 x 1 USD per 1,000,000 is 0.3 pico"),
        ('batch: "0.5"', 'batch: "0.0000001"', r"m-1@2026-01-01\+batch: input at 3 x 0.0000001 .* not a whole number"),
        ('input: "3"', 'input: "-3"', "models.0.blocks.0.rates.input: .*write a plain decimal.* it says '-3'"),
        ('input: "3"', 'input: "3e-6"', "write a plain decimal"),
        ('input: "3"', 'inputs: "3"', "models.0.blocks.0.rates.inputs: Extra inputs are not permitted"),
        ("from: 2026-02-01", "from: 2026-01-01", "model m-1: block 2026-01-01 stands after 2026-01-01; append"),
        ("from: 2026-02-01", "from: 2025-12-31", "append blocks by date"),
        ("from: 2026-02-01", "from: 2026-02-30", "day is out of range for month"),
        ("retired: true", "retired: maybe", "models.0.blocks.1.retired"),
        ("retired: true", 'retired: true\n        fast: "2"', "m-1@2026-02-01: retired, yet it lists fast"),
        ("        retired: true\n", "", "m-1@2026-02-01: no rates; give it `rates`, or `retired: true`"),
        ("[page]", "[pge]", "source 'pge' is not described; add it to `sources`"),
        ("names: [m-2]", "names: [m-one]", "model m-2: that name is none of its own `names`"),
        ("names: [m-2]", "names: [m-2, m-one]", "the name 'm-one' is there twice"),
        ("model: m-2\n    names: [m-2]", "model: m-1\n    names: [m-1]", "the model 'm-1' is there twice"),
        ("models:", "modles:", "modles: Extra inputs|models: Field required"),
        ("spellings:", "spellings: [", "not YAML"),
    ],
)
def test_a_wrong_book_is_refused_with_what_is_wrong(tmp_path: Path, right: str, wrong: str, said: str) -> None:
    assert right in BOOK
    file = written(tmp_path, BOOK.replace(right, wrong, 1))
    with pytest.raises(PriceBookError, match=said) as refused:
        load_price_book(file)
    assert str(file) in str(refused.value)


def test_a_book_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PriceBookError, match=r"none\.yaml: No such file or directory; name a file"):
        load_price_book(tmp_path / "none.yaml")


@pytest.mark.parametrize("text", ["", "just words", "[1, 2]"])
def test_a_file_without_a_book_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(PriceBookError, match="the file: "):
        load_price_book(written(tmp_path, text))


def test_the_version_follows_what_decides_a_price_and_nothing_else(tmp_path: Path) -> None:
    version = load_price_book(written(tmp_path, BOOK)).version
    for same in (BOOK + "# a comment\n", BOOK.replace("example.org", "example.com")):
        assert load_price_book(written(tmp_path, same)).version == version
    for other in (BOOK.replace('"15"', '"16"'), BOOK.replace("one", "uno"), BOOK.replace("02-01", "03-01")):
        assert load_price_book(written(tmp_path, other)).version != version
