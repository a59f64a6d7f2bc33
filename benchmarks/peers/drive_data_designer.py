"""NeMo Data Designer: one dataset with a column of prompts as its seed and one text column; defaults throughout.

It gives back the rows that it kept and says of the others only in its log, so a row that is gone counts as failed.
"""

from __future__ import annotations

import data_designer.config as dd
import pandas as pd
from data_designer.interface import DataDesigner
from job import KEY_NAME, MODEL, Job, Row, describe_error, skip


def run(job: Job) -> None:
    if job.auth == "api-key":
        skip(job, "has no such header for this API")
        return
    provider = dd.ModelProvider(name="scripted", endpoint=job.url, provider_type="openai", api_key=KEY_NAME)
    model = dd.ModelConfig(alias="writer", model=MODEL, provider="scripted")
    builder = dd.DataDesignerConfigBuilder(model_configs=[model])
    table = pd.DataFrame({"row": list(job.prompts), "prompt": list(job.prompts.values())})
    builder.with_seed_dataset(dd.DataFrameSeedSource(df=table))
    builder.add_column(dd.LLMTextColumnConfig(name="answer", prompt="{{ prompt }}", model_alias="writer"))
    try:
        designer = DataDesigner(artifact_path="artifacts", model_providers=[provider])
        kept = designer.create(builder, num_records=len(job.prompts)).load_dataset()
    except Exception as error:  # noqa: BLE001  # it is an outcome
        job.finish({}, describe_error(error))
        return
    job.finish({int(row["row"]): Row("ok", row["answer"]) for row in kept.to_dict("records")})


run(Job.read())
