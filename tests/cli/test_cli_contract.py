"""``pool contract``: writing the file, comparing with it, and refusing what breaks its readers."""

from __future__ import annotations

import json
import re

import pytest

WRITTEN = """\
# What readers of the merged output rely on. `pool contract check` enforces it.
contract: 1
fields:
  said: str?
"""


@pytest.fixture
def contract(tmp_path):
    """Write a contract beside the recipe."""

    def write(name="contract.yaml", **fields):
        path = tmp_path / name
        path.write_text(f"contract: 1\nfields: {json.dumps(fields)}\n")
        return path

    return write


@pytest.fixture
def scored(recipe):
    """The recipe with one more field: the member ``bob`` gives a number with what it said."""
    recipe.write_text(recipe.read_text() + "      constant: {score: 1}\n")
    return recipe


def name_contract(recipe, path):
    """Make the recipe's own policy name ``path``."""
    policy = json.dumps([{"use": "contract", "path": str(path)}])
    recipe.write_text(recipe.read_text().replace("policies: []", f"policies: {policy}"))


# write


def test_the_contract_is_written_beside_the_recipe(pool, recipe, tmp_path):
    path = tmp_path / "contract.yaml"
    done = pool("contract", "write", recipe)
    assert (done.code, done.out, done.err) == (0, f"1 field: {path}\n", "")
    assert path.read_text() == WRITTEN
    assert not (tmp_path / "runs").exists()


def test_another_file_can_be_named(pool, scored, tmp_path):
    done = pool("contract", "write", scored, "--file", "other.yaml")
    assert (done.code, done.out) == (0, "2 fields: other.yaml\n")
    assert (tmp_path / "other.yaml").read_text() == WRITTEN.replace("said: str?\n", "said: str?\n  score: int?\n")
    assert not (tmp_path / "contract.yaml").exists()


def test_types_that_conflict_make_no_contract(pool, recipe, tmp_path):
    recipe.write_text(recipe.read_text() + "      drop: [said]\n      constant: {said: 1}\n")
    done = pool("contract", "write", recipe)
    assert (done.code, done.out) == (4, "")
    assert done.err == (
        f"error: {tmp_path / 'contract.yaml'}: the members' types of the output field 'said' do not unify, "
        "so there is none to write down\n"
        "  `pool check` shows the types, and what to write to make them fit\n"
    )
    assert not (tmp_path / "contract.yaml").exists()


def test_a_type_that_nothing_is_known_of_is_written(pool, recipe, tmp_path):
    recipe.write_text(recipe.read_text() + "      constant: {extra: {}}\n      cast: {said: any}\n")
    assert pool("contract", "write", recipe).code == 0


def test_the_file_that_the_policy_names_is_written_and_need_not_be_there(pool, recipe, tmp_path):
    name_contract(recipe, "readers.yaml")
    assert pool("contract", "write", recipe).code == 0
    assert (tmp_path / "readers.yaml").read_text() == WRITTEN


@pytest.mark.parametrize("options", [(), ("--force",)])
def test_a_contract_that_says_the_same_keeps_its_owners_words(pool, recipe, tmp_path, options):
    path = tmp_path / "contract.yaml"
    path.write_text("# ours\ncontract: 1\nfields: {said: str?}  # for the dashboard\n")
    before = path.read_text()
    done = pool("contract", "write", recipe, *options)
    assert (done.code, done.out) == (0, f"unchanged: {path} says so already\n")
    assert path.read_text() == before


@pytest.mark.parametrize(("name", "what"), [("recipe.yaml", "recipe"), ("rows.json", "rows"), ("out.json", "output")])
def test_the_files_of_the_recipe_are_never_overwritten(pool, recipe, tmp_path, name, what):
    (tmp_path / "out.json").write_text("[]")
    before = (tmp_path / name).read_text()
    done = pool("contract", "write", recipe, "--file", name, "--force")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"error: {name}: the contract would take the place of the {what} file\n"
        "  give the contract another name: --file FILE\n"
    )
    assert (tmp_path / name).read_text() == before


def test_what_no_contract_can_hold_is_refused_and_nothing_is_written(pool, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("pool_core.interfaces.type_text._MOST_DEPTH", 2)
    recipe.write_text(recipe.read_text() + "      constant: {deep: [[[1]]]}\n")
    done = pool("contract", "write", recipe)
    path = tmp_path / "contract.yaml"
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"error: {path}: no contract can hold the merged schema: "
        "the type of 'deep': the type is nested more than 2 levels deep\n"
    )
    assert not path.exists()


def test_the_contract_of_a_combined_policy_is_found(pool, recipe, tmp_path):
    policies = [{"any_of": ["refuse", {"all": ["refuse", {"use": "standard/contract", "path": "agreed/c.yaml"}]}]}]
    recipe.write_text(recipe.read_text().replace("policies: []", f"policies: {json.dumps(policies)}"))
    (tmp_path / "agreed").mkdir()
    done = pool("contract", "write", recipe)
    assert (done.code, done.out) == (0, f"1 field: {tmp_path}/agreed/c.yaml\n")
    assert pool("contract", "check", recipe).code == 0


def test_of_two_contracts_one_has_to_be_named(pool, recipe, contract, tmp_path):
    policies = [{"use": "contract", "path": name} for name in ("a.yaml", "b.yaml", "a.yaml")]
    recipe.write_text(recipe.read_text().replace("policies: []", f"policies: {json.dumps(policies)}"))
    done = pool("contract", "check", recipe)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"error: the policies name 2 contracts: {tmp_path}/a.yaml, {tmp_path}/b.yaml\n  say which one: --file FILE\n"
    )
    contract("b.yaml", said="str?")
    assert pool("contract", "check", recipe, "--file", "b.yaml").code == 0


def test_a_contract_that_says_something_else_is_kept_without_force(pool, scored, contract):
    path = contract(said="str?")
    before = path.read_text()
    done = pool("contract", "write", scored)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"error: {path}: the contract says something else\n  look with `pool contract diff`, then add --force\n"
    )
    assert path.read_text() == before
    assert pool("contract", "write", scored, "--force").code == 0
    assert path.read_text().endswith("  said: str?\n  score: int?\n")


def test_force_replaces_a_file_that_is_no_contract(pool, recipe, tmp_path):
    path = tmp_path / "contract.yaml"
    path.write_text("my: notes\n")
    assert pool("contract", "write", recipe).code == 2
    assert path.read_text() == "my: notes\n"
    assert pool("contract", "write", recipe, "--force").code == 0
    assert path.read_text() == WRITTEN


def test_a_folder_that_is_not_there_is_made(pool, recipe, tmp_path):
    done = pool("contract", "write", recipe, "--file", "agreed/with/contract.yaml")
    assert (done.code, done.out) == (0, "1 field: agreed/with/contract.yaml\n")
    assert (tmp_path / "agreed/with/contract.yaml").read_text() == WRITTEN


def test_a_folder_that_cannot_be_made_is_explained(pool, recipe):
    done = pool("contract", "write", recipe, "--file", "rows.json/contract.yaml")
    assert (done.code, done.out) == (1, "")
    assert done.err == "error: rows.json/contract.yaml: the contract cannot be written: File exists\n"


# diff and check

BREAKING = {"said": "int?", "gone": "str?"}
BREAKING_LINES = """\
- gone: str?  (removed, breaking)
~ said: int? -> str?  (retyped, breaking)
+ score: int?  (added, compatible)
"""


@pytest.mark.parametrize(("command", "code"), [("diff", 0), ("check", 4)])
def test_what_breaks_readers_is_shown_and_refused_by_check_alone(pool, scored, contract, command, code):
    contract(**BREAKING)
    done = pool("contract", command, scored)
    assert (done.code, done.out, done.err) == (code, BREAKING_LINES, "")


@pytest.mark.parametrize("command", ["diff", "check"])
@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"said": "str?", "score": "int?"}, "the merged schema is as the contract says\n"),
        ({"said": "str?"}, "+ score: int?  (added, compatible)\n"),
        ({"said": "str?", "score": "float?"}, "~ score: float? -> int?  (narrowed, compatible)\n"),
        ({"said": "any", "score": "int?"}, "~ said: any -> str?  (narrowed, compatible)\n"),
    ],
)
def test_what_breaks_no_reader_is_shown_and_accepted(pool, scored, contract, command, fields, shown):
    contract(**fields)
    done = pool("contract", command, scored)
    assert (done.code, done.out, done.err) == (0, shown, "")


@pytest.mark.parametrize(("command", "code"), [("diff", 0), ("check", 4)])
def test_json_is_one_document(pool, scored, contract, command, code):
    contract(**BREAKING)
    done = pool("contract", command, scored, "--json")
    assert (done.code, done.err) == (code, "")
    assert done.json == {
        "version": 1,
        "breaking": True,
        "changes": [
            {"kind": "removed", "field": "gone", "old": "str?", "new": None, "breaking": True},
            {"kind": "retyped", "field": "said", "old": "int?", "new": "str?", "breaking": True},
            {"kind": "added", "field": "score", "old": None, "new": "int?", "breaking": False},
        ],
    }


def test_json_of_no_difference(pool, recipe, contract):
    contract(said="str?")
    done = pool("contract", "check", recipe, "--json")
    assert (done.code, done.json) == (0, {"version": 1, "changes": [], "breaking": False})


def test_the_file_that_the_policy_names_is_compared(pool, recipe, contract, tmp_path):
    contract("readers.yaml", said="int?")
    contract(said="str?")
    assert pool("contract", "check", recipe).code == 0
    name_contract(recipe, "readers.yaml")
    assert pool("contract", "check", recipe).code == 4
    assert pool("contract", "check", recipe, "--file", tmp_path / "contract.yaml").code == 0


def test_what_is_written_passes(pool, scored):
    assert pool("contract", "write", scored).code == 0
    assert pool("contract", "check", scored).out == "the merged schema is as the contract says\n"


def test_other_findings_do_not_hinder_a_comparison(pool, recipe, contract):
    contract(said="str?")
    recipe.write_text(recipe.read_text().replace("policies: []", "policies: [refuse]"))
    assert pool("check", recipe).code == 4
    assert pool("contract", "check", recipe).code == 0


@pytest.mark.plugins("standard", "replay")
@pytest.mark.parametrize(
    ("rule", "fields"),
    [
        ("contract-added", {}),
        ("contract-narrowed", {"generation": "any"}),
        ("contract-retyped", {"generation": "{a: int}?"}),
    ],
)
def test_the_command_that_a_finding_names_works(pool, make_recipe, contract, rule, fields):
    contract(**fields)
    recipe = make_recipe()
    recipe.write_text(
        recipe.read_text().replace("pool:\n", "pool:\n  policies: [{use: contract, path: contract.yaml}]\n")
    )
    hint = next(found["hint"] for found in pool("check", recipe, "--json").json["findings"] if found["rule"] == rule)
    command = re.search("`pool (contract write RECIPE[^`]*)`", hint)[1]
    done = pool(*(recipe if word == "RECIPE" else word for word in command.split()))
    assert (done.code, done.err) == (0, "")
    assert pool("check", recipe, "--json").json["findings"] == []


# contracts that are none

NO_KEYS = "a contract has the keys `contract` and `fields`, and no other"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", f" {NO_KEYS}"),
        ("[]", f"1: {NO_KEYS}"),
        ("contract: 1\n", f"1: {NO_KEYS}"),
        ("contract: 1\nfields: {}\nmore: 1\n", f"1: {NO_KEYS}"),
        ("fields: {}\ncontract: 2\n", "2: the contract is of version 2, this pool-core reads 1"),
        ("contract: true\nfields: {}\n", "1: the contract is of version True, this pool-core reads 1"),
        ("contract: 1\nfields: [said]\n", "2: `fields` is a mapping of names to types"),
        ("contract: 1\nfields:\n  said: {a: int}\n", "3: the type of 'said' must be text, as in `str?`; quote it\n"),
        ("contract: 1\nfields:\n  a: str\n  said: 1\n", "4: the type of 'said' must be text, as in `str?`"),
        ("contract: 1\nfields:\n  said: string?\n", "3: the type of 'said': 'string' is no type; known are "),
        ("contract: 1\nfields: {said: 'list[str'}\n", "2: the type of 'said': expected ']' at character "),
    ],
)
@pytest.mark.parametrize("command", ["diff", "check"])
def test_a_broken_contract_is_explained(pool, recipe, tmp_path, command, text, says):
    path = tmp_path / "contract.yaml"
    path.write_text(text)
    done = pool("contract", command, recipe)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"error: {path}:{says}")
    assert done.err.endswith("\n  correct it, or make it anew: pool contract write RECIPE --force\n")
    assert pool("contract", "write", recipe).err == done.err
    assert pool("contract", "write", recipe, "--force").code == 0


@pytest.mark.parametrize("text", ["contract: 1\nfields: {said: [\n", "contract: 1\ncontract: 1\n", "a: &x 1\nb: *x\n"])
def test_a_contract_that_is_no_yaml_of_ours_is_refused_with_its_line(pool, recipe, tmp_path, text):
    path = tmp_path / "contract.yaml"
    path.write_text(text)
    done = pool("contract", "check", recipe)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"error: {path}:")


def test_a_contract_of_other_bytes_is_refused(pool, recipe, tmp_path):
    path = tmp_path / "contract.yaml"
    path.write_bytes(b"\xff\xfe")
    done = pool("contract", "check", recipe)
    assert done.code == 2
    assert done.err.startswith(f"error: {path}: the contract cannot be read: ")


@pytest.mark.parametrize("command", ["diff", "check"])
def test_no_contract_is_no_agreement(pool, recipe, tmp_path, command):
    done = pool("contract", command, recipe)
    assert (done.code, done.out) == (2, "")
    path = tmp_path / "contract.yaml"
    assert done.err == f"error: {path}: there is no contract\n  write it with: pool contract write RECIPE\n"


def test_a_field_is_never_without_null(pool, recipe, contract):
    contract(said="str")
    done = pool("contract", "check", recipe)
    assert (done.code, done.out) == (4, "~ said: str -> str?  (retyped, breaking)\n")


def test_hostile_names_in_a_contract_do_nothing_to_the_terminal(pool, recipe, contract):
    contract(**{"said": "str?", "\x1b[31mred[/]\u202e": "str?"})
    done = pool("contract", "check", recipe)
    assert done.code == 4
    assert "removed, breaking" in done.out
    assert not any(character in done.out for character in "\x1b\u202e")


def test_nothing_to_do_shows_the_help(pool):
    done = pool("contract")
    assert done.code == 2
    for command in ("write", "diff", "check"):
        assert command in done.out + done.err
