"""LangChain: a chain of prompt, model and parser per model, each with ``abatch`` and its ``max_concurrency``."""

from __future__ import annotations

import asyncio

from job import Job, read_job, read_rows, write_output
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI


async def run(job: Job) -> None:
    rows = read_rows()
    prompt = ChatPromptTemplate.from_messages([("human", "Answer in full sentences.\n\n{instruction}")])
    chains = [
        prompt | ChatOpenAI(model=model, base_url=job.url, api_key="none") | StrOutputParser() for model in job.models
    ]
    answers = await asyncio.gather(*(chain.abatch(rows, {"max_concurrency": job.inflight}) for chain in chains))
    write_output(row | dict(zip(job.models, texts, strict=True)) for row, *texts in zip(rows, *answers, strict=True))


asyncio.run(run(read_job()))
