"""From a file to a recipe: every way in which the file can be wrong, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from pool_core.errors import RecipeError
from pool_core.recipe.load import load_recipe

A_NAME = "must start with a letter or digit and hold only letters, digits and . _ - (64 at most)"
RECIPE = """\
rows: rows.jsonl
output: {path: out.jsonl, layout: long}
pool:
  samples: 3
  assign: balanced
  members:
    - name: notus
      backend: {use: openai, model: notus-7b}
      task: text-generation
    - name: magicoder
      backend: openai
      task: {use: code-generation, language: python}
      sampling: {temperature: 0.7}
"""


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Path("recipe.yaml")


def read_refusal(path):
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    return str(caught.value)


def refuse(path, old, new):
    """The refusal of the recipe in which ``new`` stands for ``old``."""
    assert RECIPE.count(old) == 1
    path.write_text(RECIPE.replace(old, new), encoding="utf-8")
    return read_refusal(path)


def test_a_recipe_is_read_with_its_lines(path, tmp_path):
    path.write_text(RECIPE, encoding="utf-8")
    recipe, source = load_recipe(path)
    assert [member.name for member in recipe.pool.members] == ["notus", "magicoder"]
    assert (recipe.rows.path.name, recipe.output.layout, recipe.pool.samples) == ("rows.jsonl", "long", 3)
    assert source.locate(("pool", "members", 1, "sampling")) == "recipe.yaml:13"
    assert source.folder == tmp_path.resolve()


def test_a_byte_order_mark_and_windows_line_ends_are_no_problem(path):
    path.write_bytes(b"\xef\xbb\xbf" + RECIPE.replace("\n", "\r\n").encode())
    recipe, source = load_recipe(path)
    assert len(recipe.pool.members) == 2
    assert source.locate(("pool",)) == "recipe.yaml:3"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("  samples: 3", "  sampels: 3", "recipe.yaml:4: pool.sampels: unknown key; did you mean 'samples'?"),
        (
            "rows: rows.jsonl",
            "zzz: 1",
            "recipe.yaml:1: zzz: unknown key; known here: budget, output, plugins, pool, rows",
        ),
        (
            "      task: text-generation\n",
            "",
            "recipe.yaml:7: pool.members[0].task: this key is missing",
        ),
        (
            "{temperature: 0.7}",
            "{temprature: 0.7}",
            "recipe.yaml:13: pool.members[1].sampling.temprature: unknown key; did you mean 'temperature'?",
        ),
        ("samples: 3", "samples: three", "recipe.yaml:4: pool.samples: must be a whole number"),
        ("name: notus", "name: 1e3", "recipe.yaml:7: pool.members[0].name: must be text"),
        (
            "name: notus",
            "name: ../notus",
            f"recipe.yaml:7: pool.members[0].name: {A_NAME}",
        ),
        (
            "name: magicoder",
            "name: notus",
            "recipe.yaml:6: pool.members: two members are named 'notus'; give each member a name of its own",
        ),
        (
            "backend: openai",
            "backend: [openai]",
            "recipe.yaml:11: pool.members[1].backend: must be a mapping of keys to values",
        ),
        (
            "backend: openai",
            "backend: {model: x}",
            "recipe.yaml:11: pool.members[1].backend.use: this key is missing",
        ),
        ("backend: openai", "backend:", "recipe.yaml:11: pool.members[1].backend: must be a mapping of keys to values"),
        ("balanced", "equal", "recipe.yaml:5: pool.assign: must be 'all', 'balanced', 'weighted' or 'routed'"),
        (
            "  samples: 3",
            "  samples: 3\n  members: []",
            "recipe.yaml:7: the key 'members' stands here again\n  it stands in line 5",
        ),
        (
            "output: {path: out.jsonl, layout: long}",
            "output: {layout: long}",
            "recipe.yaml:2: output.path: this key is missing",
        ),
        ("rows: rows.jsonl", "rows: 5", "recipe.yaml:1: rows: must be a mapping of keys to values"),
        (
            "temperature: 0.7",
            "temperature: nan",
            "recipe.yaml:13: pool.members[1].sampling.temperature: must be a finite number",
        ),
    ],
)
def test_what_is_wrong_in_a_recipe_has_its_line(path, old, new, expected):
    assert refuse(path, old, new) == expected


def test_a_member_may_be_named_no(path):
    path.write_text(RECIPE.replace("notus\n", "no\n", 1), encoding="utf-8")
    assert load_recipe(path)[0].pool.members[0].name == "no"


@pytest.mark.parametrize("members", ["[]", "()", ""])
def test_a_pool_needs_members(path, members):
    path.write_text(f"pool:\n  members: {members}\n", encoding="utf-8")
    expected = "a pool needs at least one member" if members == "[]" else "must be a list"
    assert read_refusal(path) == f"recipe.yaml:2: pool.members: {expected}"


def test_a_recipe_without_a_pool(path):
    path.write_text("rows: x.jsonl\n", encoding="utf-8")
    assert read_refusal(path) == "recipe.yaml:1: pool: this key is missing"


@pytest.mark.parametrize("text", ["", "# to do\n", "---\n"])
def test_an_empty_file(path, text):
    path.write_text(text, encoding="utf-8")
    assert read_refusal(path) == "recipe.yaml: the recipe is empty\n  it needs at least `rows:` and `pool:`"


@pytest.mark.parametrize(("text", "line"), [("- a\n- b\n", 1), ("# a list\n\n- a\n", 3), ("only text\n", 1)])
def test_what_is_no_mapping(path, text, line):
    path.write_text(text, encoding="utf-8")
    assert read_refusal(path) == f"recipe.yaml:{line}: a recipe is a mapping of keys to values"


def test_a_missing_file_lists_the_recipes_beside_it(path):
    assert read_refusal(path) == "recipe.yaml: there is no such file"
    for name in ("b.yaml", "a.yml", "c.txt"):
        path.with_name(name).touch()
    assert read_refusal(path) == "recipe.yaml: there is no such file\n  recipes here: a.yml, b.yaml"
    assert read_refusal(path / "x.yaml") == "recipe.yaml/x.yaml: there is no such file"


def test_a_folder(path):
    path.mkdir()
    assert read_refusal(path) == "recipe.yaml: this is a folder, not a recipe"


def test_a_file_that_cannot_be_opened(path):
    path.touch()
    assert read_refusal(path / "inside.yaml") == "recipe.yaml/inside.yaml: the file cannot be read: Not a directory"


@pytest.mark.parametrize(
    ("data", "byte", "line"),
    [
        (b"a: 1\nb: caf\xe9\n", "0xe9", 2),
        ("a: 1\n".encode("utf-16"), "0xff", 1),
        (b"a: " + b"x" * 20_000 + b"\n\xff", "0xff", 2),
        (b"a: \xc3", "0xc3", 1),
    ],
)
def test_what_is_no_utf_8_has_its_line(path, data, byte, line):
    path.write_bytes(data)
    assert read_refusal(path) == f"recipe.yaml:{line}: the byte {byte} is no UTF-8 text\n  save the file as UTF-8"


@pytest.mark.parametrize("character", ["#", "€"])
def test_a_file_that_is_too_large_is_not_read_to_its_end(path, character):
    path.write_bytes(b"#" + character.encode() * 4_100_000 + b"\xff")
    assert read_refusal(path) == "recipe.yaml: the file has more than 1,000,000 characters"
