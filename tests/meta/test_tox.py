"""Every plugin of this repository is tested, typed and built: what tox.ini lacks of one is told, line by line."""

from __future__ import annotations

import configparser
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
GROUP = "pool_core.plugins.v1"
#: Not installed beside the others, since its dependencies shut theirs out: it has an environment of its own.
APART = {"litellm"}


def read_tox():
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string((ROOT / "tox.ini").read_text(encoding="utf-8"))
    return parser


def find_plugins():
    """The name of each plugin, to its folder and its package."""
    for path in [*ROOT.glob("plugins/*/pyproject.toml"), *ROOT.glob("examples/*/pyproject.toml")]:
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        for name, package in project["entry-points"][GROUP].items():
            yield name, path.parent.relative_to(ROOT).as_posix(), package


def list_missing(tox, name, folder, package):
    """The places of tox.ini that do not know the plugin, each with what to write there."""
    expected = re.search(r"all: POOL_EXPECT_PLUGINS = (.*)", tox["testenv"]["set_env"])[1].split()
    if name not in expected:
        yield f"[testenv] set_env, all: POOL_EXPECT_PLUGINS: {name}"
    if not re.search(rf"{folder}/{package}\b", tox["testenv:type"]["commands"]):
        yield f"[testenv:type] commands: {folder}/{package}"
    if name in APART:
        return
    isolated = tox["plugins"]["isolated"]
    if name not in re.split("[{},]", isolated):
        yield f"[plugins] isolated: {name}"
    section = f"testenv:{isolated}"
    if not tox.has_section(section):
        yield f"the section of the isolated environments is to be [{section}]"
        return
    lines = tox[section]["set_env"].splitlines()
    wanted = [f"{name}: POOL_EXPECT_PLUGINS = {name}", f"{name}: PLUGIN = {{tox_root}}/{folder}"]
    yield from (f"[{section}] set_env: {line}" for line in wanted if line not in lines)
    installed = " ".join(tox["plugins"][part] for part in ("standard", "light", "all"))
    if f"{{tox_root}}/{folder}" not in installed.split():
        yield f"[plugins] light, or all where its dependencies are heavy: {{tox_root}}/{folder}"


def test_every_plugin_is_in_every_environment_that_it_is_for():
    tox = read_tox()
    plugins = list(find_plugins())
    assert len(plugins) > len(APART)
    assert [missing for plugin in plugins for missing in list_missing(tox, *plugin)] == []


def test_what_is_missing_of_a_plugin_is_told_line_by_line():
    missing = list(list_missing(read_tox(), "new", "plugins/pool-new", "pool_new"))
    isolated = read_tox()["plugins"]["isolated"]
    assert missing == [
        "[testenv] set_env, all: POOL_EXPECT_PLUGINS: new",
        "[testenv:type] commands: plugins/pool-new/pool_new",
        "[plugins] isolated: new",
        f"[testenv:{isolated}] set_env: new: POOL_EXPECT_PLUGINS = new",
        f"[testenv:{isolated}] set_env: new: PLUGIN = {{tox_root}}/plugins/pool-new",
        "[plugins] light, or all where its dependencies are heavy: {tox_root}/plugins/pool-new",
    ]


def test_the_gate_runs_every_isolated_environment():
    tox = read_tox()
    assert "{[plugins]isolated}" in tox["tox"]["env_list"]
    assert re.search(r"gate = .*\{\[plugins\]isolated\}", tox["tox"]["labels"])
