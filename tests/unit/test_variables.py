"""Names, types and values of a job's variables."""

import math
import sys
import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds.jobs.variables import (
    BUILT_IN,
    TYPES,
    Value,
    as_text,
    control_character,
    environment_name,
    from_text,
    is_empty,
    looks_secret,
    name_clashes,
    name_problem,
    split_key,
    value_problem,
)


@pytest.mark.parametrize(
    "name", ["plate", "Metadata_Well", "ice-cream", "_x", "X1", "path", "input", "LDX", "DSX"]
)
def test_these_may_be_names(name: str) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "letters, digits"),
        ("1st", "begin with a letter"),
        ("a b", "letters, digits"),
        ("a.b", "letters, digits"),
        ("größe", "letters, digits"),
        ("plate\n", "letters, digits"),
        ("my_comment", "contains _comment"),
        *[(name, "built-in") for name in BUILT_IN],
        ("output-dir", "built-in"),
        *[(name, "reserved") for name in ("group", "groups", "PATH", "HOME", "IFS", "TMPDIR")],
        *[(name, "reserved") for name in ("LD_PRELOAD", "PYTHONPATH", "AWS_REGION", "ECS_X")],
        *[(name, "reserved") for name in ("DS_RUN", "DS-RUN")],
        ("SECONDS", "shells set themselves"),
    ],
)
def test_these_may_not_be_names_and_the_reason_is_reported(name: str, reason: str) -> None:
    problem = name_problem(name)
    assert problem is not None
    assert reason in problem


# Arrays, and names that bash reads from its environment: scripts do not use them as $name.


def test_names_that_are_equal_in_the_environment_clash() -> None:
    assert environment_name("ice-cream") == "ice_cream"
    assert name_clashes(["a-b", "x", "a_b", "x"]) == [("a-b", "a_b")]
    assert name_clashes(["a", "b"]) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a b", "a b"),
        ("", ""),
        (0, "0"),
        (-3, "-3"),
        (1.5, "1.5"),
        (2.0, "2.0"),
        (1e-7, "1e-07"),
        (True, "true"),
        (False, "false"),
    ],
)
def test_a_value_is_written_as_in_the_job_file(value: str | float | bool, text: str) -> None:
    assert as_text(value) == text


@pytest.mark.parametrize("value", [None, "", False, []])
def test_these_are_empty(value: Value) -> None:
    assert is_empty(value)


@pytest.mark.parametrize("value", [0, 0.0, "0", " ", True, ["a"], [""]])
def test_zero_and_blanks_are_values(value: Value) -> None:
    assert not is_empty(value)


@pytest.mark.parametrize(
    ("text", "type_", "value"),
    [
        ("true", "flag", True),
        ("False", "flag", False),
        (" TRUE ", "flag", True),
        ("", "flag", ""),
        ("a, b/c ,s3://x/d", "files", ["a", "b/c", "s3://x/d"]),
        ("a", "files", ["a"]),
        ("", "files", ""),
        ("12", "text", "12"),
        (" a ", "text", " a "),
        ("a,b", "file", "a,b"),
        ("-x 'a b'", "args", "-x 'a b'"),
    ],
)
def test_the_text_of_a_csv_cell_becomes_a_value_of_its_type(
    text: str, type_: str, value: Value
) -> None:
    assert from_text(text, type_) == value
    assert value_problem(value, type_) is None


@pytest.mark.parametrize(
    ("text", "type_"),
    [("yes", "flag"), ("1", "flag"), ("a,,b", "files"), ("a,", "files"), (" ", "files")],
)
def test_a_cell_that_is_not_a_value_of_its_type_is_refused(text: str, type_: str) -> None:
    with pytest.raises(ValueError, match=r"must"):
        from_text(text, type_)


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        *[(None, type_) for type_ in TYPES],
        *[("", type_) for type_ in TYPES],
        *[(value, "text") for value in ("a; $(b) 'c'\n", 3, 0.5, True, "naïve 🧪", 10**30)],
        *[(key, "file") for key in ("a/b.tif", "s3://other/a/b.tif", "a..b", "a b/ü.tif", "a//b")],
        *[(keys, "files") for keys in ([], ["a"], ["a", "s3://b/c"])],
        *[(key, "folder") for key in ("plate1", "plate1/", "plate1/*_w1.tif", "s3://other")],
        ("s3://other/", "folder"),
        *[(text, "args") for text in ("-a 'b c'", "--x")],
        (True, "flag"),
        (False, "flag"),
    ],
)
def test_these_values_fit_their_type(value: Any, type_: str) -> None:
    assert value_problem(value, type_) is None


@pytest.mark.parametrize(
    ("value", "type_", "reason"),
    [
        ({"a": 1}, "text", "text, a number, true or false"),
        (["a"], "text", "text, a number, true or false"),
        (math.inf, "text", "finite"),
        (math.nan, "text", "finite"),
        ("a\0b", "text", "NUL"),
        ("\ud800", "text", "surrogate"),
        (3, "file", "a key in the bucket"),
        (["a"], "file", "a key in the bucket"),
        ("/etc/passwd", "file", "begin with /"),
        ("s3://b//a", "file", "begin with /"),
        ("a/../../b", "file", ". or .."),
        ("..", "folder", ". or .."),
        ("./a", "file", ". or .."),
        ("s3://b/../a", "file", ". or .."),
        ("s3://b", "file", "s3://bucket/key"),
        ("s3://", "folder", "s3://bucket/key"),
        ("s3:///a", "file", "s3://bucket/key"),
        ("a/", "file", "ends with /"),
        ("é" * 513, "file", "1024 bytes"),
        ("a\0", "file", "NUL"),
        ("\udfff", "file", "surrogate"),
        ("a", "files", "a list of keys"),
        ([1], "files", "a key in the bucket"),
        (["a", ""], "files", "empty"),
        (["a", "../b"], "files", "'../b'"),
        ("'a", "args", "left open"),
        ("a\\", "args", "left open"),
        (1, "args", "text"),
        ("a\0", "args", "NUL"),
        ("true", "flag", "without quotes"),
        (1, "flag", "true or false"),
        (0, "flag", "true or false"),
    ],
)
def test_these_values_do_not_fit_and_the_reason_is_reported(
    value: Any, type_: str, reason: str
) -> None:
    problem = value_problem(value, type_)
    assert problem is not None
    assert reason in problem


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@settings(deadline=None)
@given(JSON_VALUES, st.sampled_from(TYPES))
def test_every_json_value_is_accepted_or_refused_without_an_exception(
    value: Any, type_: str
) -> None:
    value_problem(value, type_)


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("PASSWORD", True),
        ("DB_PASSWORD", True),
        ("MY_API_KEY", True),
        ("APIKEY", True),
        ("AWS_SECRET_ACCESS_KEY", True),
        ("OMERO_TOKEN", True),
        ("INPUT_KEY", False),
        ("KEYS", False),
        ("TOKENIZER", False),
        ("SECRETARY", False),
    ],
)
def test_names_that_look_like_a_secret(name: str, secret: bool) -> None:
    assert looks_secret(name) is secret


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ("a/b", ("mine", "a/b")),
        ("s3://other/a/b", ("other", "a/b")),
        ("s3://other", ("other", "")),
        ("s3:/a", ("mine", "s3:/a")),
    ],
)
def test_a_key_may_name_its_bucket(value: str, place: tuple[str, str]) -> None:
    assert split_key(value, "mine") == place


@pytest.mark.parametrize(
    ("text", "allowed", "index"),
    [
        ("abc", "", None),
        ("é🧪\u00a0", "", None),
        ("a\nb", "", 1),
        ("a\nb\t", "\t\n", None),
        ("a\n\x7f", "\n", 2),
        ("ab\u0085", "", 2),
        ("a\ud800", "", 1),
    ],
)
def test_control_characters_are_found(text: str, allowed: str, index: int | None) -> None:
    assert control_character(text, allowed) == index


def test_every_character_is_checked_by_its_category() -> None:
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        category = unicodedata.category(character)
        control = 0 if category in ("Cc", "Cs") else None
        assert control_character(character) == control, hex(code)
        assert control_character(character, character) is None, hex(code)
        assert (value_problem(character, "text") is None) == (code != 0 and category != "Cs")
