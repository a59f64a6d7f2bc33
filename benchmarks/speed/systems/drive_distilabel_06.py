"""distilabel 0.6: its ``LLMPool``, a process per model, each with as many threads as may be in flight.

All models of a batch are waited for, so the batch is four times as large as what is in flight.
"""

from __future__ import annotations

from datasets import Dataset
from distilabel.llm import LLM, LLMPool, OpenAILLM, ProcessLLM
from distilabel.pipeline import Pipeline
from distilabel.tasks import Task, TextGenerationTask
from job import Job, read_job, read_rows
from openai import OpenAI


class Loader:
    """Makes the client of a model, in the model's own process."""

    def __init__(self, job: Job, model: str) -> None:
        self.job = job
        self.model = model

    def __call__(self, task: Task) -> LLM:
        client = OpenAI(base_url=self.job.url, api_key="none", max_retries=6)
        return OpenAILLM(task, self.model, client=client, num_threads=self.job.inflight, max_new_tokens=512)


def run(job: Job) -> None:
    task = TextGenerationTask(system_prompt="Answer in full sentences.")
    pool = LLMPool([ProcessLLM(task, Loader(job, model)) for model in job.models])
    rows = Dataset.from_list([{"id": row["id"], "input": row["instruction"]} for row in read_rows()])
    pipeline = Pipeline(generator=pool)
    done = pipeline.generate(
        rows, num_generations=len(job.models), batch_size=4 * job.inflight, checkpoint_strategy=None, skip_dry_run=True
    )  # fmt: skip
    done.to_json("output.jsonl")


if __name__ == "__main__":
    run(read_job())
