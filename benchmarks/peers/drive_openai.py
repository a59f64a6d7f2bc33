"""The openai SDK: one asynchronous client with its defaults (``max_retries=2``), one call per row."""

from __future__ import annotations

import asyncio

from job import MODEL, Job, Row, describe_error
from openai import AsyncAzureOpenAI, AsyncOpenAI


async def ask(client: AsyncOpenAI, prompt: str) -> Row:
    try:
        completion = await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": prompt}])
        choice = completion.choices[0]
        text = choice.message.content
    except Exception as error:  # noqa: BLE001  # each is an outcome
        return Row("failed", error=describe_error(error))
    if choice.message.refusal:
        return Row("ok", text, "`message.refusal`")
    return Row("ok", text, "" if choice.finish_reason == "stop" else f"`finish_reason: {choice.finish_reason}`")


async def run(job: Job) -> None:
    if job.auth == "api-key":
        client: AsyncOpenAI = AsyncAzureOpenAI(azure_endpoint=job.root, api_key=job.key, api_version="2024-10-21")
    else:
        client = AsyncOpenAI(base_url=job.url, api_key=job.key)
    rows = await asyncio.gather(*(ask(client, prompt) for prompt in job.prompts.values()))
    job.finish(dict(zip(job.prompts, rows, strict=True)))


asyncio.run(run(Job.read()))
