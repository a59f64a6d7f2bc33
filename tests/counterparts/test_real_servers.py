"""Small recipes, run as a person runs them, against servers that others have made.

Which of them honours what stands in docs/reference/servers.md; the last test holds that table against the servers.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.plugins("openai", "standard")

SERVERS = ("llama-server", "llama-cpp-python", "transformers", "aimock")
THINGS = [("red", "fox"), ("blue", "boat"), ("green", "tree"), ("black", "stone")]


def run_pool(*arguments, cwd):
    command = [sys.executable, "-m", "pool_core", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def write(tmp_path):
    """Writes rows, and a recipe of members. Returns the folder."""

    def write_recipe(*members, **pool):
        rows = [{"id": thing, "instruction": f"Describe the {colour} {thing}."} for colour, thing in THINGS]
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        recipe = {"rows": {"path": "rows.jsonl", "id": "id"}, "output": "output.jsonl"}
        recipe["pool"] = {"members": list(members), **pool}
        (tmp_path / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")  # JSON is YAML
        return tmp_path

    return write_recipe


def read_rows(folder):
    return [json.loads(line) for line in (folder / "output.jsonl").read_text(encoding="utf-8").splitlines()]


def make_member(server, name="m", **more):
    backend = {"use": "openai", "model": server.model, "base_url": server.url} | more.pop("backend", {})
    return {
        "name": name,
        "backend": backend,
        "task": {"use": "text-generation", "accept_truncated": True},  # a random model does not end by itself
        "sampling": {"temperature": 0.8, "max_tokens": 12, "seed": 5},
        **more,
    }


@pytest.mark.parametrize("name", SERVERS)
def test_a_recipe_runs_and_runs_again_without_a_question(name, start_server, write):
    folder = write(make_member(start_server(name)), samples=3)
    done = run_pool("run", "recipe.yaml", "--json", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (member,) = json.loads(done.stdout)["members"]
    assert (member["ok"], member["requests"], member["failed"]) == (12, 12, {})
    assert member["output_tokens"] > 0
    rows = read_rows(folder)
    assert [row["id"] for row in rows] == [thing for _, thing in THINGS]
    for row in rows:
        assert [part["sample"] for part in row["generations"]] == [0, 1, 2]
        assert all(part["status"] == "ok" and part["generation"] for part in row["generations"])
    again = json.loads(run_pool("run", "recipe.yaml", "--json", cwd=folder).stdout)
    assert [(one["ok"], one["requests"]) for one in again["members"]] == [(12, 0)]
    assert read_rows(folder) == rows


@pytest.mark.parametrize("name", ["llama-server", "llama-cpp-python", "transformers"])
def test_text_completions_with_a_prompt_format(name, start_server, write):
    server = start_server(name)
    folder = write(make_member(server, backend={"api": "completions"}, prompt_format="chatml"))
    done = run_pool("run", "recipe.yaml", "--json", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", SERVERS)
def test_seeds_are_sent_and_samples_differ_where_they_are_heeded(name, start_server, write):
    """Two runs of their own with one seed, one call at a time."""
    server = start_server(name)
    sampling = {"temperature": 1.9, "max_tokens": 12, "seed": 5}
    folder = write(make_member(server, sampling=sampling, limits={"concurrency": 1}), samples=3)
    said = []
    for number in range(2):
        done = run_pool("run", "recipe.yaml", "--quiet", "--run-dir", f"run-{number}", cwd=folder)
        assert done.returncode == 0, done.stderr
        said.append([[part["generation"] for part in row["generations"]] for row in read_rows(folder)])
    assert said[0] == said[1]
    different = {len(set(texts)) for texts in said[0]}
    assert (max(different) > 1) == (name != "aimock")


THING = {
    "type": "object",
    "properties": {
        "thing": {"type": "string", "enum": [thing for _, thing in THINGS]},
        "colour": {"type": "string", "enum": [colour for colour, _ in THINGS]},
    },
    "required": ["thing", "colour"],
}


@pytest.mark.parametrize("name", ["llama-server", "transformers"])
def test_typed_output_is_the_same_whether_a_schema_is_heeded_or_not(name, start_server, write):
    """llama-server holds a random model to it; `transformers serve` ignores it, and its model knows what to say."""
    pytest.importorskip("jsonschema_rs", reason="structured-generation needs pool-standard[structured]")
    task = {"use": "structured-generation", "template": "{{ instruction }}", "json_schema": THING}
    member = make_member(start_server(name), task=task, sampling={"temperature": 0, "max_tokens": 100})
    folder = write(member)
    done = run_pool("run", "recipe.yaml", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "as if the server had heeded it" not in done.stderr
    for row in read_rows(folder):
        (part,) = row["generations"]
        assert part["thing"] in THING["properties"]["thing"]["enum"]
        assert part["colour"] in THING["properties"]["colour"]["enum"]
        if name == "transformers":
            assert f"Describe the {part['colour']} {part['thing']}." == row["instruction"]


def test_a_schema_that_is_ignored_fails_its_cells_and_is_told_once(start_server, write):
    pytest.importorskip("jsonschema_rs", reason="structured-generation needs pool-standard[structured]")
    task = {"use": "structured-generation", "template": "{{ instruction }}", "json_schema": THING}
    folder = write(make_member(start_server("aimock"), task=task, sampling={"max_tokens": 100}))
    done = run_pool("run", "recipe.yaml", "--json", cwd=folder)
    assert done.returncode == 3
    assert json.loads(done.stdout)["members"][0]["failed"] == {"parse": 4}
    assert done.stderr.count("a JSON Schema was sent with the request") == 1


def test_a_parameter_that_is_ignored_is_told_once(start_server, write):
    member = make_member(start_server("aimock"), sampling={"max_tokens": 3, "stop": ["plain"]})
    done = run_pool("run", "recipe.yaml", "--json", cwd=write(member))
    assert done.returncode == 0
    assert done.stderr.count("max_tokens was sent with the request") == 1
    assert done.stderr.count("stop was sent with the request") == 1


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("transformers", {"sampling": {"top_k": 3}}),
        ("transformers", {"backend": {"model": "no-such-model"}}),
        ("aimock", {"backend": {"api": "completions"}, "prompt_format": "chatml"}),
    ],
)
def test_what_no_row_could_mend_stops_the_member_at_once(name, change, start_server, write):
    folder = write(make_member(start_server(name), **change, limits={"concurrency": 1}))
    done = run_pool("run", "recipe.yaml", "--json", cwd=folder)
    assert done.returncode == 3
    (member,) = json.loads(done.stdout)["members"]
    assert (member["ok"], member["requests"]) == (0, 1)
    assert member["stopped"]


def test_a_schema_that_is_refused_stops_the_member_and_says_what_to_set(start_server, write):
    pytest.importorskip("jsonschema_rs", reason="structured-generation needs pool-standard[structured]")
    task = {"use": "structured-generation", "template": "{{ instruction }}", "json_schema": THING}
    folder = write(make_member(start_server("llama-cpp-python"), task=task, limits={"concurrency": 1}))
    done = run_pool("run", "recipe.yaml", "--json", cwd=folder)
    (member,) = json.loads(done.stdout)["members"]
    assert (done.returncode, member["requests"]) == (3, 1)
    assert "set json_schema: false in the backend" in member["stopped"]


@pytest.mark.parametrize("name", ["llama-server", "llama-cpp-python"])
def test_a_prompt_that_is_too_long_fails_its_cell_alone(name, start_server, write):
    folder = write(make_member(start_server(name)))
    rows = (folder / "rows.jsonl").read_text(encoding="utf-8")
    long = json.dumps({"id": "long", "instruction": "word " * 3000})
    (folder / "rows.jsonl").write_text(f"{long}\n{rows}", encoding="utf-8")
    done = run_pool("run", "recipe.yaml", "--json", cwd=folder)
    assert done.returncode == 3
    (member,) = json.loads(done.stdout)["members"]
    assert (member["ok"], member["failed"]) == (4, {"context_length": 1})


def test_a_batch_of_a_server_that_is_none_of_ours(start_server, write):
    """aimock has files and batches; it answers each request of a batch alike."""
    backend = {"use": "openai-batch", "idle": 0.1, "poll": 0.05}
    folder = write(make_member(start_server("aimock"), backend=backend, sampling={"max_tokens": 100}))
    done = run_pool("run", "recipe.yaml", "--json", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    said = {part["generation"] for row in read_rows(folder) for part in row["generations"]}
    assert len(said) == 1


@pytest.mark.plugins("anthropic")
def test_anthropics_messages_of_a_server_that_is_none_of_ours(start_server, write):
    """aimock speaks Anthropic's API as well."""
    server = start_server("aimock")
    backend = {"use": "anthropic", "model": "claude-sonnet-4", "base_url": server.url.removesuffix("/v1")}
    member = {"name": "m", "backend": backend, "task": {"use": "text-generation"}, "sampling": {"max_tokens": 100}}
    folder = write(member)
    done = run_pool("run", "recipe.yaml", "--json", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len({part["generation"] for row in read_rows(folder) for part in row["generations"]}) == 1


@pytest.mark.parametrize("name", SERVERS)
def test_the_table_of_what_is_honoured_holds(name, start_server):
    from counterparts.probes import PROBES, probe_all
    from counterparts.results import RESULTS, read_results
    from counterparts.start import read_version

    server = start_server(name)
    recorded, version = read_results(RESULTS)[name], read_version(server.counterpart)
    if recorded.version != version:
        pytest.skip(f"the table is about {name} {recorded.version}, and here is {version}: run benchmarks/honours.py")
    found = asyncio.run(probe_all(server))
    steady = [probe.name for probe in PROBES if probe.steady]
    assert {probe: found[probe] for probe in steady} == {probe: recorded.seen[probe] for probe in steady}
