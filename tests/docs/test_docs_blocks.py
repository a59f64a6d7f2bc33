"""Every block of every page is run, compared or read, or says why not. `run_page` says what a block may be."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from pages import PAGES, ROOT, read_blocks
from run_page import DATA, GATE, NOT_RUN, assert_shows, check_data, list_problems, run_page

#: How many blocks of a page say that they are not run. One more is a decision, and stands here.
NOT_RUN_ON = {
    "CONTRIBUTING.md": 2,
    "docs/how-to/plugins.md": 1,
    "docs/how-to/testing.md": 4,
    "docs/tutorials/endpoint.md": 1,
    "docs/tutorials/start.md": 1,
}
#: Plugins that a page needs besides pool-standard and pool-replay.
MORE_PLUGINS = {
    "docs/tutorials/endpoint.md": ("openai",),
    "docs/how-to/layouts.md": ("sentiment",),
    "docs/how-to/plugins.md": ("sentiment",),
    "docs/how-to/structured.md": ("openai",),  # the extras are where it is
}


#: Pages that are read and done by a test of their own.
TRIED_ELSEWHERE = {"docs/tutorials/plugin.md": "tests/packaging/test_plugin_tutorial.py"}


def has_actions(page):
    """Whether anything of the page is run: then it needs plugins."""
    return any(block.kind not in DATA and not block.note.startswith((GATE, NOT_RUN)) for block in read_blocks(page))


HERE = [page for page in PAGES if page not in TRIED_ELSEWHERE]
ACTIVE = [page for page in HERE if has_actions(page)]
PASSIVE = [page for page in HERE if page not in ACTIVE and read_blocks(page)]


@pytest.mark.parametrize("page", HERE)
def test_every_block_can_be_tried(page):
    problems = [f"{block}: {problem}" for block in read_blocks(page) for problem in list_problems(block)]
    assert problems == []


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.plugins("standard", "replay", *MORE_PLUGINS.get(page, ())))
        for page in ACTIVE
    ],
)
def test_a_page_does_what_it_says(page, folder):
    assert run_page(page, folder) > 0


@pytest.mark.parametrize("page", PASSIVE)
def test_what_a_page_quotes_can_be_read(page):
    for block in read_blocks(page):
        if block.kind in DATA and not block.note.startswith(NOT_RUN):
            check_data(block)


@pytest.mark.parametrize("page", TRIED_ELSEWHERE)
def test_the_test_of_a_page_reads_it(page):
    assert page.rpartition("/")[2] in (ROOT / TRIED_ELSEWHERE[page]).read_text(encoding="utf-8")


def test_few_blocks_are_not_run():
    found = Counter(block.page for page in PAGES for block in read_blocks(page) if block.note.startswith(NOT_RUN))
    assert dict(found) == NOT_RUN_ON


def test_only_the_readme_has_the_commands_of_the_gate():
    gate = [block for page in PAGES for block in read_blocks(page) if block.note.startswith(GATE)]
    assert [(block.page, block.kind, len(block.text.splitlines())) for block in gate] == [("README.md", "sh", 1)] * 2
    assert "pool run examples/mixed-tasks/recipe.yaml" in gate[0].text
    assert "tox run" in gate[1].text


def test_shown_output_is_compared():
    assert_shows("a\n...\nc\nd...\n", "a\nb\nc\n  d and more\n")
    assert_shows("a b\nc\n", "a\n    b c\n")
    for shown in ("a\nc\n", "c\n", "...\nx\n", "a\n...\nc\nd\n", "ab\nc\n"):
        with pytest.raises(AssertionError):
            assert_shows(shown, "a\nb\nc\nd and more\n")


#: What is not true, and the words of the error that tells of it.
FALSE_PAGES = {
    "a command that fails": ("```sh\npool check nowhere.yaml\n```\n", "line 1: pool check nowhere.yaml"),
    "another exit code": ("```sh\npool --version  # exit code 2\n```\n", "ended with 0"),
    "another output": ("<!-- shows: pool --version -->\n```text\npool-core 99\n```\n", "pool-core 99"),
    "another print": ("```python\nprint(1)\n```\n\n<!-- prints -->\n```text\n2\n```\n", "printed:\n1"),
    "Python that fails": ("```python\nassert 1 == 2\n```\n", "AssertionError"),
    "a warning": ("```python\nimport warnings\nwarnings.warn('old', DeprecationWarning)\n```\n", "Warning: old"),
    "another file": ("<!-- part of: README.md -->\n```yaml\nthis: stands nowhere in it\n```\n", "is not in"),
    "an unknown key": ("```yaml\npool: {membres: []}\n```\n", "membres"),
    "a wrong value": ("```yaml\nreask: {times: many}\n```\n", "reask"),
    "no TOML": ("```toml\na = \n```\n", "Invalid value"),
    "no JSON": ("```jsonl\n{}\n{\n```\n", "Expecting property name"),
}


@pytest.mark.parametrize(("text", "words"), FALSE_PAGES.values(), ids=FALSE_PAGES)
def test_a_page_that_is_not_true_fails(text, words, tmp_path, monkeypatch):
    monkeypatch.setattr("run_page.ROOT", tmp_path)
    (tmp_path / "README.md").write_text("nothing")
    (tmp_path / "page.md").write_text(text)
    assert all(list_problems(block) == [] for block in read_blocks("page.md", text))
    with pytest.raises((AssertionError, ValueError), match=re.escape(words)):
        run_page("page.md", tmp_path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("```text\nwhat is this\n```\n", "nobody knows what this block is"),
        ("```sh\nrm -r .\n```\n", "nobody tries this line"),
        ("<!-- not run: no -->\n```sh\npool run\n```\n", "does not say why"),
    ],
)
def test_a_block_that_nobody_tries_is_told(text, problem):
    (block,) = read_blocks("page.md", text)
    assert problem in list_problems(block)[0]


def test_python_blocks_share_a_session_and_files_and_servers_are_there(tmp_path, monkeypatch):
    monkeypatch.setattr("run_page.ROOT", tmp_path)
    (tmp_path / "page.md").write_text(
        "<!-- server: 127.0.0.1:8000 -->\n"
        '```python title="mine.py"\nADDRESS = "127.0.0.1:8000"\n```\n'
        "```python\nfrom mine import ADDRESS\nname = 'x'\n```\n"
        "```python\nimport urllib.request\n"
        "with urllib.request.urlopen(f'http://{ADDRESS}/v1/models') as reply:\n    print(reply.status, name)\n```\n"
        "<!-- prints -->\n```text\n200 x\n```\n"
        "```sh\nhead -n 1 mine.py\n```\n"
        '<!-- prints -->\n```text\nADDRESS = "127.0.0.1:8000"\n```\n'
    )
    assert run_page("page.md", tmp_path) == 6
