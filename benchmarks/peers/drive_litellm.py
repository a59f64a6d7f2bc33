"""LiteLLM's Router with one deployment and its defaults (``num_retries=2``), one call per row."""

from __future__ import annotations

import asyncio

from job import KEY_NAME, MODEL, Job, Row, describe_error
from litellm import Router


async def ask(router: Router, prompt: str) -> Row:
    try:
        completion = await router.acompletion(model="the-model", messages=[{"role": "user", "content": prompt}])
        choice = completion.choices[0]
        text = choice.message.content
    except Exception as error:  # noqa: BLE001  # each is an outcome
        return Row("failed", error=describe_error(error))
    if getattr(choice.message, "refusal", None):  # only there where the server sends one
        return Row("ok", text, "`message.refusal`")
    return Row("ok", text, "" if choice.finish_reason == "stop" else f"`finish_reason: {choice.finish_reason}`")


async def run(job: Job) -> None:
    parameters = {"model": f"openai/{MODEL}", "api_base": job.url}
    if job.auth == "api-key":
        parameters = {"model": f"azure/{MODEL}", "api_base": job.root, "api_version": "2024-10-21"}
    parameters["api_key"] = f"os.environ/{KEY_NAME}"
    router = Router(model_list=[{"model_name": "the-model", "litellm_params": parameters}])
    rows = await asyncio.gather(*(ask(router, prompt) for prompt in job.prompts.values()))
    job.finish(dict(zip(job.prompts, rows, strict=True)))


asyncio.run(run(Job.read()))
