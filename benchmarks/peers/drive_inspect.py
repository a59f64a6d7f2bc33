"""Inspect: one evaluation with a sample per row.

By default it asks again for ever, so ``max_retries=2`` is set; ``fail_on_error=False`` lets the samples without a
fault go on, as its documentation says for errors that are expected.
"""

from __future__ import annotations

import os

from inspect_ai import Task, eval  # noqa: A004
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalSample
from inspect_ai.solver import generate
from job import MODEL, Job, Row, describe_error


def read_sample(sample: EvalSample) -> Row:
    if sample.error is not None:
        return Row("failed", error=sample.error.message)
    reason = sample.output.stop_reason
    return Row("ok", sample.output.completion, "" if reason == "stop" else f"`stop_reason: {reason}`")


def run(job: Job) -> None:
    if job.auth == "api-key":
        os.environ["AZUREAI_OPENAI_API_KEY"] = job.key
        model, url = f"openai/azure/{MODEL}", job.root
    else:
        os.environ["OPENAI_API_KEY"] = job.key
        model, url = f"openai/{MODEL}", job.url
    samples = [Sample(input=prompt, target="", id=number) for number, prompt in job.prompts.items()]
    task = Task(dataset=samples, solver=generate())
    try:
        logs = eval(
            task,
            model=model,
            model_base_url=url,
            model_args={"responses_api": False},
            display="plain",
            log_dir="logs",
            max_retries=2,
            fail_on_error=False,
        )
    except Exception as error:  # noqa: BLE001  # it is an outcome
        job.finish({}, describe_error(error))
        return
    ended = {int(sample.id): read_sample(sample) for log in logs for sample in log.samples or ()}
    crash = logs[0].error.message if logs[0].error is not None else ""
    job.finish(ended, crash)


run(Job.read())
