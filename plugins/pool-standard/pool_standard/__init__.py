"""The standard tasks, policies, prompt formats, readers and writers of pool-core."""

from __future__ import annotations

from collections.abc import Iterator

from pool_core.api import Contribution, hookimpl


@hookimpl
def pool_tasks() -> Iterator[Contribution]:
    tasks = "pool_standard.tasks"
    yield Contribution("text-generation", f"{tasks}.text_generation:TextGeneration", "Answers a prompt in plain text.")
    yield Contribution("chat", f"{tasks}.chat:Chat", "Goes on with a conversation that a column holds.")
    yield Contribution("code-generation", f"{tasks}.code_generation:CodeGeneration", "Writes code and takes it out.")
    yield Contribution(
        "structured-generation",
        f"{tasks}.structured_generation:StructuredGeneration",
        "Gives the fields of a JSON Schema or a pydantic class.",
        needs=("json_repair", "jsonschema_rs"),
        install="pool-standard[structured]",
    )


@hookimpl
def pool_policies() -> Iterator[Contribution]:
    policies = "pool_standard.policies"
    yield Contribution("same-task", f"{policies}.task_classes:SameTask", "All members have the same task.")
    yield Contribution("same-family", f"{policies}.task_classes:SameFamily", "All tasks derive from one real task.")
    yield Contribution("output-names", f"{policies}.outputs:OutputNames", "All members give the same field names.")
    yield Contribution("output-schema", f"{policies}.outputs:OutputSchema", "Same field names, and types that unify.")
    yield Contribution("output-union", f"{policies}.outputs:OutputUnion", "Types of equal field names unify.")
    yield Contribution("contract", f"{policies}.contract:Contract", "The merged schema satisfies a contract.")
    yield Contribution("any_of", f"{policies}.combine:AnyOf", "One of several policies accepts.")
    yield Contribution("all", f"{policies}.combine:AllOf", "All of several policies accept.")
    yield Contribution("inputs", f"{policies}.inputs:Inputs", "The rows have every column that a member needs.")


@hookimpl
def pool_prompt_formats() -> Iterator[Contribution]:
    formats = "pool_standard.prompt_formats"
    yield Contribution("chatml", f"{formats}.named:ChatML", "<|im_start|>role ... <|im_end|>")
    yield Contribution("zephyr", f"{formats}.named:Zephyr", "<|user|> ... </s>")
    yield Contribution("openchat", f"{formats}.named:OpenChat", "GPT4 Correct User: ... <|end_of_turn|>")
    yield Contribution("alpaca", f"{formats}.named:Alpaca", "### Instruction: ... ### Response:")
    yield Contribution("llama2", f"{formats}.named:Llama2", "[INST] <<SYS>> ... [/INST]")
    yield Contribution("template", f"{formats}.template:TemplateFormat", "A Jinja template over the messages.")


@hookimpl
def pool_readers() -> Iterator[Contribution]:
    data = "pool_standard.data"
    yield Contribution("jsonl", f"{data}.jsonl:JsonLinesReader", "JSON Lines.", suffixes=(".jsonl", ".ndjson"))
    yield Contribution("csv", f"{data}.csv:CsvReader", "CSV with a header.", suffixes=(".csv", ".tsv"))
    yield Contribution(
        "parquet",
        f"{data}.parquet:ParquetReader",
        "Apache Parquet.",
        suffixes=(".parquet",),
        needs=("pyarrow",),
        install="pool-standard[parquet]",
    )


@hookimpl
def pool_writers() -> Iterator[Contribution]:
    data = "pool_standard.data"
    yield Contribution("jsonl", f"{data}.jsonl:JsonLinesWriter", "JSON Lines.", suffixes=(".jsonl", ".ndjson"))
    yield Contribution("csv", f"{data}.csv:CsvWriter", "CSV with a header.", suffixes=(".csv", ".tsv"))
    yield Contribution(
        "parquet",
        f"{data}.parquet:ParquetWriter",
        "Apache Parquet.",
        suffixes=(".parquet",),
        needs=("pyarrow",),
        install="pool-standard[parquet]",
    )


@hookimpl
def pool_conformance() -> Iterator[str]:
    names = ("tasks", "policies", "prompt_formats", "data", "parquet", "structured")
    yield from (f"pool_standard.conformance.{name}" for name in names)
