"""``--locked``: a run and a check with the plugins that the last run noted, and with no others."""

from __future__ import annotations

import json

import pytest

import pool_core
from pool_core.testing.distributions import write_distribution

QUIET = "from pool_core.api import hookimpl\n"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a plugin that offers nothing, or another version of it."""

    def write(name, version="1.0", **options):
        folder = tmp_path / f"{name}-{version}"
        write_distribution(
            folder,
            name=f"pool-{name}",
            version=version,
            entry_points={"pool_core.plugins.v1": {name: f"pool_{name}_{version.replace('.', '_')}"}},
            modules={f"pool_{name}_{version.replace('.', '_')}": QUIET},
            **options,
        )
        monkeypatch.syspath_prepend(str(folder))

    return write


@pytest.fixture
def manifest(tmp_path):
    return tmp_path / "runs" / "recipe" / "plan.json"


def use_plugins(monkeypatch, *names):
    monkeypatch.setenv("POOL_PLUGINS", ",".join(names))


def test_the_same_set_runs_and_checks(pool, recipe):
    assert pool("run", recipe).code == 0
    assert pool("run", recipe, "--locked").code == 0
    assert pool("run", recipe, "--locked", "--dry-run").code == 0
    assert pool("check", recipe, "--locked").code == 0


def test_a_run_notes_its_plugins(pool, recipe, manifest):
    pool("run", recipe)
    noted = json.loads(manifest.read_text())
    assert noted["pool_core"] == pool_core.__version__
    assert noted["plugins"] == [{"name": "fake", "distribution": "pool-fake", "version": "1.0", "editable": False}]


@pytest.mark.parametrize("command", [("run",), ("run", "--dry-run"), ("check",), ("check", "--json")])
def test_other_plugins_are_refused_and_told(pool, recipe, manifest, monkeypatch, install, command):
    install("gone")
    install("other", "1.0")
    install("broken")
    use_plugins(monkeypatch, "fake", "gone", "other", "broken")
    assert pool("run", recipe).code == 0
    before = manifest.read_text()
    install("other", "2.0")
    install("new", editable=True)
    use_plugins(monkeypatch, "fake", "other", "new", "broken")
    done = pool(*command, recipe, "--locked", "--block", "broken")
    assert (done.code, done.err) == (
        2,
        (
            f"error: {manifest}: the plugins are not those that the run was made with:\n"
            "    broken: pool-broken 1.0 in the run, blocked: blocked by --block or the recipe\n"
            "    gone: pool-gone 1.0 in the run, blocked: not among the plugins that --plugins or POOL_PLUGINS names\n"
            "    new: not in the run, pool-new 1.0 (editable) here\n"
            "    other: pool-other 1.0 in the run, pool-other 2.0 here\n"
            "  to have them back: pip install pool-broken==1.0 "
            f"pool-core=={pool_core.__version__} pool-fake==1.0 pool-gone==1.0 pool-other==1.0\n"
            "  to leave out what is new: --block new\n"
            "  to go on with the plugins that are here: leave --locked out, and the run notes them\n"
        ),
    )
    assert manifest.read_text() == before
    if "--json" in command:
        assert done.json["error"]["where"] == str(manifest)


def test_another_core_is_another_set(pool, recipe, manifest):
    pool("run", recipe)
    noted = json.loads(manifest.read_text()) | {"pool_core": "0.0.7"}
    manifest.write_text(json.dumps(noted))
    done = pool("check", recipe, "--locked")
    assert done.code == 2
    assert f"    pool-core: 0.0.7 in the run, {pool_core.__version__} here\n" in done.err
    assert "pip install pool-core==0.0.7 pool-fake==1.0\n" in done.err


def test_a_plugin_of_a_checkout_and_one_of_an_index_differ(pool, recipe, manifest):
    pool("run", recipe)
    noted = json.loads(manifest.read_text())
    noted["plugins"][0]["editable"] = True
    noted["plugins"].append({"name": "own", "distribution": "in-process", "version": "", "editable": False})
    manifest.write_text(json.dumps(noted))
    done = pool("check", recipe, "--locked")
    assert "    fake: pool-fake 1.0 (editable) in the run, pool-fake 1.0 here\n" in done.err
    assert "    own: in-process in the run, not installed\n" in done.err
    assert f"  to have them back: pip install pool-core=={pool_core.__version__}\n" in done.err


def test_without_a_run_there_is_nothing_to_compare(pool, recipe, manifest):
    done = pool("run", recipe, "--locked")
    assert (done.code, done.err) == (
        2,
        (
            f"error: {manifest}: there is no run whose plugins could be compared\n"
            "  run once without --locked: the run notes its plugins. Or name another run: --run-dir DIR\n"
        ),
    )
    assert not manifest.parent.exists()


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"plugins": [{"name": "x"}], "pool_core": "1"}', '{"plugins": 3}'])
def test_a_broken_manifest_is_told(pool, recipe, manifest, text):
    manifest.parent.mkdir(parents=True)
    manifest.write_text(text)
    done = pool("check", recipe, "--locked")
    assert done.code == 2
    assert done.err.startswith(f"error: {manifest}: the plugins of the run cannot be read: ")
    assert done.err.endswith("\n  run once without --locked to write the file anew\n")


def test_another_run_can_be_compared_with(pool, recipe, tmp_path):
    pool("run", recipe, "--run-dir", tmp_path / "mine")
    assert pool("check", recipe, "--locked", "--run-dir", tmp_path / "mine").code == 0
    assert pool("check", recipe, "--locked").code == 2
    done = pool("check", recipe, "--run-dir", tmp_path / "mine")
    assert (done.code, done.err) == (
        2,
        "error: --run-dir is the run that --locked compares with\n  give --locked too\n",
    )
