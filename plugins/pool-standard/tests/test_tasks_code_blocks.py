"""Finding fenced code blocks."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pool_standard.code_blocks import CodeBlock, extract_code, find_code_blocks


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("", []),
        ("no code", []),
        ("`inline` and ``more``", []),
        ("```\na\n```", [("", "a")]),
        ("```python\na\nb\n```\n", [("python", "a\nb")]),
        ("~~~\na\n~~~", [("", "a")]),
        ("text\n```js title=x\na\n```\nmore\n~~~ py \nb\n~~~", [("js title=x", "a"), ("py", "b")]),
        ("````md\n```\ninner\n```\n````", [("md", "```\ninner\n```")]),
        ("```\na\n`````", [("", "a")]),
        ("`````\na\n```\nb\n`````", [("", "a\n```\nb")]),
        ("```\na\n~~~\nb\n```", [("", "a\n~~~\nb")]),
        ("```\na\n``` python\nb\n```", [("", "a\n``` python\nb")]),
        ("```\na\n```  \t\nb", [("", "a")]),
        ("``` a`b\nx\n```", [("", "")]),
        ("~~~ a`b~\nx\n~~~", [("a`b~", "x")]),
        ("   ```\n   a\n     b\n  c\nd\n  ```", [("", "a\n  b\nc\nd")]),
        ("    ```\na\n    ```", []),
        ("```\na\n    ```\nb\n```", [("", "a\n    ```\nb")]),
        ("```python\nunclosed\n\n", [("python", "unclosed\n")]),
        ("```python", [("python", "")]),
        ("```\n```", [("", "")]),
        ("```\n\n```", [("", "")]),
        ("```\r\na\r\nb\r\n```\r\n", [("", "a\r\nb")]),
        ("```\ra\r```", [("", "a")]),
        ("```\na\x0bb\u2028```\n```", [("", "a\x0bb\u2028```")]),
        ("text ```\na\n```\n", [("", "")]),
    ],
)
def test_blocks_are_read_as_commonmark_does(text: str, blocks: list[tuple[str, str]]) -> None:
    assert find_code_blocks(text) == [CodeBlock(*block) for block in blocks]


@pytest.mark.parametrize(
    ("info", "language"),
    [
        *[("python", "python"), ("Python", "python"), ("py", "python"), ("python3", "python"), ("", "")],
        *[("python title='a.py'", "python"), ("{.python .numbered}", "python"), ("C++", "cpp"), ("{}", "")],
        *[("sh", "bash"), ("JS", "javascript"), ("{python}", "python"), ("python,run", "python")],
    ],
)
def test_the_language_of_a_block(info: str, language: str) -> None:
    assert CodeBlock(info, "").language == language


@pytest.mark.parametrize(
    ("text", "language", "first"),
    [
        ("```\na\n```\n```python\nb\n```", "python", "b"),
        ("```\na\n```\n```py\nb\n```", "Python3", "b"),
        ("```\na\n```\n```rust\nb\n```", "python", "a"),
        ("```cpp\na\n```", "c++", "a"),
        ("```\n \n```\n```\nb\n```", "python", "b"),
        ("x = 1\n```", "python", None),
        ("x = 1", "python", None),
    ],
)
def test_blocks_of_the_language_are_preferred(text: str, language: str, first: str | None) -> None:
    assert extract_code(text, language, "first") == first


def test_which_blocks_are_taken() -> None:
    text = "```\na\n```\n```\nbbb\n```\n```\nccc\n```"
    assert extract_code(text, "python", "first") == "a"
    assert extract_code(text, "python", "longest") == "bbb"
    assert extract_code(text, "python", "all") == "a\n\nbbb\n\nccc"


HOSTILE = st.text(alphabet="`~ \t\r\nab{}.\u2028", max_size=60)


@given(HOSTILE)
def test_every_text_is_read(text: str) -> None:
    blocks = find_code_blocks(text)
    assert len(blocks) <= text.count("```") + text.count("~~~")
    for which in ("first", "longest", "all"):
        code = extract_code(text, "python", which)
        assert (code is None) == (not any(block.code.strip() for block in blocks))


@given(st.text(), st.sampled_from(["", "python"]), st.sampled_from("`~"))
def test_what_is_fenced_comes_out(code: str, info: str, mark: str) -> None:
    longest = max([2, *map(len, "".join(c if c == mark else " " for c in code).split())])
    fence = mark * (longest + 1)
    text = f"Here:\n{fence}{info}\n{code}\n{fence}\nDone."
    expected = code.removesuffix("\r") if code.endswith("\r") else code
    assert find_code_blocks(text) == [CodeBlock(info, expected)]


@pytest.mark.parametrize(
    "text",
    [
        "`" * 1_000_000,
        "~" * 1_000_000,
        "```" + " " * 1_000_000 + "x\n",
        "```\n" * 250_000,
        "`\n" * 500_000,
        " " * 1_000_000,
        "   ```\n" + "   " * 330_000,
        "```" + "`a" * 500_000,
        "\r" * 1_000_000,
        "``` {" + "." * 1_000_000,
        "```\n" + "``" * 500_000,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_a_megabyte_is_read_in_linear_time(text: str) -> None:
    start = time.process_time()
    extract_code(text, "python", "longest")
    assert time.process_time() - start < 5
