"""``pool check``: the members' fields, the findings, and an exit code."""

from __future__ import annotations

import json

import pytest

from pool_core.testing.distributions import write_distribution

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
        "│ said   │ str       │ - null          │ str?   │\n"
        "│ spoken │ - null    │ str (from said) │ str?   │\n"
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
        {"file": "recipe.yaml", "line": 14, "path": "pool.members[1].inputs.instruction"}
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


def test_the_line_of_a_key_with_dots_is_its_own(pool, recipe):
    lines = recipe.read_text().splitlines()
    at = lines.index("      task: echo")
    task = ["      task: {use: echo, column: in.put.x}", "      inputs:", '        "in.put.x": nope']
    recipe.write_text("\n".join([*lines[:at], *task, *lines[at + 1 :]]) + "\n")
    (finding,) = pool("check", recipe, "--json").json["findings"]
    assert (finding["rule"], finding["key"]) == ("render", "inputs.in.put.x")
    assert [place["line"] for place in finding["places"]] == [at + 3]


def test_that_findings_are_silenced_is_said(pool, recipe):
    silence = "  findings: {silence: {refused: it is known}}\n"
    text = recipe.read_text().replace("policies: []\n", "policies: [{use: refuse, message: never}]\n" + silence)
    recipe.write_text(text)
    last = "compatible: 2 members can share this pool\n"
    done = pool("check", recipe)
    assert (done.code, done.out) == (0, MATRIX.removesuffix(last) + "1 finding silenced (refused)\n" + last)
    two = "policies: [{use: refuse, message: never}, {use: refuse, message: ever}]\n"
    recipe.write_text(text.replace("policies: [{use: refuse, message: never}]\n", two))
    assert "\n2 findings silenced (refused)\n" in pool("check", recipe).out


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


def test_what_keeps_a_plan_from_being_made_is_an_annotation(pool, recipe, tmp_path):
    text = recipe.read_text()
    recipe.write_text(text.replace("task: echo\n", "tusk: echo\n"))
    for options in (("--format", "github"), ("--format=github",)):
        done = pool("check", recipe, *options)
        assert (done.code, done.out.splitlines()) == (
            2,
            [
                f"::error file={recipe},line=7,title=pool::pool.members[1].task: this key is missing",
                f"::error file={recipe},line=9,title=pool::pool.members[1].tusk: unknown key; did you mean 'task'?",
            ],
        )
        assert done.err.startswith("error: 2 things are wrong\n")
    recipe.write_text(text.replace("rows.json", "nowhere.json"))
    done = pool("check", recipe, "--format", "github")
    assert done.code != 0
    assert done.out.startswith("::error ")
    done = pool("check", tmp_path / "none.yaml", "--format", "github")
    assert (done.code, done.out.count("\n")) == (2, 1)
    assert done.out.startswith(f"::error file={tmp_path}/none.yaml,title=pool::")
    assert pool("check", tmp_path / "none.yaml").out == ""


def test_two_forms_at_once_are_refused(pool, recipe):
    done = pool("check", recipe, "--json", "--format", "github")
    assert (done.code, done.json["error"]["message"]) == (2, "--json and --format github exclude each other")
    assert done.err == "error: --json and --format github exclude each other\n  leave one of them out\n"


def test_another_format_is_refused(pool, recipe):
    done = pool("check", recipe, "--format", "gitlab")
    assert (done.code, done.out) == (2, "")
    assert "github" in done.err


# what plugins print

NOISY = """
from pool_core.api import Contribution, hookimpl
from pool_core.testing.scripted import EchoTask
from pool_core.testing.scripted_plugin import EchoBackend, RefusePolicy, ScriptedPlugin

def shout(where):
    print(f"::error::pwned by {where}")

class NoisyTask(EchoTask):
    def render(self, row):
        shout("render")
        return super().render(row)

    def parse(self, answer, row):
        shout("parse")
        return super().parse(answer, row)

class NoisyPolicy(RefusePolicy):
    def judge(self, members):
        shout("judge")
        return []

class NoisyBackend(EchoBackend):
    @classmethod
    def capabilities(cls, config, inner):
        shout("capabilities")
        return super().capabilities(config, inner)

class Noisy(ScriptedPlugin):
    @hookimpl
    def pool_tasks(self):
        yield Contribution("noisy", f"{__name__}:NoisyTask")

    @hookimpl
    def pool_policies(self):
        yield Contribution("noisy", f"{__name__}:NoisyPolicy")

    @hookimpl
    def pool_backends(self):
        yield Contribution("noisy", f"{__name__}:NoisyBackend")

    @hookimpl
    def pool_check_compatibility(self, plan):
        shout("hook")

plugin = Noisy()
"""


@pytest.fixture
def noisy(recipe, tmp_path, monkeypatch):
    """A recipe whose plugin prints wherever it is called."""
    write_distribution(
        tmp_path / "noise",
        name="pool-noisy",
        entry_points={"pool_core.plugins.v1": {"noisy": "pool_noisy_for_cli:plugin"}},
        modules={"pool_noisy_for_cli": NOISY},
    )
    monkeypatch.syspath_prepend(str(tmp_path / "noise"))
    monkeypatch.setenv("POOL_PLUGINS", "noisy")
    recipe.write_text(recipe.read_text().replace("echo", "noisy").replace("policies: []", "policies: [noisy]"))
    return recipe


@pytest.mark.parametrize(
    ("command", "heard"),
    [
        (("check", "--json"), ("capabilities", "judge", "render", "hook")),
        (("check", "--format", "github"), ("capabilities", "judge", "render", "hook")),
        (("check",), ("capabilities", "judge", "render", "hook")),
        (("contract write",), ("capabilities", "render", "hook")),
        (("estimate", "--json"), ("capabilities", "judge", "render", "hook")),
        (("run", "--json"), ("capabilities", "judge", "render", "hook", "parse")),
    ],
)
def test_what_plugins_print_does_not_stand_in_the_output(pool, noisy, command, heard):
    name, *options = command
    done = pool(*name.split(), noisy, *options)
    assert "pwned" not in done.out
    for where in heard:
        assert f"::error::pwned by {where}" in done.err
    if "--json" in command:
        assert done.json["version"] == 1
