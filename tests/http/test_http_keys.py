"""Keys are read from where the reference points, and show themselves nowhere."""

from __future__ import annotations

import base64
import copy
import pickle
from urllib.parse import quote

import pytest

from pool_core.errors import BackendError
from pool_core.http.keys import Key, KeyReference, read_key
from pool_core.interfaces.values import Cause

CANARY = "sk-CANARY-0123456789/abcdef"


def fail(reference):
    with pytest.raises(BackendError) as caught:
        read_key(KeyReference.parse(reference))
    assert caught.value.cause is Cause.AUTH
    assert "CANARY" not in str(caught.value) + repr(caught.value) + str(vars(caught.value))
    assert caught.value.__cause__ is None
    return caught.value


def test_reads_the_environment_and_files(monkeypatch, tmp_path):
    monkeypatch.setenv("MY_KEY", f" {CANARY}\n")
    (tmp_path / "key").write_text(f"{CANARY}\r\n")
    assert read_key(KeyReference.parse("env:MY_KEY")).reveal() == CANARY
    assert read_key(KeyReference.parse(f"file:{tmp_path / 'key'}")).reveal() == CANARY


def test_says_which_variable_is_missing():
    error = fail("env:NO_SUCH_KEY")
    assert error.message == "the environment variable NO_SUCH_KEY is not set"
    assert error.hint == "set NO_SUCH_KEY, or point api_key to another env:NAME or file:PATH"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("sk-CANARY\nsk-CANARY", "holds no key: there is a line break, a space or a character outside ASCII in it"),
        ("sk CANARY", "holds no key: there is a line break"),
        ("sk-CANARYé", "holds no key: there is a line break"),
    ],
)
def test_says_what_is_wrong_with_what_is_there(content, message, monkeypatch, tmp_path):
    monkeypatch.setenv("BAD_KEY", content)
    (tmp_path / "key").write_text(content)
    assert message in fail("env:BAD_KEY").message
    error = fail(f"file:{tmp_path / 'key'}")
    assert error.message.startswith(f"the key file {tmp_path / 'key'} {message}")
    assert error.hint == "it must hold the key and nothing else; or point api_key to another env:NAME or file:PATH"


def test_says_why_a_file_cannot_be_read(tmp_path):
    assert (
        fail(f"file:{tmp_path / 'none'}").message
        == f"cannot read the key file {tmp_path / 'none'}: No such file or directory"
    )
    assert "Is a directory" in fail(f"file:{tmp_path}").message


def test_reads_no_more_than_a_key_can_have(tmp_path):
    (tmp_path / "key").write_bytes(b"x" * 16385)
    assert "holds no key: it has more than 16384 bytes" in fail(f"file:{tmp_path / 'key'}").message
    (tmp_path / "key").write_bytes(b"x" * 16384)
    assert len(read_key(KeyReference.parse(f"file:{tmp_path / 'key'}")).reveal()) == 16384


def test_a_key_shows_itself_nowhere():
    key = Key(CANARY)
    assert [repr(key), str(key), f"{key}"] == ["Key(***)"] * 3
    for copying in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="a key is never pickled or copied"):
            copying(key)
    with pytest.raises(TypeError):
        vars(key)


@pytest.mark.parametrize(
    "spelling",
    [CANARY, quote(CANARY, safe=""), base64.b64encode(CANARY.encode()).decode(), CANARY.replace("/", "\\/")],
)
def test_masks_every_spelling(spelling):
    assert Key(CANARY).mask(f"a {spelling}, {spelling} b") == "a ***, *** b"


def test_masks_html():
    assert Key("a&b<c").mask("a&amp;b&lt;c") == "***"


@pytest.mark.parametrize(
    "spelling",
    [
        "sk/a+b?c~",
        "sk%2Fa%2Bb%3Fc~",
        "sk/a%2Bb%3Fc~",
        "sk%2fa%2bb%3fc~",
        "sk/a%2bb%3fc~",
        "sk\\/a+b?c~",
        "c2svYStiP2N+",
        "c2svYStiP2N-",
    ],
)
def test_masks_a_key_with_characters_that_change(spelling):
    assert Key("sk/a+b?c~").mask(f"<{spelling}>") == "<***>"


def test_masks_base64_with_and_without_its_end():
    assert Key("sk-ab").mask("c2stYWI= c2stYWI") == "*** ***"
