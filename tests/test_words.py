"""Replaced words do not come back, and a docstring begins with a statement."""

import pytest

from tests.words import PLACES, Exemption, Rules, Text, Word, find_hits, hits_in, python_texts, read_rules, texts_under

RULES = Rules(
    enforced=(),
    fragments=("What",),
    words=(
        Word(forms=("product", "products"), say="matmul", where=frozenset({"names", "prose"}), allow=("dot product",)),
        Word(forms=("Row",), say="which row", where=frozenset({"classes"})),
    ),
)


@pytest.mark.parametrize("place", read_rules().enforced)
def test_no_replaced_words(place: str) -> None:
    hits = find_hits(read_rules(), (place,))
    assert not hits, "\n".join(map(str, hits))


def test_every_exemption_is_needed() -> None:
    rules = read_rules()
    hits = [hit for place in PLACES for text in texts_under(place) for hit in hits_in(text, rules)]
    unused = [each for each in rules.exemptions if not any(each.covers(hit) for hit in hits)]
    assert not unused
    assert all(each.reason for each in rules.exemptions)


@pytest.mark.parametrize(
    "source",
    [
        "class JointProduct: ...",
        "def joint_product(): ...",
        "def join(products): ...",
        "PRODUCT_BYTES = 1",
        "class Kernel:\n    product: int",
        "class Row: ...",
        '"""Products of matrices."""',
        'def join():\n    """Joins\n    products."""',
        'def join():\n    """What joins."""',
        'def join():\n    raise ValueError(f"no product {1}")',
        'print("the product")',
        'parser.add_argument("--x", help="a product")',
    ],
)
def test_a_word_is_found_in_names_docstrings_and_messages(source: str) -> None:
    assert len(_hits(source)) == 1, _hits(source)


@pytest.mark.parametrize(
    "source",
    [
        "class Production: ...",
        "def _product(): ...",
        "def join():\n    product = 1",
        '"""The dot\nproduct of two rows."""',
        'def join():\n    """Joins.\n\n    What the product is."""',
        'x = "a product"',
        "class RowTile: ...",
    ],
)
def test_what_is_not_checked(source: str) -> None:
    assert not _hits(source)


def test_pages_are_checked_outside_code() -> None:
    page = Text(path="docs/page.md", line=1, kind="prose", text="One\n\nmore product\n")
    (hit,) = hits_in(page, RULES)
    assert str(hit) == "docs/page.md:3: 'product' (matmul): more product"
    assert Exemption(path="docs", form="product", reason="it is").covers(hit)
    assert not Exemption(path="doc", form="product", reason="it is").covers(hit)


def _hits(source: str) -> list[str]:
    return [str(hit) for text in python_texts("module.py", source) for hit in hits_in(text, RULES)]
