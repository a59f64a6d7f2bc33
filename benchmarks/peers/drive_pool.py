"""This system: ``pool run`` with one member on the backend ``openai``, everything else by default."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from job import KEY_NAME, MODEL, Job, Row

RECIPE = """
rows: {path: rows.jsonl, id: row}
output: output.jsonl
pool:
  members:
    - name: writer
      backend: {use: openai, model: MODEL, base_url: "URL", api_key: "env:KEY", key_header: HEADER}
      task: {use: text-generation, template: "{{ prompt }}"}
"""


def run(job: Job) -> None:
    rows = [json.dumps({"row": number, "prompt": prompt}) + "\n" for number, prompt in job.prompts.items()]
    Path("rows.jsonl").write_text("".join(rows), encoding="utf-8")
    recipe = RECIPE.replace("MODEL", MODEL).replace("URL", job.url).replace("env:KEY", f"env:{KEY_NAME}")
    recipe = recipe.replace("HEADER", "api-key" if job.auth == "api-key" else "authorization")
    Path("recipe.yaml").write_text(recipe, encoding="utf-8")
    done = subprocess.run([sys.executable, "-m", "pool_core", "run", "recipe.yaml"], check=False)
    output = Path("output.jsonl")
    if not output.exists():
        job.finish({}, f"pool ended with exit code {done.returncode}")
        return
    ended = {}
    for line in output.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        (generation,) = record["generations"]
        status = "ok" if generation["status"] == "ok" else "failed"
        error = "" if status == "ok" else f"{generation['cause'] or generation['status']}: {generation['message']}"
        ended[record["row"]] = Row(status, generation["generation"], error=error)
    job.finish(ended)


run(Job.read())
