"""The floor: what a program costs that does just this job, by hand, on aiohttp, the usual client.

It reads the rows, renders the prompt, sends it, parses the reply, merges by row and appends to a file that is synced.
It checks nothing, retries nothing, cannot go on where it stopped and keeps no answer of a row that is not complete.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import aiohttp
import orjson
import uvloop
from by_hand import Merger, read_rows
from job import Job, read_job


async def work(
    session: aiohttp.ClientSession, url: str, model: str, rows: Iterator[tuple[int, dict[str, Any]]], merger: Merger
) -> None:
    for number, row in rows:
        prompt = f"Answer in full sentences.\n\n{row['instruction']}"
        body = orjson.dumps({"model": model, "messages": [{"role": "user", "content": prompt}]})
        async with session.post(url, data=body) as response:
            if response.status != 200:  # noqa: PLR2004
                raise RuntimeError(f"status {response.status}")
            reply = orjson.loads(await response.read())
        merger.add(number, row, model, reply["choices"][0]["message"]["content"].strip())


async def run(job: Job) -> None:
    rows = read_rows()
    merger = Merger(len(job.models))
    connector = aiohttp.TCPConnector(limit=0)
    settings = {"headers": {"Content-Type": "application/json"}, "timeout": aiohttp.ClientTimeout(120)}
    async with aiohttp.ClientSession(connector=connector, **settings) as session, asyncio.TaskGroup() as group:
        for model in job.models:
            own = enumerate(rows)
            for _ in range(job.inflight):
                group.create_task(work(session, job.url + "/chat/completions", model, own, merger))
    merger.close()


uvloop.run(run(read_job()))
