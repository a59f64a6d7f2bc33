"""The openai SDK: one asynchronous client on its aiohttp backend, as its README advises for high concurrency."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from job import Job, read_job, read_rows, write_output
from openai import AsyncOpenAI, DefaultAioHttpClient

Row = dict[str, str]


async def work(client: AsyncOpenAI, model: str, rows: Iterator[Row], merged: dict[str, Row]) -> None:
    for row in rows:
        messages = [{"role": "user", "content": f"Answer in full sentences.\n\n{row['instruction']}"}]
        completion = await client.chat.completions.create(model=model, messages=messages)
        merged[row["id"]][model] = completion.choices[0].message.content.strip()


async def run(job: Job) -> None:
    rows = read_rows()
    merged = {row["id"]: dict(row) for row in rows}
    async with AsyncOpenAI(base_url=job.url, api_key="none", http_client=DefaultAioHttpClient()) as client:
        queues = [(model, iter(rows)) for model in job.models]
        await asyncio.gather(*(work(client, *queue, merged) for queue in queues for _ in range(job.inflight)))
    write_output(merged.values())


asyncio.run(run(read_job()))
