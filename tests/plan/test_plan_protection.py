"""What policies and hooks see cannot be changed: a check may not decide what others judge, or what is run."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import BaseModel, Field

from pool_core.api import Contribution, hookimpl
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.frozen import FrozenDict, FrozenList, freeze
from pool_core.interfaces.prompt_format import PromptFormat
from pool_core.interfaces.types import ANY
from pool_core.interfaces.values import Capabilities, Finding
from pool_core.plan.build import make_plan
from pool_core.plan.rows import FileRows, MemoryRows
from pool_core.recipe.models import Member, PoolSpec, Recipe
from pool_core.recipe.yaml_source import Source
from pool_core.testing.scripted import EchoConfig, EchoTask
from pool_core.testing.scripted_plugin import EchoBackend, JsonReader


def echo(name="a", **keys):
    return Member(name=name, **{"backend": "echo", "task": "echo", **keys})


class ListConfig(EchoConfig):
    parts: list[str] = Field(["a"])


class OpenConfig(PluginConfig):
    extra: dict[str, str]


class ListTask(EchoTask):
    """A task with a list in its configuration."""

    Config: ClassVar[type[BaseModel]] = ListConfig


class ListFormat(PromptFormat):
    """A prompt format with a list in its configuration."""

    Config: ClassVar[type[BaseModel]] = ListConfig

    def format(self, messages):
        return "".join(message.content for message in messages)


class OpenBackend(EchoBackend):
    """A backend with a mapping in its configuration."""

    Config: ClassVar[type[BaseModel]] = OpenConfig

    @classmethod
    def capabilities(cls, config, inner):
        return Capabilities()


def test_a_policy_cannot_change_what_others_judge(plan):
    def meddle(members):
        for change in (
            members[0].outputs.clear,
            lambda: members[0].sources.update(said="x"),
            lambda: members[0].inputs.pop("text"),
            lambda: members[0].fields.setdefault("x", ANY),
            lambda: members[0].adapters["constant"]["x"].append(2),
            members[0].columns.popitem,
        ):
            with pytest.raises(TypeError, match=r"^this is read-only; change a copy: "):
                change()

    made = plan(echo(constant={"x": [1]}), policies=(meddle,))
    assert made.findings == ()


def test_a_hook_cannot_change_the_plan(registry):
    class Meddler:
        @hookimpl
        def pool_backends(self):
            yield Contribution("open", f"{__name__}:OpenBackend")

        @hookimpl
        def pool_check_compatibility(self, plan):
            for change in (
                lambda: plan.sample[0].update(text="y"),
                lambda: plan.sample[0]["list"].append(1),
                lambda: plan.members[0].sampling.update(temperature=9),
                plan.members[0].adapter.sources.clear,
                lambda: plan.members[0].adapter.constants["x"].append(1),
                plan.members[0].signature.outputs.clear,
                lambda: plan.members[0].backend.config.extra.update(x=1),
                lambda: plan.schema.update(x=ANY),
                plan.columns.clear,
                lambda: plan.recipe.pool.findings.silence.update(refused="never mind"),
                plan.recipe.pool.members[0].sampling.extra.clear,
                plan.recipe.pool.members[0].backend.model_extra["extra"].clear,
                plan.source.lines.clear,
                plan.provenance[0].clear,
            ):
                with pytest.raises(TypeError, match=r"^this is read-only; change a copy: "):
                    change()
            with pytest.raises(AttributeError):
                plan.sample.clear()
            assert deepcopy(plan.recipe) == plan.recipe
            return [Finding("error", "refused", "so it is")]

    registry.register(Meddler(), name="meddler")
    member = echo(sampling={"temperature": 1}, constant={"x": [1]}, backend={"use": "open", "extra": {"header": "x"}})
    pool = PoolSpec(members=(member,), policies=())
    row = {"text": "x", "list": []}
    made = make_plan(Recipe(pool=pool), registry, Source(Path("recipe.yaml"), {(): 1}), MemoryRows([row], None))
    assert [finding.rule for finding in made.findings] == ["refused"]
    assert not made.compatible
    assert (made.sample, dict(made.members[0].sampling)) == ([row], {"temperature": 1})


def check_with(registry, check, rows, **keys):
    """The plan of one member after a hook that tries its ``check`` on it."""

    class Meddler:
        @hookimpl
        def pool_check_compatibility(self, plan):
            check(plan)

    registry.register(Meddler(), name="meddler")
    made = make_plan(Recipe(pool=PoolSpec(members=(echo(**keys),), policies=())), registry, rows=rows)
    assert made.findings == ()
    return made


def test_a_hook_cannot_change_the_rows_that_python_gave(registry):
    given = [{"text": "x", "list": [1]}]

    def meddle(plan):
        assert (plan.rows.name, plan.rows.id_column, plan.rows.read_schema()) == ("rows", "text", None)
        assert plan.rows.read_stamp() is None
        ((place, row),) = plan.rows.read()
        assert (place, row) == ("row 1", given[0])
        for change in (row.clear, row["list"].clear):
            with pytest.raises(TypeError, match=r"^this is read-only"):
                change()
        with pytest.raises(AttributeError):
            plan.rows.rows.clear()
        with pytest.raises((AttributeError, TypeError)):
            plan.rows.name = "other"

    made = check_with(registry, meddle, MemoryRows(given, "text"))
    assert list(made.rows.read()) == [("row 1", {"text": "x", "list": [1]})]


def test_a_hook_cannot_have_another_file_read(registry, tmp_path):
    path = tmp_path / "rows.json"
    path.write_text('[{"text": "x"}]')
    reader = JsonReader(path, JsonReader.Config())

    def meddle(plan):
        assert plan.rows.name == str(path)
        with pytest.raises(AttributeError):
            plan.rows.reader.path = tmp_path / "other.json"

    made = check_with(registry, meddle, FileRows(reader, None))
    assert made.rows.reader is reader
    assert reader.path == path


def test_a_hook_cannot_change_how_tasks_and_prompt_formats_are_configured(registry):
    task, prompt_format = ListTask(ListConfig()), ListFormat(ListConfig())

    def meddle(plan):
        for part in (plan.members[0].task, plan.members[0].prompt_format):
            with pytest.raises(TypeError, match=r"^this is read-only"):
                part.config.parts.append("b")
            part.config = None

    made = check_with(
        registry,
        meddle,
        MemoryRows([{"text": "x"}], None),
        task=task,
        prompt_format=prompt_format,
        backend={"use": "echo", "takes": "text"},
    )
    assert (made.members[0].task, made.members[0].prompt_format) == (task, prompt_format)
    assert task.config.parts == prompt_format.config.parts == ["a"]


def test_what_is_frozen_reads_like_what_it_was():
    value = {"a": [1, {"b": (1, [2])}], "c": {"d"}}
    frozen = freeze(value)
    assert frozen == value
    assert (type(frozen), type(frozen["a"]), type(frozen["c"])) == (FrozenDict, FrozenList, frozenset)
    assert freeze(frozen) is frozen
    copied = deepcopy(frozen)
    assert (copied, type(copied), type(copied["a"])) == (value, dict, list)
    copied["a"].append(3)
    assert len(frozen["a"]) == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda d, _l: d.__setitem__("a", 1),
        lambda d, _l: d.__delitem__("a"),
        lambda d, _l: d.__ior__({"a": 1}),
        lambda d, _l: d.clear(),
        lambda d, _l: d.pop("a"),
        lambda d, _l: d.popitem(),
        lambda d, _l: d.setdefault("b", 1),
        lambda d, _l: d.update(b=1),
        lambda _d, l: l.__setitem__(0, 1),  # noqa: E741
        lambda _d, l: l.__delitem__(0),  # noqa: E741
        lambda _d, l: l.__iadd__([1]),  # noqa: E741
        lambda _d, l: l.__imul__(2),  # noqa: E741
        lambda _d, l: l.append(1),  # noqa: E741
        lambda _d, l: l.clear(),  # noqa: E741
        lambda _d, l: l.extend([1]),  # noqa: E741
        lambda _d, l: l.insert(0, 1),  # noqa: E741
        lambda _d, l: l.pop(),  # noqa: E741
        lambda _d, l: l.remove(1),  # noqa: E741
        lambda _d, l: l.reverse(),  # noqa: E741
        lambda _d, l: l.sort(),  # noqa: E741
    ],
)
def test_what_is_frozen_refuses_every_change(change):
    mapping, items = freeze({"a": 1}), freeze([1, 2])
    with pytest.raises(TypeError, match=r"^this is read-only; change a copy: (dict|list)\(...\)$"):
        change(mapping, items)
    assert (mapping, items) == ({"a": 1}, [1, 2])
