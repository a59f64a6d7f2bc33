"""What the servers serve: the tiny models that the plugins' own tests make, and answers from a file."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

from counterparts.servers import Counterpart

__all__ = ["ANSWER", "NotMadeError", "make_model"]

PLUGINS = Path(__file__).parents[2] / "plugins"
#: What aimock says, whatever it is asked.
ANSWER = "A plain answer of some ten words, which never changes at all."


class NotMadeError(Exception):
    """A model cannot be made here; the message says what is missing."""


def make_model(counterpart: Counterpart, folder: Path) -> Path:
    """What ``counterpart`` serves, in ``folder``; made where it is not there.

    Raises:
        NotMadeError: what it is made with is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    match counterpart.serves:
        case "gguf":
            path = folder / "tiny.gguf"
            if not path.exists():
                _need("gguf")
                _load_maker("pool-llamacpp").write_model(path)
        case "folder":
            path = folder / "tiny"
            if not path.exists():
                _need("torch", "transformers")
                _make_folder(path)
        case "fixtures":
            path = folder / "fixtures.json"
            fixture = {"match": {}, "response": {"content": ANSWER}}
            path.write_text(json.dumps({"fixtures": [fixture]}), encoding="utf-8")
    return path


def _make_folder(path: Path) -> None:
    maker = _load_maker("pool-transformers")
    tokenizer = maker.make_tokenizer()
    model: Any = maker.make_model(tokenizer)
    model.generation_config.do_sample = True  # without, `transformers serve` heeds neither temperature nor seed
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)


def _need(*modules: str) -> None:
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise NotMadeError(f"the tiny model is made with {', '.join(missing)}, which is not installed")


def _load_maker(plugin: str) -> ModuleType:
    """The module in which the tests of a plugin make their tiny model."""
    path = PLUGINS / plugin / "tests" / "conftest.py"
    spec = importlib.util.spec_from_file_location(f"makes_{plugin.replace('-', '_')}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
