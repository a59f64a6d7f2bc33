"""How long ``pool check`` takes, start-up included, as a ratio to ``python -c "import pydantic"``.

The recipe has 20 members with 10 output fields each, two of them renamed by an adapter, over 100
rows. Both commands are run in turn, each in a process of its own; the medians count::

    python benchmarks/check.py [--runs 15] [--members 20]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from pool_core.testing.distributions import write_distribution

FIELDS = (
    "summary: str", "score: float", "rank: int", "safe: bool", "label: Literal['good', 'bad']", "tags: list[str]",
    "source: Source", "notes: str | None", "counts: dict[str, int]", "title: str",
)  # fmt: skip
TASK = """
from typing import Literal
from pydantic import BaseModel
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.task import Task
from pool_core.interfaces.values import Prompt

class Source(BaseModel):
    url: str
    line: int | None

class Output(BaseModel):
    {fields}

class Review(Task[PluginConfig]):
    Config = PluginConfig
    Output = Output

    @property
    def inputs(self):
        return ("text",)

    def render(self, row):
        return Prompt.chat(row["text"])

    def parse(self, answer, row):
        return Output.model_validate_json(answer.text)
"""
ENTRY = """
from pool_core.api import Contribution, hookimpl

@hookimpl
def pool_tasks():
    yield Contribution("review", "pool_bench.task:Review")
    yield Contribution("other-review", "pool_bench.other:Review")
"""


def write_inputs(folder: Path, members: int) -> None:
    """The plugin, the rows and the recipe."""
    other = [field.replace("summary", "abstract").replace("title", "heading") for field in FIELDS]
    modules = {"pool_bench": ENTRY}
    for name, fields in (("task", FIELDS), ("other", other)):
        modules[f"pool_bench.{name}"] = TASK.format(fields="\n    ".join(fields))
    points = {"pool_core.plugins.v1": {"bench": "pool_bench"}}
    write_distribution(folder / "site", name="pool-bench", entry_points=points, modules=modules)
    rows = [json.dumps({"id": str(number), "text": "Some words of text. " * 20}) + "\n" for number in range(100)]
    (folder / "rows.jsonl").write_text("".join(rows), encoding="utf-8")
    lines = ["rows: {path: rows.jsonl, id: id}", "output: output.jsonl", "pool:", "  members:"]
    for number in range(members):
        backend = {"use": "openai", "model": f"model-{number}", "base_url": "http://127.0.0.1:8000/v1"}
        lines += [f"    - name: member-{number}", f"      backend: {json.dumps(backend)}"]
        lines += ["      sampling: {temperature: 0.7, max_tokens: 512}"]
        lines += ["      task: other-review", "      outputs: {summary: abstract, title: heading}"] * (number % 2)
        lines += ["      task: review"] * (1 - number % 2)
    (folder / "recipe.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def measure(command: list[str], folder: Path) -> tuple[float, float]:
    """Seconds of the clock and of the processor that ``command`` takes."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder / "site"), os.environ.get("PYTHONPATH", "")]),
        "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),  # as installed packages have it, for both commands
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE)
    printed = process.stdout.read() if process.stdout else b""
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{command} ended with {process.returncode}:\n{printed.decode()}")
    return seconds, usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print the medians and their ratio."""
    parser = argparse.ArgumentParser(description="Measure `pool check`.")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--members", type=int, default=20)
    options = parser.parse_args()
    commands = {
        "import pydantic": [sys.executable, "-c", "import pydantic; pydantic.BaseModel"],
        "pool check": [sys.executable, "-m", "pool_core", "check", "recipe.yaml", "--json"],
    }
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder, options.members)
        taken: dict[str, list[tuple[float, float]]] = {label: [] for label in commands}
        for number in range(options.runs + 1):
            for label, command in commands.items():
                one = measure(command, folder)
                if number:  # the first run writes byte code
                    taken[label].append(one)
    medians = {label: tuple(map(median, zip(*runs, strict=True))) for label, runs in taken.items()}
    for label, (seconds, processor) in medians.items():
        print(f"{label:16}{seconds * 1000:6.0f} ms, {processor * 1000:4.0f} ms of the processor")
    ratios = [mine / other for mine, other in zip(medians["pool check"], medians["import pydantic"], strict=True)]
    print(f"ratio           {ratios[0]:6.1f}   , {ratios[1]:4.1f}")


if __name__ == "__main__":
    main()
