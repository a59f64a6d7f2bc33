"""The data of the example of mixed tasks: instructions, recording and recipe belong together."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
import yaml

FOLDER = Path(__file__).parent.parent / "examples" / "mixed-tasks"


def read_lines(name):
    return [json.loads(line) for line in (FOLDER / name).read_text(encoding="utf-8").splitlines()]


RECIPE = yaml.safe_load((FOLDER / "recipe.yaml").read_text(encoding="utf-8"))
MEMBERS = {member["name"]: member for member in RECIPE["pool"]["members"]}
ROWS = read_lines("instructions.jsonl")
HEADER, *ENTRIES = read_lines("recording.jsonl")


def answers_of(model):
    """The model's answers by the id of the row that they belong to."""
    ids = {row["instruction"]: row["id"] for row in ROWS}
    return {ids[entry["prompt"][-1]["content"]]: entry["answer"] for entry in ENTRIES if entry["model"] == model}


def test_instructions_are_half_general_and_half_of_programming():
    assert [sorted(row) for row in ROWS] == [["id", "instruction", "source"]] * 24
    assert len({row["id"] for row in ROWS}) == len({row["instruction"] for row in ROWS}) == 24
    assert sorted(row["source"] for row in ROWS) == ["chat"] * 12 + ["code"] * 12


@pytest.mark.parametrize("name", ["scribe", "sage", "coder"])
def test_recording_answers_what_the_members_ask(name):
    member = MEMBERS[name]
    system = {"role": "system", "content": member["task"]["system_prompt"]}
    asked = [[system, {"role": "user", "content": row["instruction"]}] for row in ROWS]
    entries = [entry for entry in ENTRIES if entry["model"] == member["backend"]["model"]]
    assert [entry["prompt"] for entry in entries] == asked
    assert {entry["sample"] for entry in entries} == {0}


def test_every_line_of_the_recording_is_read():
    recording = pytest.importorskip("pool_replay.recording")
    entries = list(recording.read_recording(FOLDER / "recording.jsonl"))
    assert [entry.answer.text for entry in entries] == [entry["answer"]["text"] for entry in ENTRIES]


def test_recording_has_72_answers_with_plausible_usage():
    assert len(ENTRIES) == 72
    for entry in ENTRIES:
        asked = sum(len(message["content"]) for message in entry["prompt"])
        said = len(entry["answer"]["text"])
        assert entry["answer"]["usage"]["input_tokens"] == pytest.approx(asked / 4, abs=1)
        assert entry["answer"]["usage"]["output_tokens"] == pytest.approx(said / 4, abs=1)


def test_header_says_plainly_what_the_answers_are():
    assert HEADER["recording"] == 1
    for part in ("written for this example by its authors", "come from no model"):
        assert part in HEADER["about"]


def test_every_answer_is_whole():
    assert {entry["answer"]["finish_reason"] for entry in ENTRIES} == {"stop"}
    assert all(entry["answer"]["text"] for entry in ENTRIES)


def test_code_answers_have_one_block_of_valid_python():
    for answer in answers_of("coder-7b").values():
        _, opening, rest = answer["text"].partition("```python\n")
        code, closing, after = rest.partition("```")
        assert (opening, after) == ("```python\n", "")
        assert closing == "```"
        ast.parse(code)


def test_lengths_are_those_that_the_prompts_ask_for():
    assert all(40 <= len(answer["text"].split()) <= 80 for answer in answers_of("scribe-7b").values())
    assert all(10 <= len(answer["text"].split()) <= 30 for answer in answers_of("sage-7b").values())
