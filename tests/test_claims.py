"""Claims are computed from raw data, and the numbers of a text are theirs, one by one."""

import json
import re

import msgspec
import pytest

from embalign.errors import ClaimError
from embalign.research.claims import Binder, parse
from embalign.research.numbers import check_numbers, numbers_of

MEAN = {"file": "t.csv", "where": "arm:a", "col": "x", "fn": "mean", "format": ".1f"}
WALKED = {"file": "v.json", "path": "a/0/0.5", "format": "g"}
COUNT = {"file": "t.csv", "where": "arm:a", "fn": "count", "format": "g"}


@pytest.fixture
def table(tmp_path):
    (tmp_path / "t.csv").write_text("arm,seed,x\na,0,1\na,1,3\nb,0,5\n")
    (tmp_path / "v.json").write_text(json.dumps({"a": [{"0.5": 2.25}], "flag": True}))
    return tmp_path


def claim(fields, text=""):
    return parse({**fields, **({"text": text} if text else {})})


@pytest.mark.parametrize(
    ("fields", "value"),
    [
        (MEAN, "2.0"),
        (MEAN | {"fn": "std", "format": ".3f"}, "1.414"),
        (MEAN | {"fn": "max", "minus": "arm:b", "format": "+.0f"}, "-2"),
        ({"file": "t.csv", "where": "arm:a,seed:1", "col": "x", "over": "arm:b", "format": ".2f"}, "0.60"),
        (COUNT | {"format": ".0f"}, "2"),
        (WALKED | {"scale": 100, "format": ".3g"}, "225"),
    ],
)
def test_claims_are_computed_from_raw_data(table, fields, value):
    assert claim(fields).computed(table) == value
    check_numbers(f"It is {value} here.", [claim(fields, value)], table, [])


def test_a_binder_records_what_it_prints_in_the_order_asked_for(table):
    bind = Binder(table)
    text = f"From {bind(**COUNT)} rows: {bind(**MEAN)}; (not {bind(**WALKED)})."
    assert [each.text for each in bind.claims] == ["2", "2.0", "2.25"]
    check_numbers(text, bind.claims, table, [])
    assert msgspec.to_builtins(bind.claims[0]) == COUNT | {"text": "2"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (MEAN | {"fn": "value"}, "fn = value needs one"),
        (MEAN | {"where": "arm:z"}, "no row has arm:z"),
        (COUNT | {"file": "../t.csv"}, "lies outside"),
        (WALKED | {"path": "flag"}, "is True, not a number"),
        (WALKED | {"path": "a/1"}, "cannot be computed (IndexError"),
        (WALKED | {"format": ".0f"}, "2.25 is not whole"),
    ],
)
def test_what_cannot_be_computed_is_quoted(table, fields, message):
    with pytest.raises(ClaimError, match=re.escape(message)):
        claim(fields).computed(table)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (MEAN | {"colour": "x"}, "unknown field `colour`"),
        (MEAN | {"col": ""}, "Expected `str` of length >= 1 - at `$.col`"),
        (MEAN | {"scale": 100.0}, "Expected `int`, got `float` - at `$.scale`"),
        (MEAN | {"scale": 4}, "scale is neither 1 nor 100"),
        (MEAN | {"format": ".9f"}, "format is not one of .0f to .5f"),
        (MEAN | {"fn": "median"}, "fn is not one of value, mean"),
        (MEAN | {"path": "a"}, "needs either path"),
        (MEAN | {"minus": "arm:b", "over": "arm:b"}, "choose one of minus and over"),
        (WALKED | {"col": "x"}, "col says nothing beside path"),
        (COUNT | {"col": "x"}, "fn = count counts rows and takes no col"),
        ({"file": "t.csv", "where": "arm:a", "format": "g"}, "every other fn needs one"),
        ({"path": "a", "format": "g"}, "missing required field `file`"),
    ],
)
def test_a_claim_says_neither_too_little_nor_too_much(fields, message):
    with pytest.raises(ClaimError, match=re.escape(message)):
        parse(fields)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A gain of 3 points", "README.md, 'A gain of 3 points': '3' is bound to no raw data; remove it, or bind it"),
        ("It gains. By 3 points! Yes.", "README.md, 'By 3 points!'"),
        ("| a | b |\n| 3 | x |\n", "README.md, '| 3 | x |'"),
        ("A gain of \u00bd a point", "'\u00bd' is no number by itself"),
        ("A gain of forty-two per cent", "'forty' is bound to no raw data"),
        ("It is a threefold gain", "'threefold' is bound to no raw data"),
        ("[of size](https://example.org shows 42)", "'42' is bound to no raw data"),
        ("v2.1 is a name, 2.1 is not", "'2.1' is bound to no raw data"),
        ("v2.15 is another one", "'v2.15' is no number by itself"),
        ("7v2.1 is another one", "'7v2.1' is no number by itself"),
        ("[7](t.csv)", "'[7](t.csv)' is no number by itself"),
        ("[t](t.csv)7", "'[t](t.csv)7' is no number by itself"),
    ],
)
def test_a_number_without_a_claim_is_quoted_in_its_sentence(table, text, message):
    with pytest.raises(ClaimError, match=re.escape(message)):
        check_numbers(text, [], table, ["v2.1"])


@pytest.mark.parametrize("shown", ["2.25", "(2.25)", "**2.25**.", "2.25,", "*2.25*):"])
def test_brackets_emphasis_and_punctuation_may_stand_around_a_number(table, shown):
    check_numbers(f"It is {shown}", [claim(WALKED, "2.25")], table, [])


def test_a_typographic_minus_is_a_minus(table):
    fields = MEAN | {"fn": "max", "minus": "arm:b", "format": "+.0f"}
    check_numbers("It is \u22122.", [claim(fields, "-2")], table, [])


@pytest.mark.parametrize(
    "shown",
    ["-2.25", "+2.25", "\u22122.25", "--2.25", "\u00b12.25", "2.25%", "2.25\u00b2", "2.252.25", "`2.25`", "x(2.25)"],
)
def test_a_number_with_anything_else_beside_it_is_another_number(table, shown):
    with pytest.raises(ClaimError, match=r"no number by itself|the text says"):
        check_numbers(f"It is {shown} here", [claim(WALKED, "2.25")], table, [])


@pytest.mark.parametrize(
    ("text", "texts", "message"),
    [
        ("It is 2.1.", ["2.1"], "the text says 2.1, claim 1 of conclusion.toml 2.1, the raw data 2.0; correct"),
        ("It is 2.1.", ["2.0"], "the text says 2.1, claim 1 of conclusion.toml 2.0, the raw data 2.0; correct"),
        ("It is 2.0.", ["2.1"], "the text says 2.0, claim 1 of conclusion.toml 2.1, the raw data 2.0; correct"),
        ("It is 2.0.", [""], "claim 1 of conclusion.toml no text, the raw data 2.0"),
        ("Not 7 but 2.0.", ["2.0"], "'Not 7 but 2.0.': '7' is bound to no raw data"),
        ("It is 2.0 or 2.0.", ["2.0"], "'2.0' is bound to no raw data"),
        ("It is 2.0.", ["2.0", "2.0"], 'claim 2 (text = "2.0", file = "t.csv"'),
        ("It is good.", ["2.0"], "README.md has no such number at this place; remove the claim, or sort"),
    ],
)
def test_text_claim_and_raw_data_must_agree(table, text, texts, message):
    with pytest.raises(ClaimError, match=re.escape(message)):
        check_numbers(text, [claim(MEAN, each) for each in texts], table, [])


def test_claims_out_of_reading_order_fail(table):
    claims = [claim(COUNT, "2"), claim(WALKED, "2.25")]
    check_numbers("First 2, then 2.25.", claims, table, [])
    with pytest.raises(ClaimError, match=r"sort the claims|bound to no raw data"):
        check_numbers("First 2.25, then 2.", claims, table, [])


def test_a_long_line_is_quoted_around_its_number_only():
    (number,) = numbers_of(f"{'word ' * 100}7 {'more ' * 100}", [])
    assert "word 7 more" in number.sentence
    assert len(number.sentence) <= 160
