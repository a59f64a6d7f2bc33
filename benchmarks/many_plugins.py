"""What 50 more plugins add to the start-up of ``pool run``, 10 of them broken, each in its own way.

The recipe needs one working plugin. The same command is run with it alone, and among the 50, in turn, each in a
process of its own; the processor's time of the children counts, and of it the smallest::

    python benchmarks/many_plugins.py [--runs 15]
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from pool_core.testing.distributions import write_distribution

GROUP = "pool_core.plugins.v1"
HEAD = "from pool_core.api import Contribution, hookimpl\n@hookimpl\n"
#: What the recipe uses.
NEEDED = "from pool_core.testing.scripted_plugin import ScriptedPlugin\nplugin = ScriptedPlugin()\n"
#: A plugin as others ship it: something of several kinds, and a hook.
WORKING = """
from pool_core.api import Contribution, hookimpl

@hookimpl
def pool_tasks():
    yield Contribution("task-{0}", "pool_many_{0}.task:Task", "A task.")

@hookimpl
def pool_policies():
    yield Contribution("policy-{0}", "pool_many_{0}.policy:Policy", "A policy.")

@hookimpl
def pool_run_started(run):
    pass
"""
README = "\n" + "A plugin that has a README, which its metadata holds. " * 200
#: Entry modules that are broken.
BROKEN = {
    "raises": "raise RuntimeError('boom')",
    "exits": "raise SystemExit(3)",
    "lacks": "import no_such_module",
    "syntax": "def pool_tasks(:",
    "misspelt": HEAD + "def pool_taks():\n    return []",
    "waits": HEAD + "async def pool_tasks():\n    return []",
    "foreign": HEAD + "def pool_tasks():\n    yield 'x'",
}
RECIPE = """
rows: {path: rows.json, id: id}
output: out.json
pool:
  policies: []
  members: [{name: a, backend: echo, task: echo}]
"""


def write_needed(folder: Path) -> None:
    """The plugin that the recipe uses, and no other."""
    write_distribution(
        folder,
        name="pool-fake",
        entry_points={GROUP: {"fake": "pool_fake:plugin"}},
        modules={"pool_fake": NEEDED},
    )


def write_many(folder: Path) -> int:
    """Forty that work and ten that do not. Returns their number."""
    for number in range(40):
        name = f"many-{number}"
        info = write_distribution(
            folder,
            name=f"pool-{name}",
            entry_points={GROUP: {name: f"pool_many_{number}"}},
            modules={f"pool_many_{number}": WORKING.format(number), f"pool_many_{number}.task": ""},
            requires=["pool-core>=0.1", "pydantic>=2"],
        )
        with (info / "METADATA").open("a", encoding="utf-8") as file:
            file.write(README)
    for name, source in BROKEN.items():
        points = {GROUP: {name: f"pool_{name}"}}
        write_distribution(folder, name=f"pool-{name}", entry_points=points, modules={f"pool_{name}": source})
    never = "raise AssertionError('it must not be imported')"
    write_distribution(
        folder, name="pool-old", entry_points={"pool_core.plugins.v0": {"old": "pool_old"}}, modules={"pool_old": never}
    )
    stale = write_distribution(folder, name="pool-stale", entry_points={GROUP: {"stale": "pool_stale"}})
    (stale / "METADATA").unlink()
    write_distribution(
        folder,
        name="pool-future",
        entry_points={GROUP: {"future": "pool_future"}},
        modules={"pool_future": never},
        requires=["pool-core>=9"],
    )
    return 40 + len(BROKEN) + 3


def write_recipe(folder: Path) -> Path:
    """A recipe over two rows that needs the one plugin."""
    (folder / "rows.json").write_text('[{"id": "1", "text": "x"}, {"id": "2", "text": "y"}]', encoding="utf-8")
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    return folder / "recipe.yaml"


def measure(command: list[str], sites: list[Path], folder: Path) -> float:
    """Seconds of the processor that the command takes. Raises where it fails."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sites))}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the time alone, among the 50, and what they add."""
    parser = argparse.ArgumentParser(description="Measure what installed plugins add to the start-up.")
    parser.add_argument("--runs", type=int, default=15)
    options = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_needed(folder / "needed")
        number = write_many(folder / "many")
        recipe = write_recipe(folder)
        command = [sys.executable, "-m", "pool_core", "run", str(recipe), "--quiet"]
        taken: dict[str, list[float]] = {"alone": [], "among": []}
        for _ in range(options.runs + 1):  # the first writes byte code
            taken["alone"].append(measure(command, [folder / "needed"], folder))
            taken["among"].append(measure(command, [folder / "needed", folder / "many"], folder))
    alone, among = (min(times[1:]) * 1000 for times in taken.values())
    print(f"pool run, one plugin            {alone:6.0f} ms of the processor")
    print(f"pool run, {number} more, 10 broken    {among:6.0f} ms of the processor")
    print(f"they add                        {among - alone:6.0f} ms, a ratio of {among / alone:.2f}")


if __name__ == "__main__":
    main()
