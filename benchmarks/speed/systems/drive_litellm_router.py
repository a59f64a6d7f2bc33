"""LiteLLM's Router: a deployment per model, on ``simple-shuffle``, the strategy that it recommends for speed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from job import Job, read_job, read_rows, write_output
from litellm import Router

Row = dict[str, str]


async def work(router: Router, model: str, rows: Iterator[Row], merged: dict[str, Row]) -> None:
    for row in rows:
        messages = [{"role": "user", "content": f"Answer in full sentences.\n\n{row['instruction']}"}]
        completion = await router.acompletion(model=model, messages=messages)
        merged[row["id"]][model] = completion.choices[0].message.content.strip()


async def run(job: Job) -> None:
    rows = read_rows()
    merged = {row["id"]: dict(row) for row in rows}
    deployments = [
        {
            "model_name": model,
            "litellm_params": {"model": f"openai/{model}", "api_base": job.url, "api_key": "none"},
        }
        for model in job.models
    ]
    router = Router(model_list=deployments, routing_strategy="simple-shuffle")
    queues = [(model, iter(rows)) for model in job.models]
    await asyncio.gather(*(work(router, *queue, merged) for queue in queues for _ in range(job.inflight)))
    write_output(merged.values())


asyncio.run(run(read_job()))
