"""Which backends run in processes of their own, and what a recipe cannot say of it."""

from __future__ import annotations

import json

import pytest

from pool_core.api import Contribution, hookimpl
from pool_core.errors import PluginError, RecipeError
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.isolation import Isolation
from pool_core.isolation.backend import Isolated
from pool_core.isolation.devices import limit_devices
from pool_core.isolation.messages import describe_backend
from pool_core.plan.build import make_plan
from pool_core.plan.rows import MemoryRows
from pool_core.plan.schema import make_recipe_schema
from pool_core.recipe.load import load_recipe
from pool_core.testing.scripted import make_registry
from pool_core.testing.scripted_plugin import EchoBackend, ScriptedPlugin


class Entry:
    """The entry module of the plugin `bad`."""

    @hookimpl
    def pool_backends(self):
        yield Contribution("misbehaving", "pool_misbehaving:Misbehaving")
        yield Contribution("plain", "pool_misbehaving:Plain")
        yield Contribution("stray", "pool_misbehaving:Stray")


@pytest.fixture
def plan_backend(misbehaving, tmp_path):
    """The plan of the only member's backend, as a recipe file says it."""

    def plan(backend):
        registry = make_registry()
        registry.register(ScriptedPlugin(), "scripted")
        registry.register(Entry(), "bad")
        path = tmp_path / "recipe.yaml"
        member = f"{{name: a, task: scripted/echo, backend: {backend}}}"
        path.write_text(f"pool:\n  policies: []\n  members:\n    - {member}\n")
        recipe, source = load_recipe(path)
        rows = MemoryRows([{"text": "so"}], None)
        return make_plan(recipe, registry, source, rows).members[0].backend

    return plan


@pytest.mark.parametrize(
    ("backend", "isolation", "device"),
    [
        ("scripted/echo", None, None),
        ("{use: scripted/echo, isolate: false}", None, None),
        ("{use: scripted/echo, isolate: true}", Isolation(), None),
        ("{use: scripted/echo, device: 0}", Isolation(), "0"),
        ("{use: scripted/echo, device: cpu, isolate: {silence: 5}}", Isolation(silence=5), "cpu"),
        ("bad/plain", Isolation(), None),
        ("{use: bad/plain, isolate: false}", None, None),
        ("{use: bad/plain, isolate: {load_timeout: 9, restarts: 0}}", Isolation(load_timeout=9, restarts=0), None),
    ],
)
def test_the_recipe_decides_and_else_the_class(plan_backend, backend, isolation, device):
    plan = plan_backend(backend)
    assert (plan.isolation, plan.device) == (isolation, device)
    assert isinstance(plan.build(), Isolated) == (isolation is not None)


def test_a_backend_inside_of_another_has_a_process_of_its_own_where_the_outer_has_none(plan_backend):
    plan = plan_backend("{use: scripted/relay, backend: {use: scripted/echo, isolate: true, device: 1}}")
    assert plan.isolation is None
    assert (plan.inner["backend"].isolation, plan.inner["backend"].device) == (Isolation(), "1")
    assert isinstance(plan.build().inner, Isolated)


def test_where_the_outer_has_one_what_is_inside_runs_there(plan_backend):
    plan = plan_backend(
        "{use: scripted/relay, isolate: true, backend: bad/plain}".replace("bad/plain", "{use: bad/plain}")
    )
    assert plan.isolation == Isolation()
    assert plan.inner["backend"].isolation is None
    assert list(plan.describe_for_process().inner) == ["backend"]


INSIDE = (
    "`{}` stands inside of a backend that runs in a process of its own\n"
    "  write it beside the outer `use:`; what is inside runs in the same process"
)


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        (
            "{use: scripted/echo, isolate: maybe}",
            "pool.members[0].backend.isolate: give true, false, or a mapping such as {silence: 60}",
        ),
        (
            "{use: scripted/echo, isolate: {silence: 0}}",
            "pool.members[0].backend.isolate.silence: input should be greater than 0",
        ),
        (
            "{use: scripted/echo, isolate: {silense: 9}}",
            "pool.members[0].backend.isolate.silense: unknown key; did you mean 'silence'?",
        ),
        (
            "{use: scripted/echo, device: true}",
            "pool.members[0].backend.device: give `cpu`, a number as in `device: 0`, or several as in `device: 0,1`",
        ),
        (
            "{use: bad/plain, isolate: false, device: 0}",
            (
                "pool.members[0].backend.device: `device` says what a process of its own sees, and `isolate: false` "
                "that there is none\n  remove one of the two"
            ),
        ),
        (
            "{use: scripted/relay, isolate: true, backend: {use: scripted/echo, device: 0}}",
            f"pool.members[0].backend.backend.device: {INSIDE.format('device')}",
        ),
        (
            "{use: scripted/relay, device: 0, backend: {use: scripted/echo, isolate: true}}",
            f"pool.members[0].backend.backend.isolate: {INSIDE.format('isolate')}",
        ),
    ],
)
def test_what_a_recipe_cannot_say(plan_backend, tmp_path, backend, message):
    with pytest.raises(RecipeError) as caught:
        plan_backend(backend)
    assert str(caught.value) == f"{tmp_path / 'recipe.yaml'}:4: {message}"


def test_a_backend_that_no_other_process_can_make_is_refused_when_the_plan_is_made(
    plan_backend, misbehaving, monkeypatch, tmp_path
):
    class Stray(EchoBackend):
        pass

    monkeypatch.setattr(misbehaving, "Stray", Stray, raising=False)
    with pytest.raises(PluginError) as caught:
        plan_backend("{use: bad/stray, isolate: true}")
    name = "test_a_backend_that_no_other_process_can_make_is_refused_when_the_plan_is_made.<locals>.Stray"
    assert str(caught.value) == (
        f"{tmp_path / 'recipe.yaml'}:4: pool.members[0].backend: the backend bad/stray cannot run in a process of its "
        f"own: its class {name} cannot be imported there\n"
        "  define its class in a module, with a configuration of plain values, or write `isolate: false`"
    )


def test_a_configuration_that_json_does_not_carry_is_refused():
    class Config(PluginConfig):
        marks: bytes = b""
        secret: object = None

    with pytest.raises(PluginError, match="its configuration cannot be written as JSON and read again: "):
        describe_backend("x/y", EchoBackend, Config(secret=object()), {})


def test_the_schema_of_recipes_knows_the_keys():
    registry = make_registry()
    registry.register(ScriptedPlugin(), "scripted")
    document, problems = make_recipe_schema(registry)
    assert not problems
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(document)

    def accepts(backend):
        member = {"name": "a", "task": "echo", "backend": backend}
        return validator.is_valid(json.loads(json.dumps({"pool": {"members": [member]}})))

    assert accepts({"use": "echo", "isolate": True, "device": 0})
    assert accepts({"use": "echo", "isolate": {"silence": 5}, "device": "cuda:1"})
    assert accepts({"use": "relay", "backend": {"use": "echo", "device": "cpu"}})
    assert not accepts({"use": "echo", "isolate": {"silense": 5}})
    assert not accepts({"use": "echo", "isolate": "maybe"})


@pytest.mark.parametrize(
    ("device", "visible"),
    [("cpu", ""), ("0", "0"), ("cuda:1", "1"), ("0, cuda:2", "0,2"), ("GPU-8932f937", "GPU-8932f937")],
)
def test_each_maker_of_devices_has_its_variable(device, visible):
    environment = limit_devices({"PATH": "/bin", "CUDA_VISIBLE_DEVICES": "7"}, device)
    assert environment == {
        "PATH": "/bin",
        "CUDA_VISIBLE_DEVICES": visible,
        "HIP_VISIBLE_DEVICES": visible,
        "ZE_AFFINITY_MASK": visible,
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    }


def test_without_a_device_the_environment_stays():
    assert limit_devices({"CUDA_VISIBLE_DEVICES": "7"}, None) == {"CUDA_VISIBLE_DEVICES": "7"}
