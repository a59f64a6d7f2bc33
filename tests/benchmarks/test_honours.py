"""What servers honour: verdicts about servers that are known to heed or ignore all, starting one, and the page."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from random import Random

import honours
import pytest
from counterparts.page import write_cell, write_page
from counterparts.probes import PROBES, Seen, probe_all
from counterparts.results import RESULTS, Asked, read_results, write_results
from counterparts.servers import COUNTERPARTS, Counterpart
from counterparts.start import NotStartedError, Running, start

from pool_core.testing.replies import Reply, make_chat_body, make_error_body, make_text_body
from pool_core.testing.server import ScriptedServer

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "servers.md"
SENTENCE = "a plain answer of some words that do not come twice in it and go on for long"
WORDS = SENTENCE.split()
FIELDS = {
    *("model", "messages", "prompt", "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "min_p"),
    *("seed", "stop", "n", "logprobs", "top_logprobs", "frequency_penalty", "presence_penalty", "response_format"),
}

# --- servers that are known


def refuse(body):
    """What is wrong with a request, None where nothing is."""
    if unknown := body.keys() - FIELDS:
        return Reply(422, {"detail": f"Unexpected fields in the request: {unknown}"})
    if body["model"] != "known":
        return Reply(404, make_error_body("no such model", code="model_not_found"))
    if not isinstance(body.get("temperature", 0), int | float):
        return Reply(400, make_error_body("no number", param="temperature"))
    asked = body.get("prompt") or body["messages"][-1]["content"]
    if len(asked.split()) > 100:
        return Reply(400, make_error_body("too long", code="context_length_exceeded"))
    return None


def choose_words(body):
    """What a model would write: always the same, unless it is asked for something else."""
    words = list(WORDS)
    if body.get("frequency_penalty") or body.get("presence_penalty"):
        words.reverse()
    narrow = body.get("top_p", 1) < 0.5 or body.get("top_k") == 1 or body.get("min_p") == 1
    if body.get("temperature") and not narrow:
        Random(body.get("seed")).shuffle(words)
    return ['{"verdict": "good", "sure": true}'] if "response_format" in body else words


def heed(request):
    """A server that heeds all that it is sent."""
    body = request.body
    if (refused := refuse(body)) is not None:
        return refused
    words = choose_words(body)
    most = body.get("max_completion_tokens", body.get("max_tokens") or 99)
    text = " ".join(words[:most])
    for word in body.get("stop", ()):
        text = text.partition(word)[0]
    reason = "length" if len(words) > most else "stop"
    if "prompt" in body:
        return Reply(body=make_text_body(text, finish_reason=reason))
    made = make_chat_body(text, finish_reason=reason)
    (choice,) = made["choices"]
    if body.get("logprobs"):
        choice["logprobs"] = {"content": [{"token": text, "logprob": -0.5}]}
    made["choices"] = [choice] * body.get("n", 1)
    return Reply(body=made)


def ignore(request):
    """A server that says the same, whatever it is sent."""
    return Reply(body=make_text_body(" ".join(WORDS)) if "prompt" in request.body else make_chat_body(" ".join(WORDS)))


def roll(request):
    """A server that says something else each time."""
    text = " ".join(Random().sample(WORDS, len(WORDS)))
    return Reply(body=make_text_body(text) if "prompt" in request.body else make_chat_body(text))


def break_down(request):
    return Reply(500)


def probe(script):
    with ScriptedServer(script) as server:
        return asyncio.run(probe_all(Running(COUNTERPARTS[0], server.url, "known")))


needs_the_backend = pytest.mark.plugins("openai")
ERRORS = ("wrong model", "too long a prompt", "wrong value", "unknown field")


@needs_the_backend
def test_a_server_that_heeds_everything_is_seen_to():
    found = probe(heed)
    assert list(found) == [one.name for one in PROBES]
    wrong = {name: seen for name, seen in found.items() if seen.verdict != "honoured" and name not in ERRORS}
    assert wrong == {}
    assert {name: found[name].verdict for name in ERRORS} == dict.fromkeys(ERRORS, "refused")
    assert found["too long a prompt"].note == "`context_length`"
    assert found["wrong model"].note == "`bad_request`, stops the member"
    assert {name for name, seen in found.items() if seen.told} == {"n"}


@needs_the_backend
def test_a_server_that_ignores_everything_is_seen_to():
    found = probe(ignore)
    cannot_be_told = {name for name, seen in found.items() if seen.verdict == "untold"}
    assert cannot_be_told == {"temperature", "seed", "seed, at a time", "top_p", "top_k", "min_p"}
    assert {name for name, seen in found.items() if seen.verdict == "answered"} == set(ERRORS)
    assert {name for name, seen in found.items() if seen.verdict == "ignored"} == {
        *("max_tokens", "max_completion_tokens", "stop", "frequency_penalty", "presence_penalty", "logprobs", "n"),
        "JSON Schema",
    }
    told = {"max_tokens", "max_completion_tokens", "stop", "logprobs", "JSON Schema"}
    assert {name for name, seen in found.items() if seen.told} == told


@needs_the_backend
def test_a_server_that_answers_at_random_heeds_no_seed_and_no_temperature():
    found = probe(roll)
    assert {found[name].verdict for name in ("temperature", "seed", "top_p", "top_k", "min_p")} == {"ignored"}


@needs_the_backend
def test_a_server_that_fails_refuses_everything():
    found = probe(break_down)
    at_once = found.pop("32 at a time")
    assert set(found.values()) == {Seen("refused", "`server`")}
    assert at_once == Seen("partly", "32 of 32 fail")


# --- starting one

PROGRAM = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"data": [{"id": sys.argv[2] + " in " + os.environ["HOME"]}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
print("serving", flush=True)
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def make_counterpart(program, *, command=None):
    return Counterpart(
        "mine",
        "a server",
        "POOL_MINE",
        "write it",
        "fixtures",
        lambda: [sys.executable, "-c", program] if command is None else command or None,
        lambda model, port: [str(port), str(model)],
    )


def test_a_server_is_started_and_ended(tmp_path):
    with start(make_counterpart(PROGRAM), Path("the-model"), tmp_path) as running:
        assert running.model == f"the-model in {tmp_path}"
        assert running.url.startswith("http://127.0.0.1:")
        assert running.url.endswith("/v1")
    with pytest.raises(ConnectionError):
        read_address(running.url)
    assert (tmp_path / "output.txt").read_text(encoding="utf-8").startswith("serving")


def read_address(url):
    import socket

    host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
    socket.create_connection((host, int(port)), timeout=60).close()


def test_a_server_that_does_not_start_says_what_it_said(tmp_path):
    broken = make_counterpart("import sys; print('no such model'); sys.exit(3)")
    with pytest.raises(NotStartedError, match="mine did not start: no such model"), start(broken, Path("m"), tmp_path):
        pass


def test_a_server_that_is_not_here_says_how_to_get_it(tmp_path):
    missing = make_counterpart("", command=())
    with pytest.raises(NotStartedError, match="mine is not here: write it"), start(missing, Path("m"), tmp_path):
        pass


def test_each_is_found_where_its_variable_says(monkeypatch):
    for counterpart in COUNTERPARTS:
        monkeypatch.setenv(counterpart.variable, "/opt/its-program")
        assert counterpart.find()[0] == "/opt/its-program"


# --- the program, and the page


def test_the_program_says_which_are_missing_and_how_to_get_them(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    for counterpart in COUNTERPARTS:
        monkeypatch.delenv(counterpart.variable, raising=False)
    arguments = ["--servers", "llama-server,aimock", "--results", str(tmp_path / "r"), "--write", str(tmp_path / "p")]
    monkeypatch.setattr(sys, "argv", ["honours.py", *arguments])
    with pytest.raises(SystemExit, match="no server was asked"):
        honours.main()
    found = {one.name: one.get for one in COUNTERPARTS}
    assert capsys.readouterr().err.splitlines() == [
        f"{name}: not on this machine: {found[name]}" for name in ("llama-server", "aimock")
    ]
    assert not (tmp_path / "r").exists()


def test_a_name_that_no_server_has_is_refused(tmp_path):
    command = [sys.executable, honours.__file__, "--servers", "none"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "there is no 'none'; there are llama-server, llama-cpp-python, transformers, aimock" in done.stderr


def test_results_are_kept_and_one_server_is_asked_again_beside_the_others(tmp_path):
    seen = {"stop": Seen("partly", "keeps it", "stop was sent"), "n": Seen("honoured")}
    kept = {"aimock": Asked("2026-01-31", "1.0", seen)}
    write_results(tmp_path / "r.json", kept)
    assert read_results(tmp_path / "r.json") == kept
    assert read_results(tmp_path / "none.json") == {}
    page = write_page(kept)
    assert "| stop | a word that the answer has in its midst | partly: keeps it; logged |" in page
    assert "| max_tokens | `max_tokens: 5` | not asked |" in page
    assert "| aimock | 1.0 | 2026-01-31 |" in page
    assert "| `transformers serve` |  |  |" in page
    assert "- stop was sent\n" in page


@pytest.mark.parametrize(
    ("seen", "text"),
    [
        (Seen("honoured"), "yes"),
        (Seen("honoured", "", "told"), "yes"),
        (Seen("ignored"), "**ignored**"),
        (Seen("ignored", "1 came", "told"), "**ignored**: 1 came; logged"),
        (Seen("refused", "`server`"), "refused: `server`"),
        (Seen("answered", "under its own name"), "answers under its own name"),
        (Seen("untold"), "cannot be told"),
        (None, "not asked"),
    ],
)
def test_what_was_seen_in_a_cell(seen, text):
    assert write_cell(seen) == text


def test_the_committed_page_is_that_of_the_committed_results():
    results = read_results(RESULTS)
    assert PAGE.read_text(encoding="utf-8") == write_page(results), "run benchmarks/honours.py --page"
    assert list(results) == [one.name for one in COUNTERPARTS]
    for asked in results.values():
        assert list(asked.seen) == [one.name for one in PROBES]
        assert asked.version


def test_what_the_page_says_of_the_backend_was_seen():
    """Where it says that the backend marks and logs, it did so with every server that ignored the parameter."""
    marked = [one.name for one in PROBES if one.here.startswith("marked and logged")]
    assert marked == ["max_tokens", "max_completion_tokens", "stop", "logprobs", "JSON Schema"]
    seen = [(name, asked.seen[name]) for asked in read_results(RESULTS).values() for name in marked]
    ignored = [(name, one) for name, one in seen if one.verdict in ("ignored", "partly")]
    assert {name for name, _ in ignored} == set(marked)
    assert [name for name, one in ignored if not one.told] == []


def test_the_results_name_no_place_of_the_machine_that_made_them():
    text = RESULTS.read_text(encoding="utf-8")
    assert "tiny" not in text
    values = json.dumps(json.loads(text))
    assert not any(place in values for place in ("/home", "/tmp", "/var", "127.0.0.1"))
