"""The servers: where each is found on this machine, how it is started, and how to get it where it is not here."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

__all__ = ["COUNTERPARTS", "Counterpart"]


@dataclass(frozen=True, slots=True)
class Counterpart:
    """A server that speaks OpenAI's API and is none of ours."""

    name: str
    #: What it is, for people.
    title: str
    #: The variable of the environment that says where it is; see ``find``.
    variable: str
    #: How to get it, in a line.
    get: str
    #: What it serves: the tiny model as GGUF or as a folder of transformers, or answers from a file.
    serves: Literal["gguf", "folder", "fixtures"]
    #: The start of its command; None where it is not on this machine.
    find: Callable[[], Sequence[str] | None]
    #: The rest of its command, of what it serves and the port.
    write_arguments: Callable[[Path, int], Sequence[str]]
    #: Path that is answered with 200 once it serves.
    ready: str = "/health"


def _find_program(variable: str, program: str) -> Callable[[], Sequence[str] | None]:
    def find() -> Sequence[str] | None:
        found = os.environ.get(variable) or shutil.which(program)
        return [found] if found else None

    return find


def _find_transformers() -> Sequence[str] | None:
    if given := os.environ.get("POOL_TRANSFORMERS"):
        return [given, "serve"]
    # that of this environment and no other: the path may have one of another Python
    beside = Path(sys.executable).parent / "transformers"
    there = beside.exists() and all(find_spec(name) for name in ("torch", "fastapi", "uvicorn"))
    return [str(beside), "serve"] if there else None


def _find_llama_cpp() -> Sequence[str] | None:
    if given := os.environ.get("POOL_LLAMA_CPP_PYTHON"):
        return [given, "-m", "llama_cpp.server"]
    there = all(find_spec(name) for name in ("llama_cpp", "fastapi", "uvicorn", "starlette_context"))
    return [sys.executable, "-m", "llama_cpp.server"] if there else None


COUNTERPARTS = (
    Counterpart(
        "llama-server",
        "llama.cpp's llama-server",
        "POOL_LLAMA_SERVER",
        "build it of llama.cpp's sources (`cmake --build build --target llama-server`), which are in the source "
        "distribution of llama-cpp-python as well, and set POOL_LLAMA_SERVER to the program",
        "gguf",
        _find_program("POOL_LLAMA_SERVER", "llama-server"),
        lambda model, port: ["-m", str(model), "--port", str(port), "--jinja", "--offline", "-np", "4", "-c", "2048"],
    ),
    Counterpart(
        "llama-cpp-python",
        "llama-cpp-python's server",
        "POOL_LLAMA_CPP_PYTHON",
        '`pip install "llama-cpp-python[server]"`, or set POOL_LLAMA_CPP_PYTHON to a Python that has it',
        "gguf",
        _find_llama_cpp,
        lambda model, port: ["--model", str(model), "--host", "127.0.0.1", "--port", str(port), "--n_ctx", "512"],
        "/v1/models",
    ),
    Counterpart(
        "transformers",
        "`transformers serve`",
        "POOL_TRANSFORMERS",
        '`pip install torch "transformers[serving]"`, or set POOL_TRANSFORMERS to the program `transformers`',
        "folder",
        _find_transformers,
        lambda model, port: [str(model), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
    ),
    Counterpart(
        "aimock",
        "aimock",
        "POOL_AIMOCK",
        "`npm install @copilotkit/aimock`, and set POOL_AIMOCK to its program `llmock`",
        "fixtures",
        _find_program("POOL_AIMOCK", "llmock"),
        lambda fixtures, port: ["--port", str(port), "--fixtures", str(fixtures)],
    ),
)
