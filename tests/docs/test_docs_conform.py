"""What the tutorials write passes the conformance kit, which they tell their readers to run."""

from __future__ import annotations

import re
import sys

import pytest
from pages import ROOT

from pool_core.registry import Registry
from pool_core.testing import (
    BackendConformance,
    PolicyConformance,
    Supports,
    TaskConformance,
    TaskExample,
    make_signature,
)
from pool_core.testing.distributions import write_distribution

_TITLED = re.compile(r'^```python title="(\w+)\.py"\n(.*?)^```$', re.MULTILINE | re.DOTALL)

A, B = (make_signature(name, {"said": "str"}) for name in "ab")
SUITES = {
    "task": (
        TaskConformance,
        {
            "use": "verdict/verdict",
            "supports": Supports(unreadable=True, truncated=False, schema=False),
            "examples": (
                TaskExample({"review": "Works."}, '{"good": true, "confidence": 1}', {"good": True, "confidence": 1.0}),
                TaskExample({"review": "Works."}, "It is good.", None),
            ),
        },
    ),
    "backend": (
        BackendConformance,
        {
            "use": "parrot/parrot",
            "supports": Supports(
                http=False, key=False, seed=False, stop=False, schema=False, usage=True, batches=False
            ),
        },
    ),
    "policy-and-hook": (
        PolicyConformance,
        {
            "use": "house/few-members",
            "supports": Supports(fixes=False),
            "config": {"most": 1},
            "accepts": ([A], [B]),
            "refuses": ([A, B],),
        },
    ),
}
#: The parrot fails by its own count of calls, and answers at once: neither can be brought about from outside.
NOT_OF_A_PARROT = {"failures_in_the_process", "every_fault_is_looked_at", "errors_survive_pickling"}
NOT_OF_A_PARROT |= {"a_cancelled_call_ends", "the_time_limit_is_kept"}


@pytest.mark.plugins("standard", "replay")
@pytest.mark.parametrize("page", SUITES)
def test_what_a_tutorial_writes_passes_the_kit(page, tmp_path, monkeypatch):
    kit, declared = SUITES[page]
    modules = dict(_TITLED.findall((ROOT / f"docs/tutorials/{page}.md").read_text(encoding="utf-8")))
    plugin = declared["use"].partition("/")[0]
    points = {"pool_core.plugins.v1": {plugin: f"pool_{plugin}"}}
    write_distribution(tmp_path, entry_points=points, modules=modules, requires=["pool-core>=0.1,<0.2"])
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry.discover(path=[str(tmp_path)])
    suite = type("TestTutorial", (kit,), {**declared, "make_registry": lambda _: registry})
    names = {name for name in dir(suite) if name.startswith("test_")}
    names -= {"test_fault"} | ({f"test_{name}" for name in NOT_OF_A_PARROT} if plugin == "parrot" else set())
    try:
        for name in sorted(names):
            try:
                getattr(suite(), name)()
            except pytest.skip.Exception:
                assert plugin == "parrot"
    finally:
        for name in modules:
            sys.modules.pop(name, None)
