"""NeMo Data Designer: the rows as a seed dataset and a text column per model; columns run at the same time.

``max_parallel_requests`` is what its documentation says to set for speed; all else by default.
"""

from __future__ import annotations

import os

import data_designer.config as dd
import pandas as pd
from data_designer.interface import DataDesigner
from job import Job, read_job, read_rows


def run(job: Job) -> None:
    os.environ["SPEED_KEY"] = "none"
    provider = dd.ModelProvider(name="local", endpoint=job.url, provider_type="openai", api_key="SPEED_KEY")
    parameters = dd.ChatCompletionInferenceParams(max_parallel_requests=job.inflight)
    models = [
        dd.ModelConfig(alias=model, model=model, provider="local", inference_parameters=parameters)
        for model in job.models
    ]
    builder = dd.DataDesignerConfigBuilder(model_configs=models)
    builder.with_seed_dataset(dd.DataFrameSeedSource(df=pd.DataFrame(read_rows())))
    prompt = "Answer in full sentences.\n\n{{ instruction }}"
    for model in job.models:
        builder.add_column(dd.LLMTextColumnConfig(name=model, prompt=prompt, model_alias=model))
    designer = DataDesigner(artifact_path="artifacts", model_providers=[provider])
    done = designer.create(builder, num_records=job.rows).load_dataset()
    done.to_json("output.jsonl", orient="records", lines=True)


run(read_job())
