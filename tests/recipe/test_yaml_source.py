"""The strict subset of YAML, scalars as YAML 1.2 reads them, and the line of everything."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pool_core.errors import RecipeError
from pool_core.interfaces.encoding import encode_json
from pool_core.recipe import yaml_source
from pool_core.recipe.yaml_source import MAX_CHARACTERS, Source, read_yaml

PATH = Path("recipe.yaml")


@pytest.fixture(params=["CSafeLoader", "SafeLoader"])
def loader(request, monkeypatch):
    """Both of PyYAML's parsers: the fast one is not there on every machine."""
    chosen = getattr(yaml, request.param, None)
    if chosen is None:
        pytest.skip("this PyYAML is built without libyaml")
    monkeypatch.setattr(yaml_source, "_LOADER", chosen)


def read(text):
    return read_yaml(text, PATH)[0]


def read_refusal(text):
    with pytest.raises(RecipeError) as caught:
        read_yaml(text, PATH)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # what YAML 1.1 would make booleans, numbers in base 60, dates
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("off", "off"),
        ("y", "y"),
        ("12:30", "12:30"),
        ("2024-01-02", "2024-01-02"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("=", "="),
        ("<<", "<<"),
        # numbers of the core schema
        ("0", 0),
        ("-17", -17),
        ("+17", 17),
        ("0777", 777),
        ("0o17", 15),
        ("0x1f", 31),
        ("0xFF", 255),
        ("-0x1f", "-0x1f"),
        ("0x", "0x"),
        ("1e3", 1000.0),
        ("1E-2", 0.01),
        ("-1.5e+3", -1500.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("0.1", 0.1),
        (".", "."),
        ("1e", "1e"),
        ("e3", "e3"),
        ("1.2.3", "1.2.3"),
        ("٣", "٣"),
        ("nan", "nan"),
        ("inf", "inf"),
        # constants
        ("true", True),
        ("True", True),
        ("FALSE", False),
        ("tRUE", "tRUE"),
        ("null", None),
        ("~", None),
        ("NULL", None),
        ("", None),
        # text that is written as text
        ("'1'", "1"),
        ('"true"', "true"),
        ("'null'", "null"),
        ("''", ""),
        ("|\n  1\n", "1\n"),
        (">-\n  no\n  more\n", "no more"),
        ('"\\u00e9\\t"', "é\t"),
    ],
)
def test_scalars(loader, text, value):
    found = read(f"a: {text}")["a"]
    assert found == value
    assert type(found) is type(value)


TEXT = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]) | st.sampled_from("\n\t"))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT


@given(st.dictionaries(TEXT, SCALARS | st.lists(SCALARS) | st.dictionaries(TEXT, SCALARS)))
def test_what_is_written_as_json_is_read_as_it_is(value):
    assert read(encode_json(value).decode()) == value


@pytest.mark.parametrize("text", [".inf", "-.Inf", "+.INF", ".nan", ".NaN", "1e999", "-1e999", "9" * 1001])
def test_numbers_that_json_cannot_hold_are_refused(loader, text):
    assert read_refusal(f"x: 1\na: {text}") == (
        "recipe.yaml:2: this number is not finite or has too many digits\n  quote it if text is meant"
    )
    assert read(f"a: '{text}'") == {"a": text}


def test_a_long_number_that_is_not_too_long(loader):
    assert read(f"a: {'9' * 1000}") == {"a": 10**1000 - 1}


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "---\n", "--- ~\n", "null"])
def test_an_empty_document_is_none(loader, text):
    assert read(text) is None


@pytest.mark.parametrize(
    "text", ["\ufeffa: 1\n", "--- \na: 1\n...\n", "%YAML 1.2\n---\na: 1\n", "a: 1\r\n", '{"a": 1}']
)
def test_documents_that_are_one_mapping(loader, text):
    assert read(text) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", "recipe.yaml:3: the key 'a' stands here again\n  it stands in line 1"),
        ("x:\n  - b: 1\n    'b': 2\n", "recipe.yaml:3: the key 'b' stands here again\n  it stands in line 2"),
        ("a: &one 1\nb: *one\n", "recipe.yaml:2: the alias *one is not allowed\n  write the value out"),
        ("a: &a\n  <<: *a\n", "recipe.yaml:2: the alias *a is not allowed\n  write the value out"),
        ("*a : 1\n", "recipe.yaml:1: a key must be plain text"),
        ("a: 1\n? [b]\n: 2\n", "recipe.yaml:2: a key must be plain text"),
        ("? {b: 1}\n: 2\n", "recipe.yaml:1: a key must be plain text"),
        ("a: 1\n--- \nb: 2\n", "recipe.yaml:2: a recipe is one YAML document\n  remove the second `---`"),
        ("---\n---\n", "recipe.yaml:2: a recipe is one YAML document\n  remove the second `---`"),
    ],
)
def test_what_is_yaml_and_not_of_the_subset(loader, text, expected):
    assert read_refusal(text) == expected


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("a: 1\nb: !!python/object/apply:os.system [id]\n", "tag:yaml.org,2002:python/object/apply:os.system"),
        ("a: 1\nb: !!str 1\n", "tag:yaml.org,2002:str"),
        ("a: 1\nb: !env KEY\n", "!env"),
        ("a: 1\nb: ! x\n", "!"),
        ("a: 1\nb: !!map {}\n", "tag:yaml.org,2002:map"),
        ("a: 1\n!!str b: 1\n", "tag:yaml.org,2002:str"),
    ],
)
def test_tags_are_refused_on_values_and_on_keys(loader, text, tag):
    assert read_refusal(text) == (
        f"recipe.yaml:2: the tag {tag} is not allowed\n  quote the value if a string is meant"
    )


@pytest.mark.parametrize("text", ["a:\n\t- b\n", "a: 1\n\tb: 2\n", "a:\n  b: 1\n  \tc: 1\n"])
def test_tabs_that_indent_get_a_hint(loader, text):
    assert read_refusal(text).endswith("\n  tabs may not indent; use spaces")


@pytest.mark.parametrize("text", ["a: {x: list[int]}\n", "a:\n  - b\nc: {x: map[str], y: 1}\n", "a: {x: y{z}}\n"])
def test_a_type_without_quotes_gets_a_hint(loader, text):
    assert read_refusal(text).endswith('\n  inside of braces quote what has brackets, as in {x: "list[int]"}')
    assert read('a: {x: "list[int]"}') == {"a": {"x": "list[int]"}}
    assert "\n" not in read_refusal("a: {x: y\nb: 1\n")


def test_tabs_elsewhere_get_no_hint(loader):
    assert read("a: 'x\ty'\n") == {"a": "x\ty"}
    assert "tabs" not in read_refusal("a: [1\t, }\n")


@pytest.mark.parametrize(("text", "line"), [("a: [1,\n\n", 3), ("a: 'x\n", 2), ("a: b: c\n", 1), ("a: 1\n b: 1\n", 2)])
def test_what_is_no_yaml_has_its_line(text, line):
    assert read_refusal(text).startswith(f"recipe.yaml:{line}: this is no YAML: ")


@pytest.mark.parametrize(("text", "name"), [("é: 1\nb: \x00", "U+0000"), ("a: 1\nb: \x1b[31m\n", "U+001B")])
def test_control_characters_are_refused_with_their_line(loader, text, name):
    assert read_refusal(text) == f"recipe.yaml:2: this is no YAML: the character {name} is not allowed"


@pytest.mark.parametrize("bomb", ["[" * 100_000, "{a: " * 100_000, "- " * 100_000, "? " * 30 + "[" * 100_000])
def test_a_depth_bomb_is_refused(bomb):
    text = read_refusal(bomb)
    assert text in ("recipe.yaml:1: nested more than 32 levels deep", "recipe.yaml:1: a key must be plain text")


def test_the_deepest_that_is_read():
    assert read("[" * 32 + "]" * 32) is not None
    assert read_refusal("[" * 33 + "1" + "]" * 33) == "recipe.yaml:1: nested more than 32 levels deep"


def test_a_text_that_is_too_large_is_refused_unread():
    assert read("#" * MAX_CHARACTERS) is None
    assert read_refusal("#" * (MAX_CHARACTERS + 1)) == "recipe.yaml: the file has more than 1,000,000 characters"


def test_everything_has_its_line():
    text = "# first\na: 1\nb:\n  - x\n  - c: 2\n    d:\n      - 3\ne: {f: 1,\n  g: [1,\n  2]}\n"
    value, source = read_yaml(text, PATH)
    assert value == {"a": 1, "b": ["x", {"c": 2, "d": [3]}], "e": {"f": 1, "g": [1, 2]}}
    assert source.lines == {
        (): 2,
        ("a",): 2,
        ("b",): 3,
        ("b", 0): 4,
        ("b", 1): 5,
        ("b", 1, "c"): 5,
        ("b", 1, "d"): 6,
        ("b", 1, "d", 0): 7,
        ("e",): 8,
        ("e", "f"): 8,
        ("e", "g"): 9,
        ("e", "g", 0): 9,
        ("e", "g", 1): 10,
    }


def test_what_does_not_stand_in_the_file_is_located_by_what_is_around_it():
    source = Source(PATH, {(): 1, ("a",): 3, ("a", 0): 4})
    assert source.locate(("a", 0, "missing", "more")) == "recipe.yaml:4"
    assert source.locate(("a", 7)) == "recipe.yaml:3"
    assert source.locate(("z",)) == "recipe.yaml:1"
    assert Source(PATH).locate(("a",)) == "recipe.yaml"


def test_the_folder_is_that_of_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Source(Path("sub/recipe.yaml")).folder == tmp_path.resolve() / "sub"
