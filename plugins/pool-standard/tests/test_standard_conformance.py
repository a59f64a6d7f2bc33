"""Everything that the plugin offers passes the kit; Parquet does so in test_parquet.py."""

from __future__ import annotations

from pool_standard.conformance.data import TestCsvReader, TestCsvWriter, TestJsonLinesReader, TestJsonLinesWriter
from pool_standard.conformance.policies import (
    TestAllOf,
    TestAnyOf,
    TestContract,
    TestInputs,
    TestOutputNames,
    TestOutputSchema,
    TestOutputUnion,
    TestSameFamily,
    TestSameTask,
)
from pool_standard.conformance.prompt_formats import (
    TestAlpaca,
    TestChatML,
    TestLlama2,
    TestOpenChat,
    TestTemplateFormat,
    TestZephyr,
)
from pool_standard.conformance.tasks import TestChat, TestCodeGeneration, TestTextGeneration

__all__ = [
    "TestAllOf",
    "TestAlpaca",
    "TestAnyOf",
    "TestChat",
    "TestChatML",
    "TestCodeGeneration",
    "TestContract",
    "TestCsvReader",
    "TestCsvWriter",
    "TestInputs",
    "TestJsonLinesReader",
    "TestJsonLinesWriter",
    "TestLlama2",
    "TestOpenChat",
    "TestOutputNames",
    "TestOutputSchema",
    "TestOutputUnion",
    "TestSameFamily",
    "TestSameTask",
    "TestTemplateFormat",
    "TestTextGeneration",
    "TestZephyr",
]
