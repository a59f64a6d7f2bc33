"""Bespoke Curator: one LLM over a dataset.

``max_retries`` is 2 instead of 10, all without waits; ``require_all_responses=False`` lets it give back the rows
that it has; its limits of rate are set high, since the server names none and it would send one request in two
seconds. All of that helps it here.
"""

from __future__ import annotations

import os

import litellm.litellm_core_utils.default_encoding  # noqa: F401  # brings the tokens that Curator would download
from bespokelabs import curator
from job import MODEL, Job, Row, describe_error


class Writer(curator.LLM):
    """Sends the prompt of the row."""

    def prompt(self, input: dict) -> str:  # noqa: A002
        return input["prompt"]

    def parse(self, input: dict, response: str) -> dict:  # noqa: A002
        return {"row": input["row"], "answer": response}


def run(job: Job) -> None:
    os.environ["OPENAI_API_KEY"] = job.key
    url = f"{job.root}/openai/deployments/{MODEL}" if job.auth == "api-key" else job.url
    parameters = {"base_url": url, "max_retries": 2, "require_all_responses": False}
    parameters |= {"max_requests_per_minute": 10_000, "max_tokens_per_minute": 100_000_000}
    try:
        writer = Writer(model_name=MODEL, backend="openai", backend_params=parameters)
        done = writer([{"row": number, "prompt": prompt} for number, prompt in job.prompts.items()])
    except Exception as error:  # noqa: BLE001  # it is an outcome
        job.finish({}, describe_error(error))
        return
    job.finish({row["row"]: Row("ok", row["answer"]) for row in done.dataset})


run(Job.read())
