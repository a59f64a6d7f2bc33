"""Bad input: a clear error, the right exit code, nothing lost, and a corrected run that asks nothing twice."""

from __future__ import annotations

import json
import os
import socket

import pytest

from pool_core.store.store import Store
from pool_core.testing.distributions import write_distribution
from pool_core.testing.server import Reply, ScriptedServer, make_chat_body

standard = pytest.mark.plugins("standard", "replay")
openai = pytest.mark.plugins("standard", "replay", "openai")

CANARY = "sk-canary-77aa"
#: Escape codes, markup, a change of direction, and lines that look like ours.
HOSTILE = "\x1b[31mred\x1b[0m [red]x[/x] [/] \u202etxet \x9b2J\r\ncomplete: every cell is ok\n"
ACTING = "\x1b\u202e\x9b\r"


@pytest.fixture(autouse=True)
def no_key_around(monkeypatch):
    for name in ("OPENAI_API_KEY", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def count_requests(done):
    return [member["requests"] for member in done.json["members"]]


# The rows

GOOD = [json.dumps({"id": f"r{n}", "instruction": f"Say {n}."}) for n in range(1, 104)]

BAD_ROWS = {
    "empty": ([], "{rows}: there are no rows\n  a run needs at least one\n"),
    "broken in the first rows": (
        [*GOOD[:1], '{"id": "r2",'],
        """{rows}:line 2: not valid JSON: Expecting property name enclosed in double quotes at character 13
  Each line must be one complete JSON object; mend or remove this line.
""",
    ),
    "broken later on": (
        [*GOOD[:101], "[]", *GOOD[101:]],
        """{rows}:line 102: the line holds an array, not an object
  Write one object per line, such as {{"instruction": "..."}}.
""",
    ),
    "two ids twice": (
        [*GOOD[:3], GOOD[0], GOOD[2]],
        """{rows}: ids must be unique: 'r1' of line 4 is that of row 1 as well; 'r3' of line 5 is that of row 3 as well
  choose another id column, or none: then a row's content identifies it
""",
    ),
    "no id column": (['{"instruction": "x"}'], "{rows}: there is no column 'id'\n  it has: instruction\n"),
    "a row without its id": (
        [GOOD[0], '{"instruction": "x"}'],
        "{rows}: line 2: an id must be text or a whole number; the row has none in 'id'\n",
    ),
}


@standard
@pytest.mark.parametrize("name", BAD_ROWS)
def test_bad_rows_are_refused_and_cost_nothing(pool, make_recipe, make_rows, read_output, tmp_path, name):
    lines, message = BAD_ROWS[name]
    make_rows(*GOOD[:3])
    recipe = make_recipe()
    assert count_requests(pool("run", recipe, "--json")) == [3, 3]
    before = read_output()
    make_rows(*lines)
    done = pool("run", recipe)
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: " + message.format(rows=tmp_path / "rows.jsonl")
    assert read_output() == before
    make_rows(*GOOD[:4])
    assert count_requests(pool("run", recipe, "--json")) == [1, 1]


@standard
def test_rows_that_are_not_there(pool, make_recipe, make_rows, tmp_path):
    recipe = make_recipe(rows="gone.jsonl")
    done = pool("run", recipe)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"error: {tmp_path}/gone.jsonl: the file does not exist\n"
        "  Check the path of the rows; a relative path starts at the recipe's folder.\n"
    )
    assert not (tmp_path / "runs").exists()
    make_rows(*GOOD[:3], name="gone.jsonl")
    assert count_requests(pool("run", recipe, "--json")) == [3, 3]


@standard
def test_a_row_that_lacks_a_column_costs_its_cells_alone(pool, make_recipe, make_rows, read_output):
    make_rows(GOOD[0], {"id": "r2", "other": "x"}, GOOD[2])
    recipe = make_recipe()
    done = pool("run", recipe, "--json")
    assert (done.code, done.json["status"], count_requests(done)) == (3, "partial", [2, 2])
    assert [member["failed"] for member in done.json["members"]] == [{"render": 1}] * 2
    rows = read_output()
    assert [[part["status"] for part in row["generations"]] for row in rows] == [
        ["ok", "ok"],
        ["failed", "failed"],
        ["ok", "ok"],
    ]
    (bad, _) = rows[1]["generations"]
    assert (bad["cause"], bad["message"]) == (
        "render",
        "the row has no column 'instruction'\n  it has: id, other",
    )
    make_rows(*GOOD[:3])
    done = pool("run", recipe, "--json")
    assert (done.code, count_requests(done)) == (0, [1, 1])


# The recipe

#: Names of unknown things come with the plugins that are installed and switched off.
BLOCKED = "  not loaded: pool-"
BAD_RECIPES = {
    "two members of one name": (
        ("name: bob", "name: ann"),
        "{recipe}:5: pool.members: two members are named 'ann'; give each member a name of its own\n",
    ),
    "an unknown key": (("output:", "outptu:"), "{recipe}:2: outptu: unknown key; did you mean 'output'?\n"),
    "an unknown key of a backend": (
        ("model: other", "modle: other"),
        "{recipe}:8: pool.members[1].backend.modle: unknown key; did you mean 'model'?\n",
    ),
    "an unknown key that is like none": (
        ("model: other", "zzz: other"),
        "{recipe}:8: pool.members[1].backend.zzz: unknown key; known here: model, seed, stop, takes\n",
    ),
    "an unknown backend": (
        ("{use: echo, model: other}", "ehco"),
        """{recipe}:8: pool.members[1].backend.use: there is no backend named 'ehco'
  did you mean 'echo' (pool-fake 1.0)?
""",
    ),
    "an unknown task": (
        ("      task: echo", "      task: {use: eco}"),
        "{recipe}:9: pool.members[1].task.use: there is no task named 'eco'\n  did you mean 'echo' (pool-fake 1.0)?\n",
    ),
    "no YAML": (
        ("policies: []", "policies: ["),
        "{recipe}:6: this is no YAML: did not find expected node content while parsing a flow node\n",
    ),
}


@pytest.mark.parametrize("command", ["run", "check", "show"])
@pytest.mark.parametrize("name", BAD_RECIPES)
def test_a_bad_recipe_is_refused_at_its_line(pool, recipe, tmp_path, name, command):
    (wrong, right), message = BAD_RECIPES[name]
    good = recipe.read_text()
    recipe.write_text(good.replace(wrong, right))
    done = pool(command, recipe, *(["ann"] if command == "show" else []))
    assert (done.code, done.out) == (2, "")
    told = [line for line in done.err.splitlines(keepends=True) if not line.startswith(BLOCKED)]
    assert "".join(told) == "error: " + message.format(recipe=recipe)
    assert not (tmp_path / "runs").exists()
    recipe.write_text(good)
    assert count_requests(pool("run", recipe, "--json")) == [3, 3]


def test_several_mistakes_are_told_at_once(pool, recipe):
    recipe.write_text(recipe.read_text().replace("output:", "outptu:").replace("name: bob", "nmae: bob"))
    done = pool("check", recipe)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "error: 3 things are wrong\n"
        f"  {recipe}:2: outptu: unknown key; did you mean 'output'?\n"
        f"  {recipe}:7: pool.members[1].name: this key is missing\n"
        f"  {recipe}:7: pool.members[1].nmae: unknown key; did you mean 'name'?\n"
    )


def test_a_recipe_that_is_not_there(pool, recipe):
    done = pool("run", "recipes.yaml")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: recipes.yaml: there is no such file\n  recipes here: recipe.yaml\n"


# Servers


def make_mixed(make_recipe, url, **backend):
    return make_recipe(
        ann={"use": "openai", "model": "m", "base_url": url, "limits": {"concurrency": 4}, **backend},
        bob={"use": "simulate"},
    )


@openai
def test_a_server_that_is_not_there_stops_its_member(pool, make_recipe):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    done = pool("run", make_mixed(make_recipe, f"http://127.0.0.1:{port}/v1"), "--json")
    ann, bob = done.json["members"]
    assert (done.code, bob["ok"], ann["ok"]) == (3, 3, 0)
    assert ann["stopped"] == (
        f"its server was never reached: POST http://127.0.0.1:{port}/v1/chat/completions: "
        f"cannot reach 127.0.0.1:{port}: connection refused\n  check base_url and that the server runs"
    )
    assert done.json["seconds"] < 15
    with ScriptedServer() as server:
        again = pool("run", make_mixed(make_recipe, server.url), "--json")
    assert (again.code, count_requests(again), len(server.requests)) == (0, [3, 0], 3)


@openai
def test_a_wrong_key_stops_its_member_at_once_and_is_shown_nowhere(pool, make_recipe, make_rows, tmp_path, monkeypatch):
    monkeypatch.setenv("CANARY", CANARY)
    make_rows(*GOOD[:40])
    right = []

    def reply(request):
        if right:
            return None
        return Reply(401, {"error": {"message": f"the key {CANARY} is wrong {HOSTILE}", "type": "auth"}})

    with ScriptedServer(reply) as server:
        recipe = make_mixed(make_recipe, server.url, api_key="env:CANARY")
        done = pool("run", recipe)
        assert 1 <= len(server.requests) <= 4
        as_json = pool("run", recipe, "--json")
        assert len(server.requests) <= 8
        right.append(True)
        server.requests.clear()
        again = pool("run", recipe, "--json")
        assert (again.code, count_requests(again), len(server.requests)) == (0, [40, 0], 40)
    assert (done.code, done.err, as_json.code) == (3, "", 3)
    (place,) = [at for at, line in enumerate(done.out.splitlines()) if line.startswith("ann was stopped: ")]
    said, hint, end = done.out.splitlines()[place : place + 3]
    assert said.startswith(
        f"ann was stopped: POST {server.url}/chat/completions: 401 Unauthorized: the key *** is wrong"
    )
    assert "[red]x[/x] [/]" in said
    assert hint == "  check the key in env:CANARY"
    assert end.startswith("partial: ")
    assert "complete: every cell is ok" not in done.out.splitlines()
    for text in (done.out, as_json.out):
        assert CANARY not in text
        assert not any(character in text for character in ACTING)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"run.sqlite", "report.json", "out.jsonl"} <= {path.name for path in files}
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []


@openai
def test_a_key_variable_that_is_not_set(pool, make_recipe, monkeypatch):
    monkeypatch.delenv("CANARY", raising=False)
    with ScriptedServer() as server:
        recipe = make_mixed(make_recipe, server.url, api_key="env:CANARY")
        done = pool("run", recipe)
        assert (done.code, done.err, server.requests) == (3, "", [])
        assert (
            "ann was stopped: the environment variable CANARY is not set\n"
            "  set CANARY, or point api_key to another env:NAME or file:PATH\n"
            f"partial: 3 cells pending\ngo on with: pool run {recipe}\n"
        ) in done.out
        monkeypatch.setenv("CANARY", CANARY)
        again = pool("run", recipe, "--json")
    assert (again.code, count_requests(again)) == (0, [3, 0])


# Folders and files


def test_a_run_directory_that_is_a_file(pool, recipe, tmp_path):
    (tmp_path / "taken").write_text("mine")
    done = pool("run", recipe, "--run-dir", "taken")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "error: taken: the run directory cannot be written: File exists\n  choose another one: --run-dir DIR\n"
    )
    assert (tmp_path / "taken").read_text() == "mine"
    assert count_requests(pool("run", recipe, "--run-dir", "free", "--json")) == [3, 3]


@pytest.mark.parametrize("json_option", [[], ["--json"]])
def test_a_run_directory_that_another_process_owns(pool, recipe, tmp_path, json_option):
    run = tmp_path / "runs" / "recipe"
    with Store.open(run):
        done = pool("run", recipe, *json_option)
    message = f"another process works on this run: process {os.getpid()} on {socket.gethostname()}"
    hint = "wait until it ends, stop it, or give this run another directory: --run-dir DIR"
    assert (done.code, done.err) == (1, f"error: {run}: {message}\n  {hint}\n")
    if json_option:
        assert done.json == {"version": 1, "error": {"message": message, "where": str(run), "hint": hint}}
    else:
        assert done.out == ""
    assert count_requests(pool("run", recipe, "--json")) == [3, 3]


@pytest.mark.parametrize("command", [["run", "recipe.yaml", "--run-dir", "other"], ["export", "other"]])
def test_a_folder_that_holds_another_file_of_that_name(pool, recipe, tmp_path, command):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "run.sqlite").write_text("this is not a run but a letter to somebody " * 9)
    done = pool(*command)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: ")
    assert "run.sqlite: " in done.err
    assert "Traceback" not in done.err


def test_an_output_folder_that_is_not_there_is_made(pool, recipe, tmp_path):
    assert pool("run", recipe, "-o", "a/b/out.json").code == 0
    assert len(json.loads((tmp_path / "a" / "b" / "out.json").read_text())) == 3


@pytest.mark.parametrize(
    ("output", "reason"), [("taken/out.json", "File exists"), ("taken/sub/out.json", "Not a directory")]
)
def test_an_output_folder_that_is_a_file_costs_no_answer(pool, recipe, tmp_path, output, reason):
    (tmp_path / "taken").write_text("mine")
    done = pool("run", recipe, "-o", output)
    run = tmp_path / "runs" / "recipe"
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        f"error: {tmp_path}/{output}: the output cannot be written: {reason}\n"
        f"  the answers are safe in the run; mend it and write the file with: pool export {run}\n"
    )
    (tmp_path / "taken").unlink()
    assert pool("export", run).code == 0
    assert len(json.loads((tmp_path / output).read_text())) == 3
    assert count_requests(pool("run", recipe, "--json")) == [0, 0]


# The command line


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["run"], "Missing argument 'RECIPE'.", "see `pool run --help`"),
        (["run", "x.yaml", "--nope"], "No such option: --nope", "see `pool run --help`"),
        (["nope"], "No such command 'nope'.", "see `pool --help`"),
        (["plugins", "nope"], "No such command 'nope'.", "see `pool plugins --help`"),
    ],
)
def test_a_wrong_command_line(pool, arguments, message, hint):
    done = pool(*arguments)
    assert (done.code, done.out, done.err) == (2, "", f"error: {message}\n  {hint}\n")
    done = pool(*arguments, "--json")
    assert (done.code, done.err) == (2, f"error: {message}\n  {hint}\n")
    assert done.json == {"version": 1, "error": {"message": message, "where": "", "hint": hint}}


def test_without_arguments_there_is_help(pool):
    done = pool()
    assert done.code == 2
    assert "Usage: pool" in done.out
    assert done.err == ""


def test_help_and_version_end_with_0(pool):
    assert "Exit codes: 0 complete" in pool("--help").out
    assert pool("run", "--help").code == 0
    assert pool("--version").out.startswith("pool-core ")


@pytest.mark.parametrize("command", [["run"], ["check"], ["show", "ann"]])
def test_errors_as_json_are_one_document(pool, recipe, command):
    recipe.write_text(recipe.read_text().replace("task: echo}", "task: eco}"))
    name, *rest = command
    done = pool(name, recipe, *rest, "--json")
    assert done.code == 2
    assert done.json["version"] == 1
    assert done.json["error"]["message"] == "there is no task named 'eco'"
    assert done.json["error"]["where"] == f"{recipe}:6: pool.members[0].task.use"


@pytest.mark.parametrize("json_option", [[], ["--json"]])
def test_a_bug_is_told_with_its_traceback_and_does_nothing_to_the_terminal(pool, recipe, monkeypatch, json_option):
    def break_down(*_arguments, **_options):
        raise KeyError(HOSTILE)

    monkeypatch.setattr("pool_core.plan.build.make_plan", break_down)
    done = pool("check", recipe, *json_option)
    assert done.code == 1
    assert done.err.startswith("Traceback (most recent call last):\n")
    assert "break_down" in done.err
    assert done.err.endswith("\n  please report it with the lines above\n")
    assert "\nerror: internal error: KeyError: " in done.err
    assert not any(character in done.err for character in ACTING)
    if json_option:
        assert done.json["error"]["where"] == "internal error"


def test_an_interrupt_ends_with_130(pool, recipe, monkeypatch):
    def interrupt(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("pool_core.plan.build.make_plan", interrupt)
    done = pool("check", recipe)
    assert (done.code, done.out, done.err) == (130, "", "")


# Hostile text


@standard
def test_hostile_rows_are_named_harmlessly(pool, make_recipe, make_rows):
    make_rows({"id": HOSTILE, "instruction": "x"}, {"id": HOSTILE, "instruction": "y"})
    done = pool("run", make_recipe())
    assert done.code == 2
    assert "ids must be unique: " in done.err
    assert not any(character in done.err for character in ACTING)
    assert "complete: every cell is ok" not in done.err.splitlines()


@openai
def test_a_hostile_refusal_is_kept_and_never_acts(pool, make_recipe, read_output):
    with ScriptedServer(lambda _request: Reply(body=make_chat_body(None, refusal=HOSTILE))) as server:
        done = pool("run", make_mixed(make_recipe, server.url))
    assert (done.code, done.err) == (3, "")
    assert "3 refusal" in done.out
    assert not any(character in done.out for character in ACTING)
    assert "complete: every cell is ok" not in done.out.splitlines()
    assert all(HOSTILE.strip() in row["generations"][0]["message"] for row in read_output())


@pytest.mark.parametrize(
    "command", [["plugins", "list"], ["plugins", "show", "evil"], ["plugins", "list", "--json"], ["schema"]]
)
def test_a_plugin_s_reason_is_shown_harmlessly(pool, fake_plugin, tmp_path, command):
    write_distribution(
        tmp_path / "site",
        name="pool-evil",
        entry_points={"pool_core.plugins.v1": {"evil": "pool_evil_for_cli"}},
        modules={"pool_evil_for_cli": f"raise ValueError({HOSTILE!r})"},
    )
    done = pool(*command, "--plugins", "fake,evil")
    assert done.code == 0
    assert not any(character in done.out + done.err for character in ACTING)
    assert "complete: every cell is ok" not in (done.out + done.err).splitlines()
    if "schema" not in command:
        assert "red" in done.out


def test_a_plugin_s_reason_in_an_error_is_shown_harmlessly(pool, recipe, tmp_path):
    write_distribution(
        tmp_path / "site",
        name="pool-evil",
        entry_points={"pool_core.plugins.v1": {"evil": "pool_evil_too_for_cli"}},
        modules={"pool_evil_too_for_cli": f"raise ValueError({HOSTILE!r})"},
    )
    recipe.write_text(recipe.read_text() + "plugins: {require: [evil]}\n")
    done = pool("check", recipe, "--plugins", "fake,evil")
    assert (done.code, done.out) == (2, "")
    assert "red" in done.err
    assert not any(character in done.err for character in ACTING)
    assert "complete: every cell is ok" not in done.err.splitlines()
