"""The floor: what a program costs that does just this job, by hand, on the HTTP client that pool-openai uses.

It reads the rows, renders the prompt, sends it, parses the reply, merges by row and appends to a file that is synced.
It checks nothing, retries nothing, cannot go on where it stopped and keeps no answer of a row that is not complete.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import orjson
import uvloop
from by_hand import Merger, read_rows
from job import Job, read_job
from pyreqwest.client import Client, ClientBuilder


async def work(
    client: Client, url: str, model: str, rows: Iterator[tuple[int, dict[str, Any]]], merger: Merger
) -> None:
    for number, row in rows:
        prompt = f"Answer in full sentences.\n\n{row['instruction']}"
        body = orjson.dumps({"model": model, "messages": [{"role": "user", "content": prompt}]})
        response = await client.post(url).body_bytes(body).build().send()
        if response.status != 200:  # noqa: PLR2004
            raise RuntimeError(f"status {response.status}")
        reply = orjson.loads(memoryview(await response.bytes()))
        merger.add(number, row, model, reply["choices"][0]["message"]["content"].strip())


async def run(job: Job) -> None:
    rows = read_rows()
    merger = Merger(len(job.models))
    builder = ClientBuilder().no_proxy().default_headers({"Content-Type": "application/json"})
    async with builder.timeout(timedelta(seconds=120)).build() as client, asyncio.TaskGroup() as group:
        for model in job.models:
            own = enumerate(rows)
            for _ in range(job.inflight):
                group.create_task(work(client, job.url + "/chat/completions", model, own, merger))
    merger.close()


uvloop.run(run(read_job()))
