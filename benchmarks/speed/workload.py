"""The job that all systems do: rows on disk, three models, one merged file; and whether it was done."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

__all__ = ["MODELS", "Judged", "environment", "judge", "write_job"]

MODELS = ("m0", "m1", "m2")
#: The way to everything but this machine leads through a proxy that is not there; telemetry is off.
_ISOLATION = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9"),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost"),
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    "NEMO_TELEMETRY_ENABLED": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TELEMETRY_ENABLED": "false",
    "PYTHONUTF8": "1",
}
RECIPE = """\
rows: {path: rows.jsonl, id: id}
output: output.jsonl
pool:
  members:
"""
MEMBER = """\
    - name: NAME
      backend: {use: openai, model: NAME, base_url: "URL"}
      task: {use: text-generation, template: "Answer in full sentences.\\n\\n{{ instruction }}"}
      limits: {concurrency: INFLIGHT}
"""
_FILLER = " ".join(f"Consider aspect {number} of it." for number in range(9))
_ANSWER = re.compile(rb"(m\d) answers row-(\d+)\.")


@dataclass(frozen=True, slots=True)
class Judged:
    """What is in a merged file."""

    rows: int
    #: Answers of a model to a row, each counted once.
    cells: int
    #: Lines whose answers are to more than one row.
    wrong: int


def environment(folder: Path) -> dict[str, str]:
    """The environment of a system that runs in ``folder``: nothing of this one but the path."""
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": "/tmp"} | _ISOLATION


def write_job(folder: Path, url: str, rows: int, inflight: int, models: tuple[str, ...] = MODELS) -> None:
    """Empty ``folder`` and write the rows, the job for drivers, and the same as a recipe.

    In the recipe each model has an address of its own, a path of the one server: members with the same address and key
    share one limit, and here each has its own, as the models of the others have.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as file:
        for number in range(rows):
            text = f"Write one paragraph on water for row-{number}. {_FILLER}"
            file.write(json.dumps({"id": f"id-{number}", "instruction": text}) + "\n")
    job = {"url": url, "models": models, "rows": rows, "inflight": inflight}
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    members = [
        MEMBER.replace("NAME", name)
        .replace("URL", url.replace("/v1", f"/{name}/v1"))
        .replace("INFLIGHT", str(inflight))
        for name in models
    ]
    (folder / "recipe.yaml").write_text(RECIPE + "".join(members), encoding="utf-8")


def judge(output: Path) -> Judged:
    """Count what is in the merged file, whatever its layout: a line per row with the models' answers."""
    cells, rows, wrong = set(), 0, 0
    if output.exists():
        with output.open("rb") as file:
            for line in file:
                found = set(_ANSWER.findall(line))
                rows += 1
                wrong += len({row for _, row in found}) > 1
                cells |= found
    return Judged(rows, len(cells), wrong)
