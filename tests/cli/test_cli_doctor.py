"""``pool plugins doctor``: its table, its JSON and its exit codes."""

from __future__ import annotations

import pytest

import pool_core
from pool_core.doctor import diagnosis
from pool_core.testing.distributions import write_distribution


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a plugin. None is slow, whatever the machine is."""
    monkeypatch.setattr(diagnosis, "MOST_SECONDS", 1000.0)

    def write(name, source, **options):
        folder = tmp_path / "doctor-site"
        module = f"pool_{name}_for_doctor"
        write_distribution(
            folder,
            name=f"pool-{name}",
            entry_points={"pool_core.plugins.v1": {name: module}},
            modules={module: source},
            **{"requires": ["pool-core>=0.1"]} | options,
        )
        monkeypatch.syspath_prepend(str(folder))

    return write


def test_all_is_well(pool, install):
    install("fine", "")
    done = pool("plugins", "doctor", "--plugins", "fine")
    assert (done.code, done.err) == (0, "")
    (line,) = [line for line in done.out.splitlines() if "pool-fine 1.0" in line]
    assert [cell.strip() for cell in line.split("│")[1:5]] == ["fine", "active", "pool-fine 1.0", ">=0.1"]
    assert done.out.endswith(" 0 errors\n")


def test_a_broken_plugin_is_told_and_is_an_exit_code(pool, install):
    install("broken", "raise RuntimeError('a\\x1b[31mb')")
    done = pool("plugins", "doctor", "--plugins", "broken")
    assert (done.code, done.err) == (3, "")
    assert "✗ error: broken: pool-broken 1.0: RuntimeError: a" in done.out
    assert "\x1b" not in done.out
    assert "report it to the plugin's authors, or switch it off: --block broken" in done.out
    assert pool("plugins", "doctor", "--plugins", "broken", "--block", "broken").code == 0


def test_a_warning_is_no_exit_code(pool, install):
    install("unbound", "", requires=())
    done = pool("plugins", "doctor", "--plugins", "unbound")
    assert done.code == 0
    assert "! warning: unbound: pool-unbound 1.0 does not say which pool-core it needs" in done.out


def test_programs_get_json(pool, install):
    install("broken", "raise RuntimeError('boom')")
    install("fine", "from pool_core.api import hookimpl\n@hookimpl\ndef pool_run_started(run):\n    pass\n")
    done = pool("plugins", "doctor", "--json", "--plugins", "broken,fine")
    assert (done.code, done.err) == (3, "")
    found = done.json
    assert (found["version"], found["well"]) == (1, False)
    assert (found["core"]["version"], found["core"]["api"]) == (pool_core.__version__, 1)
    plugins = {plugin["name"]: plugin for plugin in found["plugins"] if plugin["state"] != "blocked"}
    assert set(plugins) == {"broken", "fine"}
    seconds = plugins["fine"].pop("import_seconds")
    assert seconds >= 0
    assert plugins["fine"] == {
        "name": "fine",
        "state": "active",
        "reason": "",
        "distribution": "pool-fine",
        "version": "1.0",
        "editable": False,
        "api": 1,
        "requires_core": ">=0.1",
        "heavy": [],
        "hooks": ["pool_run_started"],
        "offers": [],
    }
    assert found["findings"] == [
        {
            "level": "error",
            "rule": "plugin-failed",
            "source": "broken",
            "message": "pool-broken 1.0: RuntimeError: boom",
            "hint": "report it to the plugin's authors, or switch it off: --block broken",
        }
    ]


def test_a_plugin_that_is_not_there_is_an_error(pool):
    done = pool("plugins", "doctor", "--plugins", "nope")
    assert (done.code, done.err) == (
        2,
        "error: --plugins or POOL_PLUGINS: no plugin nope is installed\n  see `pool plugins list`\n",
    )
