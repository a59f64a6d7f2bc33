"""The recording file: what is written is read again, and what a crash or a hand does to it."""

from __future__ import annotations

import json
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pool_replay.recording import Entry, RecordingWriter, identify_prompt, read_recording

from pool_core.errors import BackendError
from pool_core.interfaces.values import Answer, Cause, Message, Prompt, Usage

LINE = '{"model": "m", "prompt": "p", "sample": 0, "answer": {"text": "t"}}'


def write(path, entries):
    writer = RecordingWriter(path)
    writer.open()
    try:
        for entry in entries:
            writer.append(entry)
    finally:
        writer.close()


def test_line_is_read_into_an_entry(tmp_path):
    path = tmp_path / "recording.jsonl"
    path.write_text(
        '{"recording": 1, "about": "made by hand"}\n\n'
        '{"model": "m", "prompt": [{"role": "user", "content": "hi"}], "sample": 2, "sampling": {"temperature": 0},'
        ' "schema": {"type": "object"},'
        ' "answer": {"text": "ho", "finish_reason": "stop", "usage": {"input_tokens": 1, "output_tokens": 2}}}\n',
        encoding="utf-8",
    )
    prompt = Prompt((Message("user", "hi"),), schema={"type": "object"})
    answer = Answer("ho", "stop", Usage(1, 2))
    assert list(read_recording(path)) == [Entry("m", prompt, 2, answer, {"temperature": 0})]


ENTRIES = [
    Entry("m", Prompt.chat("hi", "system"), 0, Answer("plain", "stop", Usage(1, None))),
    Entry("m", Prompt(text="a text"), 3, Answer("lone \ud800 surrogate, ü, \u2028, \x00", model="m-1")),
    Entry(
        "m",
        Prompt((Message("user", [{"type": "text", "text": "part"}]),), schema={"type": "string"}),
        1,
        Answer(
            None,
            "tool_calls",
            refusal="no",
            reasoning="first \udfff\nthen",
            tool_calls=[{"id": "1", "function": {"name": "f", "arguments": "{}"}}],
            extra={"logprobs": [-0.25, 1e-300], "id": None, "deep": {"er": [True, 2**70]}},
        ),
        {"temperature": 0.7, "stop": ["\n"]},
    ),
]


def test_written_entries_are_read_again(tmp_path):
    write(tmp_path / "recording.jsonl", ENTRIES)
    assert list(read_recording(tmp_path / "recording.jsonl")) == ENTRIES


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
answers = st.builds(
    Answer,
    text=st.none() | st.text(),
    finish_reason=st.none() | st.text(),
    usage=st.none() | st.builds(Usage, st.none() | st.integers(0), st.none() | st.integers(0)),
    refusal=st.none() | st.text(),
    reasoning=st.none() | st.text(),
    tool_calls=st.none() | st.lists(st.dictionaries(st.text(), plain, max_size=2), max_size=2),
    extra=st.none() | st.dictionaries(st.text(), plain, max_size=3),
)


@given(st.lists(answers, max_size=4))
def test_any_answer_is_read_as_it_was_written(tmp_path_factory, found):
    path = tmp_path_factory.mktemp("recording") / "recording.jsonl"
    entries = [Entry("m", Prompt.chat("hi"), sample, answer) for sample, answer in enumerate(found)]
    write(path, entries)
    assert list(read_recording(path)) == entries


def test_read_only_mappings_are_written_too(tmp_path):
    path = tmp_path / "recording.jsonl"
    write(path, [Entry("m", Prompt(text="p"), 0, Answer("t", extra=MappingProxyType({"a": (1, 2)})))])
    assert [entry.answer.extra for entry in read_recording(path)] == [{"a": [1, 2]}]


def test_new_file_starts_with_its_header_and_an_old_one_goes_on(tmp_path):
    path = tmp_path / "recording.jsonl"
    write(path, ENTRIES[:1])
    write(path, ENTRIES[1:])
    lines = path.read_text(encoding="ascii").splitlines()
    assert json.loads(lines[0]) == {"recording": 1}
    assert len(lines) == 1 + len(ENTRIES)
    assert list(read_recording(path)) == ENTRIES


@pytest.mark.parametrize("kept", [1, 40, len(LINE) - 1])
def test_torn_last_line_is_dropped_and_the_others_are_kept(tmp_path, kept):
    path = tmp_path / "recording.jsonl"
    path.write_text(f"{LINE}\n{LINE}\n{LINE[:kept]}")
    assert len(list(read_recording(path))) == 2


def test_writer_takes_a_torn_last_line_away(tmp_path):
    path = tmp_path / "recording.jsonl"
    path.write_text(f"{LINE}\n{LINE[:30]}")
    write(path, ENTRIES)
    assert [entry.model for entry in read_recording(path)] == ["m"] * (1 + len(ENTRIES))
    assert path.read_text().startswith(f'{LINE}\n{{"model":"m"')


def test_whole_last_line_without_line_end_counts_and_is_ended_by_the_writer(tmp_path):
    path = tmp_path / "recording.jsonl"
    path.write_text(LINE)
    assert len(list(read_recording(path))) == 1
    write(path, ENTRIES)
    assert len(list(read_recording(path))) == 1 + len(ENTRIES)


def test_byte_order_mark_and_headers_of_joined_recordings_are_passed_over(tmp_path):
    path = tmp_path / "recording.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"recording": 1}\r\n' + f'{LINE}\r\n{{"recording": 1}}\n{LINE}\n'.encode())
    assert len(list(read_recording(path))) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (LINE[:-1], "is no JSON"),
        ('{"a": "\xff"}'.encode("latin-1").decode("utf-8", "surrogateescape"), "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "is not an entry: Expected `object`, got `array`"),
        (LINE.replace('"m"', "3"), r"Expected `str`, got `int` - at `\$.model`"),
        (LINE.replace("0,", "-1,"), r"at `\$.sample`"),
        (LINE.replace('"p"', "[]"), r"at `\$.prompt`"),
        (LINE.replace('"p"', '[{"role": "user", "content": "c", "name": "n"}]'), r"unknown field `name`"),
        (LINE.replace('"text"', '"txt"'), "missing required field `text`"),
        (LINE.replace('"t"}', '"t", "tool_call": []}'), r"unknown field `tool_call` - at `\$.answer`"),
        (LINE.replace('"model"', '"modle"'), "missing required field `model`|unknown field `modle`"),
        ('{"recording": 2}', "has format 2, this version reads format 1\n  Update pool-replay"),
    ],
)
def test_wrong_line_is_an_error_with_file_and_line(tmp_path, line, message):
    path = tmp_path / "recording.jsonl"
    path.write_bytes(f"{LINE}\n{line}\n{LINE}\n".encode(errors="surrogateescape"))
    with pytest.raises(BackendError, match=message) as caught:
        list(read_recording(path))
    assert caught.value.where == f"{path}:2"
    assert caught.value.hint
    assert caught.value.cause is Cause.BAD_REQUEST


def test_missing_file_is_an_error_with_path_and_hint(tmp_path):
    with pytest.raises(BackendError, match=r"none\.jsonl cannot be read: No such file.*\n.*Check `path`"):
        list(read_recording(tmp_path / "none.jsonl"))


def test_missing_folder_is_an_error_of_the_writer(tmp_path):
    with pytest.raises(BackendError, match=r"cannot be written: No such file(?s:.*)in a folder that exists"):
        RecordingWriter(tmp_path / "none" / "recording.jsonl").open()


def test_value_that_json_has_no_word_for_is_an_error_and_leaves_no_trace(tmp_path):
    path = tmp_path / "recording.jsonl"
    with pytest.raises(BackendError, match=r"answer of m cannot be recorded: bytes is no JSON value(?s:.*)plain JSON"):
        write(path, [Entry("m", Prompt(text="p"), 0, Answer("t", extra={"raw": b"bytes"}))])
    assert list(read_recording(path)) == []


def test_append_without_open_is_an_error(tmp_path):
    with pytest.raises(BackendError, match="is not open\n  Call `open` first"):
        RecordingWriter(tmp_path / "recording.jsonl").append(ENTRIES[0])


def test_full_disk_leaves_whole_lines_only(tmp_path):
    class ShortFile:
        """A file that takes half of what it is given, as a full disk does."""

        def __init__(self, file):
            self._file = file

        def write(self, data):
            return self._file.write(data[: len(data) // 2])

        def __getattr__(self, name):
            return getattr(self._file, name)

    path = tmp_path / "recording.jsonl"
    writer = RecordingWriter(path)
    writer.open()
    writer.append(ENTRIES[0])
    whole = path.read_bytes()
    writer._file = ShortFile(writer._file)
    with pytest.raises(BackendError, match=r"cannot be written: No space left(?s:.*)has space left"):
        writer.append(ENTRIES[1])
    writer.close()
    assert path.read_bytes() == whole


def test_prompts_are_told_apart_by_what_they_say():
    prompts = [
        Prompt.chat("a"),
        Prompt.chat("a", "system"),
        Prompt.chat("b"),
        Prompt((Message("assistant", "a"),)),
        Prompt((Message("user", [{"type": "text", "text": "a"}]),)),
        Prompt(text="a"),
    ]
    assert len({identify_prompt(prompt) for prompt in prompts}) == len(prompts)
    turned = Prompt((Message("user", ({"text": "a", "type": "text"},)),))
    assert identify_prompt(turned) == identify_prompt(prompts[4])
