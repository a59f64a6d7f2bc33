"""Public names: complete, in order, and all of them there."""

from __future__ import annotations

import ast
import inspect
import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

import pool_core

#: The modules that plugin authors import from, beside `pool_core` itself.
PUBLIC = [
    "pool_core.api",
    "pool_core.errors",
    "pool_core.interfaces.backend",
    "pool_core.interfaces.batch_backend",
    "pool_core.interfaces.cast",
    "pool_core.interfaces.config",
    "pool_core.interfaces.contract",
    "pool_core.interfaces.data",
    "pool_core.interfaces.encoding",
    "pool_core.interfaces.frozen",
    "pool_core.interfaces.isolation",
    "pool_core.interfaces.json_schema",
    "pool_core.interfaces.local_model",
    "pool_core.interfaces.model_types",
    "pool_core.interfaces.paths",
    "pool_core.interfaces.policy",
    "pool_core.interfaces.prompt_format",
    "pool_core.interfaces.structured",
    "pool_core.interfaces.task",
    "pool_core.interfaces.type_text",
    "pool_core.interfaces.types",
    "pool_core.interfaces.values",
    "pool_core.interfaces.yaml_text",
    "pool_core.registry",
    "pool_core.testing.distributions",
    "pool_core.testing.virtual_time",
]


def test_the_names_of_the_package_are_sorted_and_importable():
    assert pool_core.__all__ == sorted(pool_core.__all__)
    for name in pool_core.__all__:
        assert getattr(pool_core, name) is not None
    namespace = {}
    exec("from pool_core import *", namespace)
    assert set(pool_core.__all__) <= set(namespace)


def test_the_names_of_the_package_are_those_that_it_offers():
    assert set(pool_core.__all__) == {*pool_core._MODULES, "__version__"}
    for name, module in pool_core._MODULES.items():
        assert getattr(pool_core, name) is getattr(import_module(module), name)


def test_type_checkers_see_what_is_imported_later():
    tree = ast.parse(Path(pool_core.__file__).read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert seen == pool_core._MODULES


def test_a_name_that_is_none_is_an_attribute_error():
    with pytest.raises(AttributeError) as caught:
        _ = pool_core.Poool
    assert str(caught.value) == "module 'pool_core' has no attribute 'Poool'"
    with pytest.raises(ImportError, match="Poool"):
        exec("from pool_core import Poool", {})


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_module_lists_what_it_defines(name):
    module = import_module(name)
    assert len(set(module.__all__)) == len(module.__all__)
    assert [public for public in module.__all__ if not hasattr(module, public)] == []
    defined = {
        public
        for public, value in vars(module).items()
        if not public.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == name
    }
    assert defined <= set(module.__all__)


def test_what_is_public_of_the_interfaces_is_listed_here():
    folder = Path(pool_core.__file__).parent / "interfaces"
    modules = {f"pool_core.interfaces.{path.stem}" for path in folder.glob("*.py") if path.stem != "__init__"}
    assert modules <= set(PUBLIC)


def test_contributors_read_what_is_public():
    """Its packages, by the policy of what stays."""
    page = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    policy = page.partition("## What stays, and for how long")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(pool_core(?:\.\w+)?)`", policy))
    assert {".".join(module.split(".")[:2]) for module in PUBLIC} | {"pool_core"} <= named
    assert all(find_spec(module) for module in named)
