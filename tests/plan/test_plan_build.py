"""Making a plan: what it holds, and where each error stands."""

from __future__ import annotations

import json

import pytest

from pool_core.errors import PluginError, PoolError, RecipeError, RowsError
from pool_core.interfaces.prompt_format import PromptFormat
from pool_core.plan.build import make_plan
from pool_core.plan.cells import make_prompt
from pool_core.plan.rows import MemoryRows
from pool_core.recipe.load import load_recipe
from pool_core.recipe.models import Member, PoolSpec, Recipe, Rows
from pool_core.testing.scripted import EchoTask, ScriptedBackend, make_registry
from pool_core.testing.scripted_plugin import EchoBackend, LinesFormat, RefusePolicy


def echo(name="a", **keys):
    return Member(name=name, **{"backend": "echo", "task": "echo", **keys})


def refuse(plan, *members, error=PoolError, **keys):
    with pytest.raises(error) as caught:
        plan(*members, **keys)
    return str(caught.value)


# What a plan holds


def test_a_member_is_resolved(plan):
    made = plan(
        echo(
            task={"use": "scripted/echo", "column": "prompt"},
            sampling={"temperature": 0.5, "seed": 3, "extra": {"best_of": 2}},
            inputs={"prompt": "text"},
            outputs={"answer": "said"},
        )
    )
    (member,) = made.members
    assert (member.index, member.name, member.task_name, member.backend.name) == (
        0,
        "a",
        "scripted/echo",
        "scripted/echo",
    )
    assert member.task.config.column == "prompt"
    assert (dict(member.sampling), member.seed) == ({"temperature": 0.5, "best_of": 2}, 3)
    assert made.signatures == (member.signature,)
    assert dict(member.signature.inputs) == {"prompt": "text"}
    assert dict(member.signature.sources) == {"answer": "said"}
    assert list(member.signature.columns) == ["text", "prompt"]
    assert member.signature.task_class is EchoTask


def test_a_plan_makes_no_backend_until_it_is_asked(plan, monkeypatch):
    monkeypatch.setattr(EchoBackend, "__init__", lambda *_: pytest.fail("made"))
    assert plan(echo()).members[0].backend.factory is EchoBackend


def test_ready_objects_stand_for_names(plan):
    backend, task = ScriptedBackend(lambda request: "yes"), EchoTask()
    (member,) = plan(Member(name="a", backend=backend, task=task)).members
    assert member.task is task
    assert member.backend.build() is backend
    assert (member.task_name, member.backend.name) == ("EchoTask", "ScriptedBackend")
    assert member.capabilities.seed


def test_provenance_names_the_plugins(plan):
    assert list(plan(echo()).provenance) == [
        {"name": "scripted", "distribution": "in-process", "version": "", "editable": False}
    ]


def test_a_plan_freezes_its_registry(plan, registry):
    plan(echo())
    with pytest.raises(PluginError, match="comes too late"):
        registry.register(object(), name="late")


def test_rows_of_the_recipe_are_read_relative_to_it(tmp_path, registry):
    (tmp_path / "rows.json").write_text(json.dumps([{"text": "from the file"}]))
    path = tmp_path / "recipe.yaml"
    path.write_text("rows: rows.json\npool:\n  policies: []\n  members:\n    - {name: a, backend: echo, task: echo}\n")
    made = make_plan(*load_and_register(path, registry))
    assert made.sample == [{"text": "from the file"}]
    assert made.rows.name == str(tmp_path / "rows.json")
    assert made.folder == tmp_path


def load_and_register(path, registry):
    recipe, source = load_recipe(path)
    return recipe, registry, source


def test_given_rows_stand_for_those_of_the_recipe(registry):
    recipe = Recipe(rows=Rows(path="nowhere.json"), pool=PoolSpec(members=(echo(),), policies=()))
    assert make_plan(recipe, registry, rows=MemoryRows([{"text": "x"}], None)).sample == [{"text": "x"}]


def test_the_plan_assigns(plan):
    assert plan(echo("a"), echo("b"), samples=4).assign(0, "id", {}) == b"\2\2"


# Sampling


def test_the_stop_strings_of_a_format_are_sent_unless_the_recipe_has_its_own(plan):
    text = {"use": "echo", "takes": "text"}
    assert plan(echo(backend=text, prompt_format="lines")).members[0].sampling == {"stop": ["user:"]}
    own = echo(backend=text, prompt_format="lines", sampling={"stop": ["END"]})
    assert plan(own).members[0].sampling == {"stop": ["END"]}
    unable = plan(echo(backend={**text, "stop": False}, prompt_format="lines"))
    assert (unable.members[0].sampling, unable.findings) == ({}, ())


def test_a_seed_under_extra_is_sent_as_it_is(plan):
    (member,) = plan(echo(sampling={"extra": {"seed": "random"}})).members
    assert (member.sampling, member.seed) == ({"seed": "random"}, None)


# Names


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (
            {"task": "ecko"},
            "pool.members[0].task.use: there is no task named 'ecko'\n  did you mean 'echo' (in-process)?",
        ),
        (
            {"task": "haiku"},
            "pool.members[0].task.use: there is no task named 'haiku'\n  known: code, echo",
        ),
        (
            {"backend": {"use": "realy"}},
            "pool.members[0].backend.use: there is no backend named 'realy'\n  did you mean 'relay' (in-process)?",
        ),
        (
            {"backend": {"use": "relay", "backend": {"use": "ech"}}},
            "pool.members[0].backend.backend.use: there is no backend named 'ech'\n  did you mean 'echo' (in-process)?",
        ),
        (
            {"prompt_format": "line"},
            (
                "pool.members[0].prompt_format.use: there is no prompt format named 'line'\n"
                "  did you mean 'lines' (in-process)?"
            ),
        ),
    ],
    ids=["close", "far", "backend", "inner", "format"],
)
def test_an_unknown_name_stands_at_its_place(plan, keys, text):
    assert refuse(plan, echo(**keys), error=PluginError) == text


def test_an_unknown_policy_stands_at_its_place(plan):
    text = refuse(plan, echo(), policies=("refuse", "refused"), error=PluginError)
    assert text == ("pool.policies[1].use: there is no policy named 'refused'\n  did you mean 'refuse' (in-process)?")


def test_an_unknown_ending_stands_at_its_place(plan):
    text = refuse(plan, echo(), output={"path": "out.xlsx"}, error=PluginError)
    assert text == "output: no writer answers for '.xlsx' files\n  known endings: .json. Or name it: writer: jsonl"


def test_without_plugins_the_standard_ones_are_named(registry):
    recipe = Recipe(pool=PoolSpec(members=(echo(),), policies=()))
    with pytest.raises(PluginError) as error:
        make_plan(recipe, make_registry())
    assert str(error.value) == (
        "pool.members[0].task.use: there is no task named 'echo'\n"
        "  no installed plugin offers any; the standard ones are pool-standard, pool-replay and pool-openai"
    )


def test_a_required_plugin_that_is_missing_stops_the_plan(registry):
    recipe = Recipe(pool=PoolSpec(members=(echo(),), policies=()), plugins={"require": ["pool-haiku>=1"]})
    with pytest.raises(PluginError, match="'pool-haiku>=1' is not installed"):
        make_plan(recipe, registry)


def test_a_place_in_a_file_has_its_line(tmp_path, registry):
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "pool:\n  policies: []\n  members:\n    - name: a\n      backend: echo\n      task:\n        use: ecko\n"
    )
    with pytest.raises(PluginError) as error:
        make_plan(*load_and_register(path, registry))
    assert error.value.where == f"{path}:7: pool.members[0].task.use"


# Options


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (
            {"task": {"use": "echo", "colum": "x"}},
            "pool.members[0].task.colum: unknown key; did you mean 'column'?",
        ),
        ({"task": {"use": "echo", "column": 5}}, "pool.members[0].task.column: must be text"),
        (
            {"backend": {"use": "echo", "takes": "voice"}},
            "pool.members[0].backend.takes: must be 'chat' or 'text'",
        ),
        ({"backend": "relay"}, "pool.members[0].backend.backend: this key is missing"),
        (
            {"backend": {"use": "relay", "backend": {"use": "echo", "takes": 1}}},
            "pool.members[0].backend.backend.takes: must be 'chat' or 'text'",
        ),
        (
            {"backend": {"use": "relay", "backend": {"use": "relay", "backend": {"use": "echo", "modle": "m"}}}},
            "pool.members[0].backend.backend.backend.modle: unknown key; did you mean 'model'?",
        ),
    ],
)
def test_a_wrong_option_stands_at_its_place(plan, keys, text):
    assert refuse(plan, echo(**keys), error=RecipeError) == text


def test_wrong_options_of_policies_and_writers_stand_at_their_place(plan):
    text = refuse(plan, echo(), policies=("refuse", {"use": "refuse", "massage": ""}), error=RecipeError)
    assert text == "pool.policies[1].massage: unknown key; did you mean 'message'?"
    text = refuse(plan, echo(), output={"path": "out.json", "indent": 2}, error=RecipeError)
    assert text == "output.indent: unknown key"


def test_a_nested_backend_is_resolved_and_validated(plan):
    inner = {"use": "echo", "model": "deep", "takes": "text"}
    made = plan(echo(backend={"use": "relay", "backend": {"use": "relay", "backend": inner}}, prompt_format="lines"))
    (member,) = made.members
    assert made.findings == ()
    assert member.capabilities.takes == "text"
    assert member.backend.inner["backend"].inner["backend"].config.model == "deep"
    built = member.backend.build()
    assert built.inner.inner.config.takes == "text"
    assert built.model == "deep"


def test_a_plugin_that_cannot_be_made_is_named(plan, monkeypatch):
    def fail(self, config):
        raise ValueError("no luck")

    monkeypatch.setattr(EchoTask, "__init__", fail)
    text = refuse(plan, echo(), error=RecipeError)
    assert text == "pool.members[0].task: the task scripted/echo cannot be made: no luck"


def raise_key_error(*_):
    raise KeyError("x")


@pytest.mark.parametrize(
    ("factory", "attribute", "text"),
    [
        (EchoTask, "inputs", "pool.members[0].task: the task scripted/echo broke: KeyError: 'x'"),
        (EchoTask, "output", "pool.members[0].task: the task scripted/echo broke: KeyError: 'x'"),
        (EchoTask, "input_types", "pool.members[0].task: the task scripted/echo broke: KeyError: 'x'"),
        (EchoTask, "input_paths", "pool.members[0].task: the task scripted/echo broke: KeyError: 'x'"),
        (EchoBackend, "capabilities", "pool.members[0].backend: the backend scripted/echo broke: KeyError: 'x'"),
    ],
)
def test_a_plugin_that_breaks_while_it_is_looked_at_is_named(plan, monkeypatch, factory, attribute, text):
    broken = classmethod(raise_key_error) if attribute == "capabilities" else property(raise_key_error)
    monkeypatch.setattr(factory, attribute, broken)
    assert refuse(plan, echo(), error=RecipeError) == text


def test_a_plugin_without_configuration_is_named(plan, monkeypatch):
    monkeypatch.delattr(EchoTask, "Config")
    assert refuse(plan, echo(), error=PluginError) == (
        "pool.members[0].task.use: the task scripted/echo of in-process has no configuration: "
        "pool_core.testing.scripted:EchoTask must have a class attribute Config, a pydantic model\n"
        "  derive it from pool_core.interfaces.config.PluginConfig; it may be empty"
    )


def test_a_plugin_that_cannot_be_imported_stands_at_its_place(plan, monkeypatch):
    monkeypatch.setattr("pool_core.testing.scripted_plugin.JsonWriter", object)
    text = refuse(plan, echo(), output={"path": "out.json"}, error=PluginError)
    assert text == (
        "output: the writer scripted/json of in-process is no Writer: "
        "pool_core.testing.scripted_plugin:JsonWriter must derive from it"
    )


# Objects


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (
            {"task": ScriptedBackend(lambda request: "")},
            "pool.members[0].task: a ScriptedBackend is no task: it must derive from Task",
        ),
        ({"backend": EchoTask()}, "pool.members[0].backend: a EchoTask is no backend: it must derive from Backend"),
        (
            {"prompt_format": EchoTask()},
            "pool.members[0].prompt_format: a EchoTask is neither a prompt format nor a function",
        ),
    ],
)
def test_an_object_of_the_wrong_kind_is_refused(plan, keys, text):
    assert refuse(plan, echo(**keys), error=RecipeError) == text


@pytest.mark.parametrize(
    ("key", "factory"), [("task", EchoTask), ("backend", EchoBackend), ("prompt_format", LinesFormat)]
)
def test_a_class_in_the_place_of_an_object_is_refused(plan, key, factory):
    name = factory.__name__
    assert refuse(plan, echo(**{key: factory}), error=RecipeError) == (
        f"pool.members[0].{key}: the class {name} stands where an object is needed\n  make one: {name}(...)"
    )


def test_a_class_in_the_place_of_a_policy_is_refused(plan):
    text = refuse(plan, echo(), policies=(RefusePolicy,), error=RecipeError)
    assert text.startswith("pool.policies[0]: the class RefusePolicy stands where an object is needed")


def test_an_object_that_is_no_policy_is_refused(plan):
    text = refuse(plan, echo(), policies=(EchoTask(),), error=RecipeError)
    assert text == "pool.policies[0]: a EchoTask is neither a policy nor a function"


def test_policies_can_be_objects_and_functions(plan):
    policy = RefusePolicy(RefusePolicy.Config(message="object"))
    made = plan(echo(), policies=(policy, lambda members: None))
    assert [(found.message, found.source) for found in made.findings] == [("object", "RefusePolicy")]


def test_prompt_formats_can_be_objects_and_functions(plan):
    text = {"use": "echo", "takes": "text"}
    row = {"text": "hi"}
    ready = plan(echo(backend=text, prompt_format=LinesFormat(LinesFormat.Config())), rows=[row])
    assert make_prompt(ready.members[0], row).text == "user: hi\nassistant:"
    plain = plan(echo(backend=text, prompt_format=lambda messages: f"<{messages[0].content}>"), rows=[row])
    assert make_prompt(plain.members[0], row).text == "<hi>"
    assert plain.findings == ()
    assert isinstance(plain.members[0].prompt_format, PromptFormat)


# Rows and expressions


def test_no_rows(plan):
    assert refuse(plan, echo(), rows=[], error=RowsError) == "rows: there are no rows\n  a run needs at least one"


def test_an_id_column_that_no_row_has(plan):
    text = refuse(plan, echo(), rows=[{"text": "a", "n": 1}], id_column="id", error=RowsError)
    assert text == "rows: there is no column 'id'\n  it has: text, n"


def test_an_expression_that_cannot_be_compiled_stands_at_its_place(plan):
    with pytest.raises(RecipeError) as error:
        plan(echo(when="source =="), assign="routed")
    assert error.value.where == "pool.members[0].when"
