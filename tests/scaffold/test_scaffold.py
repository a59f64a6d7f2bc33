"""What `pool new plugin` writes: names, files, and what it refuses."""

from __future__ import annotations

import ast
import importlib
import re
import tomllib

import pytest

from pool_core.errors import UsageError
from pool_core.interfaces.backend import Backend
from pool_core.recipe.yaml_source import read_yaml
from pool_core.registry import Record
from pool_core.scaffold.plugin import KINDS, NewPlugin, name_plugin, write_plugin

HINT = "small letters, digits and single hyphens, a letter first, 40 at most, such as `haiku`"


def test_the_names_follow_from_one():
    plugin = name_plugin("pool-text-quality", "task", [])
    assert plugin == NewPlugin("text-quality", "task")
    assert (plugin.distribution, plugin.package, plugin.class_name) == (
        "pool-text-quality",
        "pool_text_quality",
        "TextQuality",
    )


@pytest.mark.parametrize("name", ["", "pool-", "A", "a b", "a--b", "a-", "-a", "9a", "a_b", "ä", "../x", "a" * 41])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(UsageError) as caught:
        name_plugin(name, "task", [])
    assert str(caught.value) == f"{name!r} is no name of a plugin\n  {HINT}"


def test_a_name_that_is_taken_is_refused():
    record = Record("haiku", "acme_haiku", "acme-haiku", "2.0", 1)
    with pytest.raises(UsageError) as caught:
        name_plugin("haiku", "task", [record])
    assert str(caught.value) == (
        "the plugin name 'haiku' is taken by acme-haiku 2.0\n"
        "  choose another name: of two plugins with one name neither is loaded"
    )


def test_a_package_that_is_there_is_refused():
    with pytest.raises(UsageError) as caught:
        name_plugin("core", "task", [])
    assert str(caught.value) == "the package 'pool_core' is there already\n  choose another name"


def test_nothing_is_overwritten(tmp_path):
    plugin = NewPlugin("zz", "task")
    (tmp_path / "pool-zz").mkdir()
    with pytest.raises(UsageError) as caught:
        write_plugin(plugin, tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'pool-zz'}: it is there already, and nothing is overwritten\n"
        "  choose another name, or another place: --into DIR"
    )
    assert list((tmp_path / "pool-zz").iterdir()) == []


def test_a_place_that_is_no_folder_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError) as caught:
        write_plugin(NewPlugin("zz", "task"), tmp_path / "file")
    assert str(caught.value) == (
        f"{tmp_path / 'file' / 'pool-zz'}: it cannot be written: Not a directory\n  choose another place: --into DIR"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_written_whole(tmp_path, kind):
    folder, files = write_plugin(NewPlugin("zz-new", kind), tmp_path)
    assert folder == tmp_path / "pool-zz-new"
    assert sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file()) == sorted(files)
    for path in files:
        text = (folder / path).read_text()
        assert "$" not in text, path
        assert ".template" not in str(path)
        if path.suffix == ".py":
            compile(text, str(path), "exec")
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["entry-points"] == {"pool_core.plugins.v1": {"zz-new": "pool_zz_new"}}
    assert project["dependencies"] == ["pool-core>=0.1,<0.2"]
    read_yaml((folder / "example" / "recipe.yaml").read_text(), folder / "example" / "recipe.yaml")


@pytest.mark.parametrize("kind", ["task", "backend", "policy"])
def test_the_conformance_class_is_short(tmp_path, kind):
    folder, _ = write_plugin(NewPlugin("zz", kind), tmp_path)
    text = (folder / "pool_zz" / "conformance.py").read_text()
    body = text[text.index("\nclass ") + 1 :].strip().splitlines()
    assert len(body) < 10, body


def test_the_command_says_what_it_wrote(tmp_path, capsys):
    from pool_core.cli import main

    with pytest.raises(SystemExit) as ended:
        main.run(["new", "plugin", "zz", "--kind", "hook", "--into", str(tmp_path)])
    out = capsys.readouterr().out
    assert ended.value.code == 0
    assert out.startswith(f"{tmp_path / 'pool-zz'}: a hook named zz\n  .gitignore\n")
    assert out.endswith(
        f'next: cd {tmp_path / "pool-zz"}; pip install -e ".[test]"; pytest; pool run example/recipe.yaml\n'
    )
    with pytest.raises(SystemExit) as ended:
        main.run(["new", "plugin", "zz", "--into", str(tmp_path)])
    assert ended.value.code == 2
    assert "nothing is overwritten" in capsys.readouterr().err


def test_a_class_never_takes_the_place_of_what_its_module_imports(tmp_path):
    for kind in KINDS:
        folder, files = write_plugin(NewPlugin("zz", kind), tmp_path / kind)
        modules = [ast.parse((folder / file).read_text()) for file in files if file.suffix == ".py"]
        imports = [node for module in modules for node in ast.walk(module) if isinstance(node, ast.ImportFrom)]
        names = {alias.name for node in imports for alias in node.names if alias.name[0].isupper()}
        for name in names - {"TYPE_CHECKING", "TestZz"}:
            spelt = re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()
            assert NewPlugin(spelt, kind).class_name == f"My{name}"


@pytest.mark.parametrize("name", ["none", "answer"])
def test_a_plugin_of_an_odd_name_can_be_imported(tmp_path, monkeypatch, name):
    folder, _ = write_plugin(NewPlugin(name, "backend"), tmp_path)
    monkeypatch.syspath_prepend(folder)
    module = importlib.import_module(f"pool_{name}.backend")
    assert issubclass(getattr(module, f"My{name.capitalize()}"), Backend)
