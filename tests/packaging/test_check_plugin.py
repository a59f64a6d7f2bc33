"""`pool plugins check` and its exit codes, for plugins that do not pass."""

from __future__ import annotations

import pytest

for module in ("hatchling", "hypothesis", "jsonschema"):
    pytest.importorskip(module)

#: A policy that nobody has looked at: no conformance class, no example.
UNSEEN = """
from pool_core.api import Contribution, hookimpl

@hookimpl
def pool_policies():
    yield Contribution("unseen", "pool_unseen.policy:Unseen", "Accepts all.")
"""


@pytest.fixture(scope="module", autouse=True)
def installed(install):
    install("pool-unseen", UNSEEN)
    install("pool-raises", "raise RuntimeError('boom')")


def test_a_check_that_fails_is_exit_code_3(run_pool):
    done = run_pool("plugins", "check", "unseen")
    assert done.returncode == 3, done.stdout + done.stderr
    assert " failed" in done.stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nope", "error: no plugin 'nope' is installed\n  see `pool plugins list`\n"),
        ("raises", "error: the plugin 'raises' is failed: RuntimeError: boom\n"),
    ],
)
def test_a_plugin_that_cannot_be_checked_is_exit_code_2(run_pool, name, message):
    done = run_pool("plugins", "check", name)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)
