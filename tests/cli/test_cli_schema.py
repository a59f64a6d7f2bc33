"""``pool schema``: a JSON Schema that accepts what a recipe may be, and refuses what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from pool_core.recipe.yaml_source import read_yaml
from pool_core.testing.distributions import write_distribution

jsonschema = pytest.importorskip("jsonschema")

EXAMPLE = Path(__file__).parents[2] / "examples" / "mixed-tasks" / "recipe.yaml"
STRANGE = """
from pool_core.api import Contribution, hookimpl

@hookimpl
def pool_tasks():
    yield Contribution("gone", "pool_strange_for_cli.nowhere:Gone")
"""


@pytest.fixture
def make_validator(pool):
    def make():
        document = pool("schema").json
        jsonschema.Draft202012Validator.check_schema(document)
        return jsonschema.Draft202012Validator(document)

    return make


def read(path):
    return read_yaml(path.read_text(encoding="utf-8"), path)[0]


def test_it_accepts_a_recipe_in_its_short_and_its_long_form(make_validator, recipe):
    validator = make_validator()
    document = read(recipe)
    assert validator.is_valid(document)
    document["rows"] = "rows.json"
    document["output"] = {"path": "out.json", "layout": "long", "raw": True}
    document["pool"]["members"][0]["backend"] = {"use": "fake/relay", "backend": {"use": "echo"}}
    document["pool"]["members"][0]["prompt_format"] = None
    document["pool"]["policies"] = ["refuse", {"use": "refuse", "message": "never"}]
    assert validator.is_valid(document)


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(outptu="x"),
        lambda document: document.pop("pool"),
        lambda document: document["pool"].update(sample=1),
        lambda document: document["pool"].update(assign="evenly"),
        lambda document: document["pool"]["members"][0].update(nmae="x"),
        lambda document: document["pool"]["members"][0].update(name="a b"),
        lambda document: document["pool"]["members"][0].update(sampling={"temperature": -1}),
        lambda document: document["pool"]["members"][0].update(limits={"concurency": 1}),
        lambda document: document["pool"]["members"][0].update(task={"use": "echo", "colum": "text"}),
        lambda document: document["pool"]["members"][0].update(task="ecco"),
        lambda document: document["pool"]["members"][0].update(task={"column": "text"}),
        lambda document: document["pool"]["members"][0].update(backend={"use": "relay", "backend": {"use": "ecco"}}),
        lambda document: document["pool"].update(policies=[{"use": "refuse", "mesage": "x"}]),
    ],
)
def test_it_refuses_what_a_recipe_may_not_be(make_validator, recipe, change):
    document = read(recipe)
    change(document)
    assert not make_validator().is_valid(document)


def test_it_names_each_plugin_and_says_what_its_keys_mean(pool, recipe):
    document = pool("schema").json
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    (echo,) = [choice for choice in document["$defs"]["task"]["anyOf"] if choice.get("title") == "fake/echo"]
    assert echo["description"] == "Asks what a column says."
    assert echo["properties"]["use"] == {"enum": ["echo", "fake/echo"]}
    assert echo["properties"]["column"]["description"] == "The column that is asked."
    assert echo["required"] == ["use"]
    assert document["$defs"]["Rows"]["properties"]["reader"]["examples"] == ["json"]


def test_without_plugins_it_is_a_schema_all_the_same(pool, monkeypatch):
    done = pool("schema", "--plugins", "off")
    assert (done.code, done.err) == (0, "")
    jsonschema.Draft202012Validator.check_schema(done.json)
    assert done.json["$defs"]["task"] == {}


def test_what_cannot_be_imported_is_left_out_and_told(pool, tmp_path, fake_plugin, monkeypatch):
    write_distribution(
        tmp_path / "site",
        name="pool-strange",
        entry_points={"pool_core.plugins.v1": {"strange": "pool_strange_for_cli"}},
        modules={"pool_strange_for_cli": STRANGE},
    )
    done = pool("schema", "--plugins", "fake,strange")
    assert done.code == 0
    assert done.err.startswith("left out: ")
    assert "strange/gone" in done.err
    assert "pool_strange_for_cli" in done.err
    titles = {choice.get("title") for choice in done.json["$defs"]["task"]["anyOf"]}
    assert "fake/echo" in titles
    assert "strange/gone" not in titles


@pytest.mark.plugins("standard", "replay")
def test_it_accepts_the_example_and_refuses_its_slips(make_validator):
    validator = make_validator()
    document = read(EXAMPLE)
    assert list(validator.iter_errors(document)) == []
    document["pool"]["members"][0]["backend"]["latencyy"] = 1
    (error,) = validator.iter_errors(document)
    assert list(error.absolute_path) == ["pool", "members", 0, "backend"]


@pytest.mark.plugins("standard", "replay")
@pytest.mark.parametrize("command", ["schema", "plugins list --json"])
def test_a_reader_that_goes_early_hears_nothing(process, command):
    running = process(*command.split())
    running.stdout.close()
    running.wait(300)
    assert running.stderr.read() == ""
    assert running.returncode == 1
