"""``pool check``: the members' fields, the findings, and an exit code."""

from __future__ import annotations

import json

import pytest

MATRIX = """\
output fields
┏━━━━━━━┳━━━━━━━━━━━┳━━━━━━━━━━━┳━━━━━━━━┓
┃       ┃ ann       ┃ bob       ┃        ┃
┃ field ┃ fake/echo ┃ fake/echo ┃ merged ┃
┡━━━━━━━╇━━━━━━━━━━━╇━━━━━━━━━━━╇━━━━━━━━┩
│ said  │ str       │ str       │ str?   │
└───────┴───────────┴───────────┴────────┘
compatible: 2 members can share this pool
"""


def test_members_that_fit(pool, recipe, tmp_path):
    done = pool("check", recipe)
    assert (done.code, done.out, done.err) == (0, MATRIX, "")
    assert not (tmp_path / "runs").exists()


def test_members_that_do_not_fit_and_what_to_do(pool, recipe):
    text = recipe.read_text().replace("policies: []", "policies: [{use: refuse, message: never}]")
    recipe.write_text(text.replace("      task: echo\n", "      task: echo\n      outputs: {spoken: said}\n"))
    done = pool("check", recipe)
    assert (done.code, done.err) == (4, "")
    assert done.out == (
        "output fields\n"
        "┏━━━━━━━━┳━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━┳━━━━━━━━┓\n"
        "┃        ┃ ann       ┃ bob             ┃        ┃\n"
        "┃ field  ┃ fake/echo ┃ fake/echo       ┃ merged ┃\n"
        "┡━━━━━━━━╇━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━╇━━━━━━━━┩\n"
        "│ said   │ str       │ ✗ missing       │ str?   │\n"
        "│ spoken │ ✗ missing │ str (from said) │ str?   │\n"
        "└────────┴───────────┴─────────────────┴────────┘\n"
        "✗ error: never  [refused]\n"
        f"    at {recipe}:6, {recipe}:7\n"
        "incompatible: 1 error; nothing would be asked\n"
    )


@pytest.mark.plugins("standard", "replay")
def test_what_to_paste_is_shown_whole(pool, make_recipe):
    recipe = make_recipe()
    recipe.write_text(recipe.read_text() + "      outputs: {wording: generation}\n")
    done = pool("check", recipe)
    assert done.code == 4
    assert "    write, in ann:\n        outputs: {wording: generation}\n" in done.out


def test_a_template_that_breaks_on_the_first_row_is_found(pool, recipe):
    recipe.write_text(recipe.read_text().replace("      task: echo\n", "      task: {use: echo, column: nope}\n"))
    done = pool("check", recipe)
    assert done.code == 4
    place = f"    at {recipe}:9\n    it has: id, text\n"
    assert f"the row has no column 'nope'  [render]\n{place}" in done.out


STRUCTURED = """\
rows: {path: rows.parquet, id: id}
output: out.jsonl
pool:
  members:
    - name: ann
      backend: {use: simulate}
      task:
        use: text-generation
        system_prompt: You know {{ meta.author.name }}.
        template: >-
          Write of {{ meta.title }}, {{ text }}.
    - name: bob
      backend: {use: simulate}
      inputs: {instruction: words}
      task: text-generation
"""


@pytest.mark.plugins("standard", "replay")
def test_what_a_template_names_and_the_schema_lacks_stands_at_its_line(pool, tmp_path):
    parquet, pa = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    rows = [{"id": str(number), "meta": {"title": "t", "author": {"first": "A"}}, "text": "x"} for number in range(150)]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    (tmp_path / "recipe.yaml").write_text(STRUCTURED)
    done = pool("check", "recipe.yaml")
    assert done.code == 4
    assert (
        "✗ error: ann's `system_prompt` reads `meta.author.name`, but `meta.author` has no field 'name'"
        "  [input-field]\n"
        "    at recipe.yaml:9\n"
        "    it has: first\n"
    ) in done.out
    findings = {finding["rule"]: finding for finding in pool("check", "recipe.yaml", "--json").json["findings"]}
    assert findings["input-field"]["places"] == [
        {"file": "recipe.yaml", "line": 9, "path": "pool.members[0].task.system_prompt"}
    ]
    # the file declares its columns: that later rows have one more is out of the question
    assert findings["input-missing"]["level"] == "error"
    assert findings["input-missing"]["places"] == [
        {"file": "recipe.yaml", "line": 14, "path": "pool.members[1].inputs"}
    ]
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(STRUCTURED.replace("author.name", "author.first").replace("words", "text"))
    assert pool("check", "recipe.yaml").code == 0


def test_other_rows_are_checked(pool, recipe, tmp_path):
    (tmp_path / "other.json").write_text('[{"id": "1", "words": "no text"}]')
    assert pool("check", recipe).code == 0
    done = pool("check", recipe, "--rows", "other.json")
    assert done.code == 4
    assert "'text'" in done.out


def test_json_is_one_document_with_all_of_it(pool, recipe):
    recipe.write_text(recipe.read_text().replace("policies: []", "policies: [{use: refuse, message: never}]"))
    done = pool("check", recipe, "--json")
    assert (done.code, done.err) == (4, "")
    member = {
        "task": "fake/echo",
        "backend": "fake/echo",
        "inputs": {"text": "text"},
        "outputs": {"said": {"type": "str", "from": "said"}},
        "sampling": {},
    }
    assert done.json == {
        "version": 1,
        "compatible": False,
        "members": [{"name": "ann", **member}, {"name": "bob", **member}],
        "columns": {"id": "str", "text": "str"},
        "schema": {"said": "str?"},
        "findings": [
            {
                "level": "error",
                "rule": "refused",
                "message": "never",
                "members": ["ann", "bob"],
                "field": "",
                "hint": "",
                "fix": "",
                "source": "refuse",
                "key": "",
                "places": [
                    {"file": str(recipe), "line": 6, "path": "pool.members[0]"},
                    {"file": str(recipe), "line": 7, "path": "pool.members[1]"},
                ],
            }
        ],
        "silenced": [],
    }


def test_json_of_members_that_fit_ends_with_0(pool, recipe):
    done = pool("check", recipe, "--json")
    assert (done.code, done.json["compatible"], done.json["findings"]) == (0, True, [])


def test_a_narrow_terminal_shows_the_fields_as_a_list(recipe, terminal, tmp_path):
    recipe.write_text(recipe.read_text().replace("policies: []", "policies: [{use: refuse, message: so it is said}]"))
    shell = terminal("check", "recipe.yaml", columns=30, PYTHONPATH=str(tmp_path / "site"))
    assert shell.finish() == 4
    assert shell.plain == (
        "output fields\n"
        "said: str?\n"
        "  ann (fake/echo): str\n"
        "  bob (fake/echo): str\n"
        "✗ error: so it is said\n"
        "    [refused]\n"
        "    at recipe.yaml:6,\n"
        "    recipe.yaml:7\n"
        "incompatible: 1 error; nothing\n"
        "would be asked\n"
    )


HOSTILE = "\x1b[31mred\x1b[0m [red]x[/x] [/] \u202etxet\n✗ error: forged\r\x9b2J"


def test_hostile_text_in_a_finding_is_shown_and_does_nothing(pool, recipe):
    policy = json.dumps([{"use": "refuse", "message": HOSTILE}])
    recipe.write_text(recipe.read_text().replace("policies: []", f"policies: {policy}"))
    done = pool("check", recipe)
    shown = "✗ error: \\x1b[31mred\\x1b[0m [red]x[/x] [/] \\u202etxet\n      ✗ error: forged\\r\\x9b2J  [refused]\n"
    assert shown in done.out
    done = pool("check", recipe, "--json")
    assert done.json["findings"][0]["message"] == HOSTILE
    assert not any(character in done.out for character in "\x1b\u202e\x9b\r")


# annotations


def refuse_with(recipe, **options):
    policy = json.dumps([{"use": "refuse", **options}])
    recipe.write_text(recipe.read_text().replace("policies: []", f"policies: {policy}"))


def test_annotations_stand_at_the_lines_of_the_recipe(pool, recipe):
    text = recipe.read_text().replace("      task: echo\n", "      task: {use: echo, column: nope}\n")
    recipe.write_text(
        text.replace("ann, ", "ann, sampling: {seed: 1}, ").replace("use: echo, model", "use: echo, seed: false, model")
    )
    done = pool("check", recipe, "--format", "github")
    (line,) = [number for number, line in enumerate(recipe.read_text().splitlines(), 1) if "nope" in line]
    assert (done.code, done.err) == (4, "")
    assert done.out == (
        f"::error file={recipe},line={line},title=render::bob cannot make a prompt of the first row: "
        "the row has no column 'nope'%0Ait has: id, text\n"
    )


def test_annotations_of_members_that_fit_are_none(pool, recipe):
    done = pool("check", recipe, "--format", "github")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_levels_have_the_names_of_the_forge(pool, recipe):
    recipe.write_text(
        recipe.read_text()
        .replace("      backend: {use: echo, model: other}\n", "      backend: {use: echo, stop: false}\n")
        .replace("      task: echo\n", "      task: echo\n      sampling: {stop: [x]}\n")
        .replace("  policies: []\n", "  policies: [refuse]\n  findings: {escalate: [rendr]}\n")
    )
    done = pool("check", recipe, "--format", "github")
    assert done.code == 4
    assert [line.partition(" ")[0] for line in done.out.splitlines()] == ["::error", "::warning", "::notice"]
    places = [line.partition("file=")[2].partition(",title")[0] for line in done.out.splitlines()]
    # the first member of the finding, the key of the member, and the pool where no member is named
    assert places == [f"{recipe},line=7", f"{recipe},line=11", f"{recipe},line=3"]


def test_what_a_workflow_command_cannot_hold_is_escaped(pool, recipe, tmp_path):
    folder = tmp_path / "a, b: 100%"
    folder.mkdir()
    moved = recipe.rename(folder / "recipe.yaml")
    (tmp_path / "rows.json").rename(folder / "rows.json")
    refuse_with(moved, message="50%, a:b\nsecond\r::error::forged")
    done = pool("check", moved, "--format", "github")
    (line,) = done.out.splitlines()
    head, _, text = line.removeprefix("::").partition("::")
    place = str(moved).replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
    assert head == f"error file={place},line=6,title=refused"
    assert text == "50%25, a:b%0Asecond\\r::error::forged"


def test_hostile_text_in_an_annotation_is_one_line(pool, recipe):
    refuse_with(recipe, message=HOSTILE)
    done = pool("check", recipe, "--format", "github")
    assert len(done.out.splitlines()) == 1
    assert not any(character in done.out for character in "\x1b\u202e\x9b\r")


def test_another_format_is_refused(pool, recipe):
    done = pool("check", recipe, "--format", "gitlab")
    assert (done.code, done.out) == (2, "")
    assert "github" in done.err
