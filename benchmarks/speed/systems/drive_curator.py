"""Bespoke Curator: an LLM per model, one after another over the dataset, which is how it is used.

Its limits of rate are set so high that they do not bind, and ``max_concurrent_requests`` to what all systems have.
"""

from __future__ import annotations

import os

import litellm.litellm_core_utils.default_encoding  # noqa: F401  # brings the tokens that Curator would download
from bespokelabs import curator
from job import Job, read_job, read_rows


class Writer(curator.LLM):
    """Adds the model's answer to the row."""

    def prompt(self, input: dict) -> str:  # noqa: A002
        return f"Answer in full sentences.\n\n{input['instruction']}"

    def parse(self, input: dict, response: str) -> dict:  # noqa: A002
        return {**input, self.prompt_formatter.model_name: response.strip()}


def run(job: Job) -> None:
    os.environ["OPENAI_API_KEY"] = "none"
    parameters = {"base_url": job.url, "max_concurrent_requests": job.inflight}
    parameters |= {"max_requests_per_minute": 10_000_000, "max_tokens_per_minute": 10_000_000_000}
    data = read_rows()
    for model in job.models:
        data = Writer(model_name=model, backend="openai", backend_params=parameters)(data).dataset
    data.to_json("output.jsonl")


run(read_job())
