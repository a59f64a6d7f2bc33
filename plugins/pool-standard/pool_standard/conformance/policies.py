"""The conformance classes of the policies."""

from __future__ import annotations

from pathlib import Path

from pool_core.testing import PolicyConformance, Supports, make_signature
from pool_standard.tasks.chat import Chat
from pool_standard.tasks.code_generation import CodeGeneration

__all__ = [
    "TestAllOf",
    "TestAnyOf",
    "TestContract",
    "TestInputs",
    "TestOutputNames",
    "TestOutputSchema",
    "TestOutputUnion",
    "TestSameFamily",
    "TestSameTask",
]

_TEXT = make_signature("a", {"text": "str"})
_TEXT_TOO = make_signature("b", {"text": "str?"})
_NUMBER = make_signature("c", {"text": "list[int]"})
_CODE = make_signature("d", {"code": "str"})
_CHAT = make_signature("e", {"text": "str"}, task=Chat)
_CODER = make_signature("f", {"text": "str"}, task=CodeGeneration)
_READS = make_signature("g", {"text": "str"}, inputs={"prompt": "prompt"}, columns={"prompt": "str"})
_LACKS = make_signature("h", {"text": "str"}, inputs={"prompt": "promt"}, columns={"prompt": "str"})


class TestSameTask(PolicyConformance):
    use = "standard/same-task"
    supports = Supports(fixes=False)
    accepts = ([_TEXT, _TEXT_TOO],)
    refuses = ([_TEXT, _CHAT], [_CHAT, _CODER, _TEXT])


class TestSameFamily(PolicyConformance):
    use = "standard/same-family"
    supports = Supports(fixes=False)
    accepts = ([_TEXT, _TEXT_TOO],)
    refuses = ([_CHAT, _CODER], [_CODER, _TEXT, _CHAT])


class TestOutputNames(PolicyConformance):
    use = "standard/output-names"
    supports = Supports(fixes=True)
    accepts = ([_TEXT, _NUMBER],)
    refuses = ([_TEXT, _CODE], [_CODE, _TEXT, _TEXT_TOO])


class TestOutputSchema(PolicyConformance):
    use = "standard/output-schema"
    supports = Supports(fixes=True)
    accepts = ([_TEXT, _TEXT_TOO],)
    refuses = ([_TEXT, _CODE], [_TEXT, _NUMBER], [_NUMBER, _CODE, _TEXT_TOO])


class TestOutputUnion(PolicyConformance):
    use = "standard/output-union"
    supports = Supports(fixes=True)
    accepts = ([_TEXT, _CODE],)
    refuses = ([_TEXT, _NUMBER], [_NUMBER, _CODE, _TEXT_TOO])


class TestInputs(PolicyConformance):
    use = "standard/inputs"
    supports = Supports(fixes=True)
    accepts = ([_READS], [_TEXT])
    refuses = ([_LACKS], [_READS, _LACKS])


class TestContract(PolicyConformance):
    use = "standard/contract"
    supports = Supports(fixes=True)
    config = {"path": "contract.yaml"}  # noqa: RUF012 - declared as one of the class
    accepts = ([_TEXT, _TEXT_TOO], [_TEXT, _CODE])
    refuses = ([_NUMBER, _TEXT], [_CODE])

    def prepare(self, folder: Path) -> None:
        (folder / "contract.yaml").write_text("contract: 1\nfields:\n  text: str?\n", encoding="utf-8")


class TestAnyOf(PolicyConformance):
    use = "standard/any_of"
    supports = Supports(fixes=True)
    config = {"policies": ["output-schema", {"use": "same-task"}]}  # noqa: RUF012 - as above
    accepts = ([_TEXT, _CODE], [_TEXT, _CHAT])
    refuses = ([_CODE, _CHAT], [_CHAT, _NUMBER, _CODE])


class TestAllOf(PolicyConformance):
    use = "standard/all"
    supports = Supports(fixes=True)
    config = {"policies": ["output-schema", {"any_of": ["same-task", "same-family"]}]}  # noqa: RUF012 - as above
    accepts = ([_TEXT, _TEXT_TOO],)
    refuses = ([_TEXT, _CODE], [_TEXT, _CHAT])
