"""The stand-in has no name and no parameter that vLLM's own code does not have.

The source of a released vLLM is read, not imported: that needs a GPU's libraries. `POOL_VLLM_SOURCE` names its
folder, such as an unpacked wheel; where vLLM is installed, that one is taken.
"""

from __future__ import annotations

import ast
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

STUB = Path(__file__).parent / "stub" / "vllm"
#: What pool-vllm uses: module, class, and either a method with its parameters or the class's own fields.
USED = [
    ("engine/arg_utils.py", "EngineArgs", None, ["model", "revision", "dtype", "max_model_len"]),
    ("sampling_params.py", "StructuredOutputsParams", None, ["json"]),
    ("sampling_params.py", "RequestOutputKind", None, ["CUMULATIVE", "DELTA", "FINAL_ONLY"]),
    ("outputs.py", "CompletionOutput", None, ["text", "token_ids", "finish_reason"]),
    ("v1/engine/async_llm.py", "AsyncLLM", "from_engine_args", ["cls", "engine_args"]),
    ("v1/engine/async_llm.py", "AsyncLLM", "generate", ["self", "prompt", "sampling_params", "request_id"]),
    ("v1/engine/async_llm.py", "AsyncLLM", "abort", ["self", "request_id"]),
    ("v1/engine/async_llm.py", "AsyncLLM", "shutdown", ["self", "timeout"]),
    ("v1/engine/async_llm.py", "AsyncLLM", "get_tokenizer", ["self"]),
    ("v1/engine/exceptions.py", "EngineDeadError", None, []),
    ("v1/engine/exceptions.py", "EngineGenerateError", None, []),
]
#: Errors that are asked for by name; earlier releases have none of them, and raise `ValueError`.
ERRORS = {"VLLMClientError", "VLLMServerError", "GracefulHTTPError"}


@pytest.fixture(scope="module")
def source():
    named = os.environ.get("POOL_VLLM_SOURCE")
    if named:
        return Path(named)
    spec = find_spec("vllm") if "vllm" not in sys.modules else None
    if spec is None or spec.origin is None or Path(spec.origin).parent == STUB:
        pytest.skip("vLLM is not installed, and POOL_VLLM_SOURCE names no folder of its source")
    return Path(spec.origin).parent


def find_class(path, name):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return next(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == name)


def list_fields(node):
    targets = [one.target for one in node.body if isinstance(one, ast.AnnAssign)]
    targets += [target for one in node.body if isinstance(one, ast.Assign) for target in one.targets]
    return {target.id for target in targets if isinstance(target, ast.Name)}


@pytest.mark.parametrize(("path", "class_name", "method", "names"), USED, ids=lambda value: str(value)[:30])
def test_what_is_used_is_there(source, path, class_name, method, names):
    node = find_class(source / path, class_name)
    if method is None:
        assert set(names) <= list_fields(node)
        return
    found = next(
        one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.name == method
    )
    assert [argument.arg for argument in found.args.args[: len(names)]] == names
    assert len(found.args.args) - len(found.args.defaults) <= len(names), "further parameters have defaults"


def test_its_errors_are_there_or_are_values(source):
    tree = ast.parse((source / "exceptions.py").read_text(encoding="utf-8"))
    bases = {
        node.name: [base.id for base in node.bases if isinstance(base, ast.Name)]
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    if "VLLMError" in bases:
        assert bases.keys() >= ERRORS
        assert bases["VLLMValidationError"] == ["VLLMClientError"]
    else:
        assert not ERRORS & bases.keys()
        assert bases["VLLMValidationError"] == ["ValueError"]


def test_each_parameter_that_is_given_is_one_of_vllms(source):
    real = list_fields(find_class(source / "sampling_params.py", "SamplingParams"))
    assert list_fields(find_class(STUB / "sampling_params.py", "SamplingParams")) <= real
    from pool_vllm.backend import PARAMETERS

    assert real >= PARAMETERS | {"output_kind", "structured_outputs"}


def test_the_window_is_where_it_is_looked_for(source):
    assert "self.model_config = vllm_config.model_config" in (source / "v1/engine/async_llm.py").read_text("utf-8")
    assert "max_model_len" in list_fields(find_class(source / "config" / "model.py", "ModelConfig"))
