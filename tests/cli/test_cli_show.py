"""``pool show``: the exact request, and nothing is sent."""

from __future__ import annotations

import json

import pytest

from pool_core.testing.server import ScriptedServer

CANARY = "sk-canary-5f1e"


def test_the_request_of_a_member_for_the_first_row(pool, recipe, tmp_path):
    done = pool("show", recipe, "bob")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "bob, row 'r1', sample 0: echo:other\n"
        "{\n"
        '  "model": "other",\n'
        '  "messages": [\n'
        "    {\n"
        '      "role": "user",\n'
        '      "content": "text 1"\n'
        "    }\n"
        "  ]\n"
        "}\n"
    )
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("row", ["3", "r3"])
def test_a_row_by_its_number_and_by_its_id(pool, recipe, row):
    done = pool("show", recipe, "ann", "--row", row, "--sample", "2", "--json")
    assert done.code == 0
    assert done.json == {
        "version": 1,
        "member": "ann",
        "row": "r3",
        "sample": 2,
        "endpoint": "echo:echo",
        "headers": {},
        "body": {"model": "echo", "messages": [{"role": "user", "content": "text 3"}]},
    }


def test_an_id_goes_before_a_number(pool, recipe, tmp_path):
    (tmp_path / "rows.json").write_text('[{"id": 2, "text": "first"}, {"id": 1, "text": "second"}]')
    for row, text in (("1", "second"), ("2", "first")):
        assert pool("show", recipe, "ann", "--row", row, "--json").json["body"]["messages"][0]["content"] == text


def test_without_an_id_column_the_number_says_which(pool, recipe, tmp_path):
    recipe.write_text(recipe.read_text().replace("{path: rows.json, id: id}", "rows.json"))
    shown = pool("show", recipe, "ann", "--row", "2", "--json").json
    assert shown["body"]["messages"][0]["content"] == "text 2"
    assert pool("show", recipe, "ann", "--row", shown["row"], "--json").json == shown


def test_other_rows_are_shown(pool, recipe, tmp_path):
    (tmp_path / "other.json").write_text('[{"id": "x", "text": "other"}]')
    assert pool("show", recipe, "ann", "--rows", "other.json", "--json").json["row"] == "x"


def test_a_sample_has_its_own_seed(pool, recipe):
    recipe.write_text(recipe.read_text().replace("{name: ann,", "{name: ann, sampling: {seed: 40},"))
    assert pool("show", recipe, "ann", "--sample", "2", "--json").json["body"]["seed"] == 42


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["eve"], "error: MEMBER: the recipe has no member 'eve'\n  it has: ann, bob\n"),
        (["ann", "--row", "9"], "error: --row: there is no row '9'\n  give a row's id, or its number from 1\n"),
        (["ann", "--row", "0"], "error: --row: there is no row '0'\n  give a row's id, or its number from 1\n"),
    ],
)
def test_what_is_not_there(pool, recipe, arguments, message):
    done = pool("show", recipe, *arguments)
    assert (done.code, done.out, done.err) == (2, "", message)


def test_a_recipe_without_rows(pool, recipe):
    recipe.write_text(recipe.read_text().replace("rows: {path: rows.json, id: id}\n", ""))
    done = pool("show", recipe, "ann")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: the recipe has no rows\n  write `rows: FILE`, or give --rows FILE\n"


def test_a_row_that_yields_no_prompt_is_named(pool, recipe, tmp_path):
    (tmp_path / "rows.json").write_text('[{"id": "r1", "text": "good"}, {"id": "r2", "text": 5}]')
    done = pool("show", recipe, "ann", "--row", "r2")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: ann, row 'r2': the column 'text' must hold text, not int\n"


HOSTILE = "\x1b[31m [red]x[/x] \u202etxet \x9b2J"


def test_hostile_text_of_a_row_is_shown_and_does_nothing(pool, recipe, tmp_path):
    row_id = f"{HOSTILE}\nforged"
    (tmp_path / "rows.json").write_text(json.dumps([{"id": row_id, "text": f"{HOSTILE}\nforged \ud83d"}]))
    done = pool("show", recipe, "ann")
    assert done.out.splitlines()[0] == (
        r"ann, row '\x1b[31m [red]x[/x] \u202etxet \x9b2J\nforged', sample 0: echo:echo"
    )
    assert r'"content": "\u001b[31m [red]x[/x] \u202etxet ' in done.out
    assert "\nforged" not in done.out
    assert not any(character in done.out for character in "\x1b\u202e\x9b")
    done = pool("show", recipe, "ann", "--json")
    assert done.json["row"] == row_id
    assert done.json["body"]["messages"][0]["content"] == f"{HOSTILE}\nforged \ud83d"
    assert not any(character in done.out for character in "\x1b\u202e\x9b")


@pytest.mark.plugins("standard", "openai")
@pytest.mark.parametrize("json_option", [[], ["--json"]])
def test_nothing_is_sent_and_no_key_is_shown(pool, make_recipe, monkeypatch, json_option):
    monkeypatch.setenv("CANARY", CANARY)
    with ScriptedServer() as server:
        recipe = make_recipe(ann={"use": "openai", "model": "m", "base_url": server.url, "api_key": "env:CANARY"})
        done = pool("show", recipe, "ann", *json_option)
        monkeypatch.delenv("CANARY")
        without_key = pool("show", recipe, "ann", *json_option)
    assert server.requests == []
    assert (done.code, done.err) == (0, "")
    assert f"POST {server.url}/chat/completions" in done.out
    assert "*** (env:CANARY)" in done.out
    assert CANARY not in done.out
    assert without_key == done
