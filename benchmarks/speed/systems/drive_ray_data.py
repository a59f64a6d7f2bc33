"""Ray Data LLM: an HTTP processor per model over one dataset, which Ray runs as a stream, all stages at once.

An actor sends the requests of a batch one after another and works on two batches, so what is in flight is twice
``concurrency``: actors, each a process. What all others have in flight would be 96 processes, so there are four per
model, and little of a core is asked for each.
"""

from __future__ import annotations

from typing import Any

import ray
from job import Job, read_job, read_rows, write_output
from ray.data.llm import HttpRequestProcessorConfig, build_processor

ACTORS = 4


def add_model(dataset: ray.data.Dataset, job: Job, model: str) -> ray.data.Dataset:
    """The dataset with a column of the model's answers."""

    def prepare(row: dict[str, Any]) -> dict[str, Any]:
        messages = [{"role": "user", "content": f"Answer in full sentences.\n\n{row['instruction']}"}]
        return {**row, "payload": {"model": model, "messages": messages}}

    def read(row: dict[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in row.items() if name in {"id", "instruction", *job.models}}
        return {**kept, model: row["http_response"]["choices"][0]["message"]["content"].strip()}

    config = HttpRequestProcessorConfig(
        url=f"{job.url}/chat/completions",
        batch_size=16,
        concurrency=ACTORS,
        max_retries=3,
        http_request_stage={"num_cpus": 0.05},
    )
    return build_processor(config, preprocess=prepare, postprocess=read)(dataset)


def run(job: Job) -> None:
    ray.init(include_dashboard=False, logging_level="warning")
    dataset = ray.data.from_items(read_rows(), override_num_blocks=64)
    for model in job.models:
        dataset = add_model(dataset, job, model)
    write_output(dataset.iter_rows())


run(read_job())
