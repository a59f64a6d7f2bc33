"""distilabel 1.5: a step per model, run in parallel by its pipeline, and a step that puts the columns together.

Its calls of one batch are sent at once and batches come one after another, so ``input_batch_size`` is what is in
flight. The cache is off.
"""

from __future__ import annotations

from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import GroupColumns, LoadDataFromDicts
from distilabel.steps.tasks import TextGeneration
from job import Job, read_job, read_rows


def run(job: Job) -> None:
    with Pipeline(name="speed") as pipeline:
        load = LoadDataFromDicts(data=read_rows(), batch_size=job.inflight)
        group = GroupColumns(
            columns=["generation", "model_name"],
            output_columns=["generations", "models"],
            input_batch_size=job.inflight,
        )
        for model in job.models:
            writer = TextGeneration(
                name=f"write_{model}",
                llm=OpenAILLM(model=model, base_url=job.url, api_key="none"),
                template="Answer in full sentences.\n\n{{ instruction }}",
                input_batch_size=job.inflight,
                add_raw_output=False,
                add_raw_input=False,
            )
            load >> writer >> group
    pipeline.run(use_cache=False)["default"]["train"].to_json("output.jsonl")


if __name__ == "__main__":
    run(read_job())
