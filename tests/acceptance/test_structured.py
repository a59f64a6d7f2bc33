"""One structured task over backends that differ: typed alike, with several samples, recorded and replayed."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import pytest

from pool_core import run_recipe
from pool_core.testing.messages import make_message_body
from pool_core.testing.server import Reply, ScriptedServer, make_chat_body, make_text_body

pytestmark = pytest.mark.plugins("standard", "replay", "openai", "anthropic")

SCHEMA = {
    "type": "object",
    "properties": {
        "thing": {"type": "string"},
        "score": {"type": "integer", "minimum": 0, "maximum": 10},
        "note": {"type": "string"},
    },
    "required": ["thing", "score"],
}
ROWS = [{"id": str(n), "instruction": f"Rate number {n}."} for n in range(6)]


def read_number(text):
    """The number of the row that a prompt is about."""
    return int(text.partition("Rate number ")[2].partition(".")[0])


def make_object(number):
    return {"thing": f"thing {number}", "score": number, "note": None}


def answer_constrained(request):
    """A server that holds its answers to the schema, and cannot do without."""
    form = request.body["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"]["strict"] is True
    return Reply(body=make_chat_body(json.dumps(make_object(read_number(request.body["messages"][0]["content"])))))


def answer_heedless(request):
    """A server that takes the schema and ignores it. Its model only answers in JSON once it is told to."""
    messages = request.body["messages"]
    assert "response_format" in request.body
    if "JSON Schema" not in messages[-1]["content"]:
        return Reply(body=make_chat_body("It is fine, I would say."))
    found = make_object(read_number(messages[0]["content"]))
    del found["note"]
    return Reply(body=make_chat_body(f"Sure!\n```json\n{json.dumps(found)}\n```"))


def answer_told(request):
    """A server that constrains nothing. Its model is sloppy."""
    prompt = request.body["prompt"]
    assert "response_format" not in request.body
    assert "JSON Schema" in prompt
    number = read_number(prompt)
    return Reply(body=make_text_body(f"{{'thing': 'thing {number}', 'score': {number},}}"))


def answer_message(request):
    form = request.body["output_config"]["format"]
    assert form["schema"]["properties"]["score"]["description"] == "{minimum: 0, maximum: 10}"
    return Reply(body=make_message_body(json.dumps(make_object(read_number(request.body["messages"][0]["content"])))))


SCRIPTS = {
    "constrained": answer_constrained,
    "heedless": answer_heedless,
    "told": answer_told,
    "claude": answer_message,
}
MORE = {"heedless": {"reask": {"times": 1}}, "told": {"prompt_format": "chatml"}}


def write_recipe(folder: Path, backends: dict, **top) -> Path:
    task = {"use": "structured-generation", "json_schema": "schema.json"}
    members = [{"name": name, "backend": use, "task": task, **MORE.get(name, {})} for name, use in backends.items()]
    recipe = {
        "rows": {"path": "rows.jsonl", "id": "id"},
        "output": {"path": "output.jsonl", "layout": "long"},
        "pool": {"samples": 2 * len(members), "assign": "balanced", "members": members},
        **top,
    }
    folder.mkdir(exist_ok=True)
    (folder / "schema.json").write_text(json.dumps(SCHEMA))
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(recipe))  # which is YAML
    return path


def read_output(path: Path):
    return [json.loads(line) for line in (path.parent / "output.jsonl").read_text().splitlines()]


def name_backend(name, server):
    base = server.url.removesuffix("/v1") if name == "claude" else server.url
    more = {"api": "completions"} if name == "told" else {}
    return {"use": "anthropic" if name == "claude" else "openai", "model": name, "base_url": base, **more}


def test_one_recipe_gives_the_same_types_whoever_answers(tmp_path):
    with ExitStack() as stack:
        servers = {name: stack.enter_context(ScriptedServer(script)) for name, script in SCRIPTS.items()}
        backends = {
            name: {"use": "record", "path": f"{name}.recording.jsonl", "backend": name_backend(name, server)}
            for name, server in servers.items()
        }
        path = write_recipe(tmp_path, backends)
        result = run_recipe(path, run_dir=tmp_path / "run")
        asked = {name: len(server.requests) for name, server in servers.items()}
    assert result.summary.status == "complete"
    found = read_output(path)
    assert len(found) == len(ROWS) * 2 * len(SCRIPTS)
    for cell in found:
        number = int(cell["row_id"])
        assert (cell["status"], cell["thing"], cell["score"], cell["note"]) == ("ok", f"thing {number}", number, None)
        assert (type(cell["thing"]), type(cell["score"])) == (str, int)
    once = len(ROWS) * 2
    assert asked == {"constrained": once, "heedless": 2 * once, "told": once, "claude": once}

    # every member was recorded; the recordings answer alike, byte for byte, and no server is there any more
    kinds = {"told": {"takes": "text"}}
    replays = {
        name: {"use": "replay", "model": name, "path": str(tmp_path / f"{name}.recording.jsonl"), **kinds.get(name, {})}
        for name in SCRIPTS
    }
    again = write_recipe(tmp_path / "again", replays)
    assert run_recipe(again, run_dir=tmp_path / "again" / "run").summary.status == "complete"
    assert (tmp_path / "again" / "output.jsonl").read_bytes() == (tmp_path / "output.jsonl").read_bytes()


def test_what_no_repair_and_no_further_request_mends_fails_its_cell_alone(tmp_path):
    def answer(request):
        number = read_number(request.body["messages"][0]["content"])
        if number == 2:
            return Reply(body=make_chat_body("I do not know."))
        if number == 3:
            return Reply(body=make_chat_body('{"thing": "thing 3", "score": 11}'))
        return Reply(body=make_chat_body(json.dumps(make_object(number))))

    with ScriptedServer(answer) as server:
        path = write_recipe(tmp_path, {"one": name_backend("one", server)})
        result = run_recipe(path, run_dir=tmp_path / "run")
    assert result.summary.status == "partial"
    found = {cell["row_id"]: cell for cell in read_output(path)}
    assert {row: cell["cause"] for row, cell in found.items() if cell["status"] != "ok"} == {
        "2": "parse",
        "3": "schema",
    }
    assert (found["2"]["thing"], found["3"]["score"]) == (None, None)


def test_an_edited_schema_file_is_noticed(tmp_path):
    def answer(request):
        assert "response_format" in request.body
        return Reply(body=make_chat_body(json.dumps(make_object(1))))

    with ScriptedServer(answer) as server:
        path = write_recipe(tmp_path, {"one": name_backend("one", server)})
        assert run_recipe(path, run_dir=tmp_path / "run").summary.status == "complete"
        before = len(server.requests)
        assert run_recipe(path, run_dir=tmp_path / "run").summary.status == "complete"
        assert len(server.requests) == before
        changed = {**SCHEMA, "properties": {**SCHEMA["properties"], "score": {"type": "integer", "minimum": 5}}}
        (tmp_path / "schema.json").write_text(json.dumps(changed))
        assert run_recipe(path, run_dir=tmp_path / "run").summary.status == "partial"
        assert len(server.requests) == 2 * before
    assert {cell["cause"] for cell in read_output(path)} == {"schema"}
