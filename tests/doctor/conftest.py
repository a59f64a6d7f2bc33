"""Installed plugins in every state, side by side, and one examination of them all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pool_core.doctor.diagnosis import diagnose
from pool_core.doctor.examination import examine_plugins
from pool_core.registry import Selection
from pool_core.testing.distributions import write_distribution

HEAD = "from pool_core.api import Contribution, hookimpl\n"
POLICIES = HEAD + "@hookimpl\ndef pool_policies():\n    yield Contribution({})\n"
READERS = (
    HEAD + "@hookimpl\ndef pool_readers():\n    yield Contribution({!r}, 'pool_ok.parts:Rows', suffixes=('.txt',))\n"
)
PARTS = """
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.data import Reader
from pool_core.interfaces.policy import Policy

class Verdict(Policy):
    Config = PluginConfig
    def judge(self, members):
        return []

class Rows(Reader):
    Config = PluginConfig
    def read(self):
        return iter(())
"""
#: Burns a tenth of a second of CPU time, whatever the machine does meanwhile.
SLOW = HEAD + "from time import process_time\nend = process_time() + 0.1\nwhile process_time() < end:\n    pass\n"

#: Plugin to its entry module's source.
SOURCES = {
    "ok": POLICIES.format("'ok-verdict', 'pool_ok.parts:Verdict'") + "@hookimpl\ndef pool_run_started(run):\n    ...\n",
    "loud": "import os\nprint('hello')\nos.write(1, b'{')\n" + POLICIES.format("'loud', 'pool_ok.parts:Verdict'"),
    "raises": "raise RuntimeError('boom')",
    "leaves": "raise SystemExit(3)",
    "ends": "import os, sys\nprint('so long', file=sys.stderr, flush=True)\nos._exit(7)",
    "crashes": "import os\nos.abort()",
    "misspelt": HEAD + "@hookimpl\ndef pool_taks():\n    return []",
    "unmarked": HEAD + "def pool_tasks():\n    return []\ndef pool_tools(): ...\n",
    "empty": "def __getattr__(name):\n    raise RuntimeError(name)\n",
    "heavy": "import pydantic, foreign.part\nfrom pool_core import recipe, errors\n",
    "slow": SLOW,
    "lacks": POLICIES.format(
        "'fast', 'pool_lacks.parts:Fast', needs=('no_such_module', 'json'), install='pool-lacks[fast]'"
    ),
    "wrong": POLICIES.format("'nothing', 'pool_ok.parts:Nothing'"),
    "first": POLICIES.format("'verdict', 'pool_ok.parts:Verdict'"),
    "second": POLICIES.format("'verdict', 'pool_ok.parts:Verdict'"),
    "lines": READERS.format("lines"),
    "words": READERS.format("words"),
}


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """A folder of the path with all of them."""
    folder = tmp_path_factory.mktemp("site")

    def write(name, source, *, plugin=None, api=1, requires=("pool-core>=0.1",), **modules):
        module = f"pool_{name.replace('-', '_')}"
        write_distribution(
            folder,
            name=f"pool-{name}",
            entry_points={f"pool_core.plugins.v{api}": {plugin or name: module}},
            modules={module: source} | modules,
            requires=requires,
        )

    for name, source in SOURCES.items():
        write(name, source, **({"pool_ok.parts": PARTS} if name == "ok" else {}))
    write("heavy", SOURCES["heavy"], **{"foreign.part": ""})
    write("unbound", HEAD + "@hookimpl\ndef pool_run_started(run): ...\n", requires=())
    never = "import os\nos.abort()"
    write("old", never, api=0)
    write("future", never, requires=["pool-core>=9"])
    write("taken-a", never, plugin="taken")
    write("taken-b", never, plugin="taken")
    return folder


@pytest.fixture(scope="session")
def examinations(site):
    """Distribution to what was seen of it."""
    seen = examine_plugins(Selection(), [str(site)])
    return {one.plugin.record.distribution.removeprefix("pool-"): one for one in seen}


@pytest.fixture(scope="session")
def findings(examinations):
    """What is said of them where an import takes as long as on a quick machine, but that of ``slow``."""
    return diagnose(
        [
            replace(one, seconds=0.0) if one.seconds is not None and name != "slow" else one
            for name, one in examinations.items()
        ]
    )
