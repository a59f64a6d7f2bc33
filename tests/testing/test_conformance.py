"""Each check of the kit catches a plugin that breaks what it is about, and says so; right plugins pass all."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pool_core.api import Contribution, hookimpl
from pool_core.interfaces.values import Answer, Cause
from pool_core.registry import Registry
from pool_core.testing import (
    BackendConformance,
    Failure,
    FormatExample,
    PolicyConformance,
    PromptFormatConformance,
    ReaderConformance,
    ReaderExample,
    Supports,
    TaskConformance,
    TaskExample,
    WriterConformance,
    make_signature,
)
from pool_core.testing.conformance.installed import KITS
from pool_core.testing.conformance.listing import list_checks
from pool_core.testing.distributions import write_distribution
from pool_core.testing.faults import FAULTS

WRONG = Path(__file__).parent / "wrong"

A, B, C = (make_signature(name, {"said": "str"}) for name in "abc")
BACKEND = {"http": False, "key": False, "seed": True, "stop": True, "schema": True, "usage": True, "batches": False}
CLIENT = BACKEND | {"http": True, "key": True}


def encode(self, rows):
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def decode(self, content):
    return [json.loads(line) for line in content.split(b"\n") if line]


def address(self, base_url):
    return {"model": "m", "base_url": base_url, "api_key": f"env:{self.key_variable}"}


def address_without_key(self, base_url):
    return {"model": "m", "base_url": base_url}


#: What a right suite of each kind declares.
DECLARED: dict[str, dict[str, Any]] = {
    "task": {
        "supports": Supports(unreadable=True, truncated=False, schema=False),
        "examples": (
            TaskExample({"text": "Hello."}, "Hello, you.", {"said": "Hello, you."}),
            TaskExample({"text": "Bye."}, "Why?", None),
        ),
    },
    "backend": {
        "supports": Supports(**BACKEND),
        "slow": {"delay": 60.0},
        "failures": (Failure({"fails": True}, Cause.SERVER),),
    },
    "client": {"supports": Supports(**CLIENT), "make_address": address},
    "policy": {"supports": Supports(fixes=True), "accepts": ([A, B], [C, A]), "refuses": ([A], [B])},
    "prompt_format": {
        "supports": Supports(stop=True),
        "examples": (
            FormatExample([("system", "Be brief."), ("user", "Hi.")], "system: Be brief.<end>user: Hi.<end>assistant:"),
            FormatExample([("narrator", "Hi.")], None),
        ),
    },
    "reader": {
        "supports": Supports(schema=False),
        "suffix": ".jsonl",
        "columns": {"text": "str", "count": "int?"},
        "examples": (
            ReaderExample(b'{"a": 1}\n{"a": 2}\n', [{"a": 1}, {"a": 2}]),
            ReaderExample(b'{"a": 1}\n{', None, "line 2"),
        ),
        "encode": encode,
    },
    "writer": {
        "supports": Supports(types=True),
        "suffix": ".jsonl",
        "columns": {"text": "str", "count": "int?"},
        "decode": decode,
    },
}
MODULES = {"task": "tasks", "backend": "backends", "client": "clients", "policy": "policies"}
MODULES |= {"prompt_format": "formats"}
RIGHT = {"task": "RightTask", "backend": "RightBackend", "policy": "RightPolicy", "prompt_format": "RightFormat"}
RIGHT |= {"reader": "RightReader", "writer": "RightWriter"}


@dataclass(frozen=True)
class Wrong:
    """A check, and a plugin that it has to catch."""

    check: str
    kind: str
    #: The class; without one it is the right one, and what is declared is wrong.
    name: str
    #: What is in the message.
    seen: str
    #: Other declarations.
    declared: dict[str, Any] = field(default_factory=dict)
    summary: str = "It is one."
    #: The case, where the check has several.
    case: tuple[Any, ...] = ()
    #: The source of the entry module, for a plugin that is installed.
    entry: str = ""


ENTRY = """
{more}
from pool_core.api import Contribution, hookimpl
@hookimpl
def pool_tasks():
    yield Contribution("it", "{factory}", "It is one.")
"""

TABLE = [
    # every kind
    Wrong("capabilities_are_declared", "task", "", "nobody has looked at 'unreadable'", {"supports": Supports()}),
    Wrong(
        "capabilities_are_declared",
        "task",
        "",
        "'seed' is declared, and a task has no such capability",
        {"supports": Supports(unreadable=True, truncated=False, schema=False, seed=True)},
    ),
    Wrong("it_is_active_and_its_class_loads", "task", "Nothing", "is no Task"),
    Wrong("it_is_active_and_its_class_loads", "task", "", "there is no task named 'other/it'", {"use": "other/it"}),
    Wrong("it_has_a_summary", "task", "", "the summary is ''", summary=""),
    Wrong("entry_module_is_light", "task", "", "imports pydantic", entry="import pydantic"),
    Wrong("entry_module_is_light", "task", "", "pool_core.interfaces.task", entry="import pool_core.interfaces.task"),
    Wrong("entry_module_is_quiet", "task", "", "prints 'hello", entry="print('hello')"),
    Wrong("class_module_is_quiet", "task", "wrong_noisy:RightTask", "changes the handlers of the root logger"),
    Wrong("requirement_on_the_core_is_declared", "task", "", "does not say which pool-core it needs", entry="x = 1"),
    Wrong("config_is_frozen", "task", "Thawed", "the field 'column' can be set"),
    Wrong("config_refuses_unknown_keys", "task", "Loose", "a key that does not exist is accepted"),
    Wrong("config_is_frozen", "task", "ThawedInside", "the field 'most' can be set"),
    Wrong("config_refuses_unknown_keys", "task", "LooseInside", "is accepted in LoosePart"),
    Wrong("config_round_trip", "task", "Lossy", "by way of JSON"),
    Wrong("config_schema_is_valid", "task", "OddSchema", "its JSON Schema is not one"),
    Wrong("config_is_described", "task", "Undescribed", "the field 'more' has no description"),
    Wrong("config_survives_pickling", "task", "Locked", "cannot be pickled: TypeError"),
    # tasks
    Wrong("inputs_are_columns", "task", "NeedsAbsent", "has no 'absent'"),
    Wrong(
        "render_needs_no_other_column",
        "task",
        "NeedsMore",
        "the prompt is another one",
        {"examples": (TaskExample({"text": "a", "other": "b"}, "c", {"said": "c"}),)},
    ),
    Wrong("input_declarations_hold", "task", "WrongInputType", "is no int"),
    Wrong("output_is_declared", "task", "NoOutput", "declares no output field"),
    Wrong("parser_version_is_a_number", "task", "NoVersion", "parser_version is 0"),
    Wrong("render_leaves_the_row_alone", "task", "ChangesRow", "the row"),
    Wrong("render_is_deterministic", "task", "Counts", "the next time"),
    Wrong("render_gives_a_whole_prompt", "task", "EmptyPrompt", "the prompt is Prompt("),
    Wrong("the_schema_of_prompts_is_valid", "task", "NoSchema", "the schema of the prompt is none"),
    Wrong(
        "the_schema_of_prompts_is_valid",
        "task",
        "",
        "schema=True is declared",
        {"supports": Supports(unreadable=True, truncated=False, schema=True)},
    ),
    Wrong("render_has_no_effects", "task", "ReadsFile", "render opened '/dev/null'"),
    Wrong("render_has_no_effects", "task", "StartsThread", "render started a thread"),
    Wrong("render_has_no_effects", "task", "Prints", "render printed 'rendering"),
    Wrong("render_takes_any_value", "task", "NeedsText", "raised AttributeError"),
    Wrong("render_takes_any_value", "task", "RendersRows", "a template in a row was evaluated"),
    Wrong("parse_reads_the_examples", "task", "Shouts", "HELLO, YOU."),
    Wrong("parse_reads_the_examples", "task", "", "nobody has looked", {"examples": ()}),
    Wrong("outputs_satisfy_their_schema", "task", "NotItsSchema", "is not what the schema says"),
    Wrong("outputs_satisfy_their_schema", "task", "NotItsType", "is no plain JSON"),
    Wrong("parse_is_deterministic", "task", "Counts", ", then "),
    Wrong("parse_leaves_its_arguments_alone", "task", "ParseChangesRow", "parse changed the row"),
    Wrong("parse_has_no_effects", "task", "RunsAnswers", "set the environment variable"),
    Wrong("parse_has_no_effects", "task", "RunsInThread", "started a thread"),
    Wrong("parse_takes_empty_answers", "task", "NeedsAnswer", "raised AttributeError"),
    Wrong("parse_takes_refusals", "task", "BreaksOnRefusal", "raised KeyError"),
    Wrong("parse_takes_truncated_answers", "task", "BreaksOnShort", "raised IndexError"),
    Wrong("parse_takes_huge_answers", "task", "BreaksOnHuge", "raised RecursionError"),
    Wrong("parse_takes_huge_answers", "task", "NeverEnds", "did not end within 0.5 s", {"patience": 0.5}),
    Wrong("parse_takes_what_is_no_utf8", "task", "NeedsUtf8", "raised UnicodeEncodeError"),
    Wrong("parse_takes_adversarial_answers", "task", "NeedsJson", "raised JSONDecodeError"),
    Wrong("parse_takes_any_text", "task", "NeedsAscii", "raised UnicodeDecodeError"),
    Wrong("unreadable_answers_are_told", "task", "SaysNothing", "a ParseError says ''"),
    Wrong(
        "unreadable_answers_are_told",
        "task",
        "",
        "unreadable=False is declared",
        {"supports": Supports(unreadable=False, truncated=False, schema=False)},
    ),
    Wrong("truncated_answers_are_as_declared", "task", "TakesCut", "accepts_truncated is True"),
    Wrong(
        "truncated_answers_are_as_declared",
        "task",
        "",
        "no example shows it",
        {"supports": Supports(unreadable=True, truncated=True, schema=False)},
    ),
    Wrong("it_works_in_another_process", "task", "HoldsLambda", "the task cannot be pickled"),
    Wrong("it_works_in_another_process", "task", "OrdersBySet", "and in another process"),
    # backends
    Wrong(
        "capabilities_are_what_is_declared",
        "backend",
        "",
        "capabilities() says seed=True, declared is False",
        {"supports": Supports(**BACKEND | {"seed": False})},
    ),
    Wrong(
        "capabilities_are_what_is_declared",
        "backend",
        "",
        "it does not derive from BatchBackend, and batches=True is declared",
        {"supports": Supports(**BACKEND | {"batches": True})},
    ),
    Wrong("making_it_contacts_nothing", "backend", "Contacts", "before it was open"),
    Wrong("its_names_are_text", "backend", "Unnamed", "endpoint is ''"),
    Wrong("encode_is_deterministic", "backend", "Counts", "a second time"),
    Wrong("encode_tells_requests_apart", "backend", "EncodesAlike", "are encoded alike"),
    Wrong("encode_tells_requests_apart", "client", "DropsSystem", "it after a system message are encoded alike"),
    Wrong("encode_tells_requests_apart", "client", "DropsTurns", "it after other turns are encoded alike"),
    Wrong("encode_tells_requests_apart", "client", "DropsLimit", "64 tokens at most are encoded alike"),
    Wrong("it_answers", "backend", "Prints", "a call printed 'asked"),
    Wrong("it_answers", "backend", "ReturnsText", "generate returned str"),
    Wrong("it_answers", "backend", "RaisesAnything", "generate raised KeyError"),
    Wrong("what_is_sent_is_what_was_encoded", "client", "ChangesBody", "the server got"),
    Wrong("hostile_answers_are_kept_as_they_are", "client", "Strips", "the answer is"),
    Wrong("usage_is_reported", "backend", "NoUsage", "the usage is None"),
    Wrong(
        "usage_is_reported",
        "backend",
        "",
        "usage=False is declared",
        {"supports": Supports(**BACKEND | {"usage": False})},
    ),
    Wrong("usage_is_reported", "client", "SwapsUsage", "the usage is (3, 7)"),
    Wrong("usage_is_reported", "client", "InventsUsage", "the server counts nothing"),
    Wrong("answers_say_how_they_ended", "client", "HidesEnd", "`finish_reason: length`: the answer is"),
    Wrong("answers_say_how_they_ended", "client", "HidesRefusal", "no text, and a refusal: the answer is"),
    Wrong("a_seed_is_honoured", "backend", "IgnoresSampling", "two calls with seed=424242"),
    Wrong("stop_strings_are_honoured", "backend", "IgnoresStop", "with the stop string"),
    Wrong("a_schema_is_honoured", "backend", "IgnoresStop", "the answer to a prompt with a schema"),
    Wrong("calls_run_at_the_same_time", "client", "OneAtATime", "", {"patience": 6.0}),
    Wrong(
        "answers_are_joined_to_their_requests",
        "backend",
        "Mixes",
        "and among others",
        {"supports": Supports(**BACKEND | {"batches": True})},
    ),
    Wrong("a_concurrency_limit_is_honoured", "client", "SendsTwice", "8 cells, at most 2 at a time, became 16"),
    Wrong("a_concurrency_limit_is_honoured", "backend", "BreaksARun", "the run is partial"),
    Wrong("a_cancelled_call_ends", "backend", "Stays", "a cancelled call returned"),
    Wrong("a_cancelled_call_ends", "backend", "", "nobody has looked at cancelling", {"slow": None}),
    Wrong("the_time_limit_is_kept", "backend", "TakesItsTime", "behind its time limit", {"slow": {"delay": 1.5}}),
    Wrong("the_time_limit_is_kept", "backend", "", "nobody has looked at its time limit", {"slow": None}),
    Wrong("it_can_be_closed_twice_and_unopened", "backend", "ClosesOnce", "aclose failed: RuntimeError"),
    Wrong("closing_leaves_nothing_behind", "backend", "LeavesTask", "tasks run on after aclose"),
    Wrong("it_says_that_it_is_not_open", "backend", "NeedsOpen", "generate raised AttributeError"),
    Wrong("every_fault_is_looked_at", "backend", "", "nobody has looked at how it fails", {"failures": ()}),
    Wrong("every_fault_is_looked_at", "client", "OneAtATime", "the fault 'status-400'", {"faults": {}}),
    Wrong("fault", "client", "AlwaysServer", "cause is", case=(FAULTS["status-429"],)),
    Wrong("fault", "client", "Retries", "it sent 2 requests", case=(FAULTS["status-500"],)),
    Wrong("failures_in_the_process", "backend", "WrongCause", "cause is"),
    Wrong("errors_survive_pickling", "backend", "ErrorWithLambda", "its error cannot be pickled"),
    Wrong("redirects_are_not_followed", "client", "Follows", "301 took it to another server"),
    Wrong("the_key_is_sent", "client", "OneAtATime", "no header has the key", {"make_address": address_without_key}),
    Wrong("the_key_is_nowhere_to_be_seen", "client", "KeepsKey", "the repr of an attribute has the key"),
    Wrong("no_error_or_log_has_the_key", "client", "TellsKey", "status 400 with the key: the error has the key"),
    Wrong("a_missing_key_is_told", "client", "NeedsNoKey", "open gave None"),
    Wrong("a_rotated_key_is_read_again", "client", "NeverRefreshes", "False for another one"),
    Wrong("it_works_in_another_process", "backend", "HoldsLock", "the backend cannot be pickled"),
    # policies
    Wrong("it_accepts_and_refuses_as_declared", "policy", "Accepts", "the pool of a is accepted"),
    Wrong("it_accepts_and_refuses_as_declared", "policy", "", "no pool that it refuses", {"refuses": ()}),
    Wrong("it_is_total", "policy", "NeedsOne", "raised IndexError"),
    Wrong("it_is_deterministic", "policy", "Counts", "the next time"),
    Wrong("it_is_free_of_order", "policy", "LooksAtFirst", "the order ['b', 'a'] gives"),
    Wrong("findings_have_hints", "policy", "NoHint", "no hint: one is no pool"),
    Wrong("findings_are_named_and_said", "policy", "OddRule", "the rule is 'Two Members!'"),
    Wrong("findings_are_about_members", "policy", "NamesStrangers", "a finding names 'stranger'"),
    Wrong("fixes_can_be_pasted", "policy", "OddFix", "is no YAML"),
    Wrong("fixes_can_be_pasted", "policy", "", "fixes=False is declared", {"supports": Supports(fixes=False)}),
    Wrong("members_are_left_alone", "policy", "ChangesMembers", "judge changed a member"),
    Wrong("it_has_no_effects", "policy", "ReadsFile", "judge opened '/dev/null'"),
    Wrong("it_ends_for_many_members", "policy", "NeverEnds", "did not end within 0.5 s", {"patience": 0.5}),
    Wrong("it_works_in_another_process", "policy", "OrdersBySet", "and in another process"),
    # prompt formats
    Wrong("it_writes_the_examples", "prompt_format", "Shouts", "SYSTEM: BE BRIEF."),
    Wrong("it_writes_the_examples", "prompt_format", "", "nobody has looked", {"examples": ()}),
    Wrong("it_writes_the_examples", "prompt_format", "ReturnsNothing", "returned NoneType"),
    Wrong("stop_strings_are_as_declared", "prompt_format", "OneStop", "stop is '<end>'"),
    Wrong("stop_strings_are_as_declared", "prompt_format", "", "stop=False is", {"supports": Supports(stop=False)}),
    Wrong("it_is_deterministic", "prompt_format", "Counts", "the next time"),
    Wrong("messages_are_left_alone", "prompt_format", "TakesAway", "the messages"),
    Wrong("it_has_no_effects", "prompt_format", "ReadsFile", "format opened '/dev/null'"),
    Wrong("every_message_is_written", "prompt_format", "ForgetsFirst", "the system's message is not in its place"),
    Wrong("contents_are_kept_as_they_are", "prompt_format", "Strips", "is not in"),
    Wrong("the_answer_comes_next", "prompt_format", "EndsTurn", "ends with the stop string '<end>'"),
    Wrong("it_takes_any_messages", "prompt_format", "NeedsText", "raised AttributeError"),
    Wrong("refusals_are_told", "prompt_format", "QuotesAll", "a TemplateError says"),
    Wrong("it_ends_for_long_chats", "prompt_format", "NeverEnds", "did not end within 0.5 s", {"patience": 0.5}),
    Wrong("it_works_in_another_process", "prompt_format", "OrdersBySet", "and in another process"),
    # readers
    Wrong("it_reads_the_examples", "reader", "SkipsFirst", "gave [{'a': 2}]"),
    Wrong("it_reads_the_examples", "reader", "PrintsRows", "reading printed 'reading"),
    Wrong("it_reads_the_examples", "reader", "", "nobody has looked", {"examples": ()}),
    Wrong("places_are_told", "reader", "SamePlace", "the places are"),
    Wrong("it_reads_again", "reader", "OpensBefore", ", then "),
    Wrong("a_declared_schema_holds", "reader", "OddSchema", "schema=False is declared"),
    Wrong("a_declared_schema_holds", "reader", "OddSchema", "line 1: 'a' is 1", {"supports": Supports(schema=True)}),
    Wrong("text_survives", "reader", "Strips", " became "),
    Wrong("broken_files_are_told", "reader", "NoPlace", "does not say rows.jsonl and 'line 2'"),
    Wrong("what_is_no_file_is_told", "reader", "LetsErrorsPass", "raised FileNotFoundError"),
    Wrong("files_that_are_cut_off", "reader", "NeedsJson", "raised JSONDecodeError"),
    Wrong("any_bytes", "reader", "NeedsJson", "raise nothing but RowsError"),
    Wrong("it_streams", "reader", "KeepsAll", "1,000 rows took"),
    Wrong("the_file_is_left_alone_and_closed", "reader", "LeavesOpen", "the file is still open"),
    Wrong("it_works_in_another_process", "reader", "OfItsProcess", "and in another process"),
    # writers
    Wrong("types_are_as_declared", "writer", "", "types=False is declared", {"supports": Supports(types=False)}),
    Wrong("records_come_back", "writer", "Drops", " became "),
    Wrong("hostile_text_survives", "writer", "BreaksLines", " became "),
    Wrong("half_surrogates_fail_nothing", "writer", "NeedsUtf8", "raised UnicodeEncodeError"),
    Wrong("missing_fields_are_null", "writer", "NeedsAll", "raised KeyError"),
    Wrong("records_are_counted", "writer", "CountsWrong", "of 0 records it says 1"),
    Wrong("records_are_counted", "writer", "PrintsRecords", "writing printed 'writing"),
    Wrong("it_streams", "writer", "CollectsAll", "1,000 records took"),
    Wrong("it_is_deterministic", "writer", "WritesANumber", "it wrote"),
    Wrong("it_replaces_what_was_there", "writer", "Appends", "cannot be read"),
    Wrong("it_writes_its_path_alone", "writer", "LeavesFiles", "it leaves out.lock behind"),
    Wrong("records_that_break_off_are_told", "writer", "SwallowsErrors", "as if they were all"),
    Wrong("records_are_left_alone", "writer", "ChangesRecords", " became "),
    Wrong("a_path_that_cannot_be_written_is_told", "writer", "SwallowsErrors", "succeeded"),
]


class Plugin:
    """An entry module in memory, which offers one thing."""

    def __init__(self, kind, factory, summary):
        self._kind = kind
        self._offer = [Contribution("it", factory, summary)]

    def _give(self, kind):
        return self._offer if self._kind == kind else []

    @hookimpl
    def pool_tasks(self):
        return self._give("task")

    @hookimpl
    def pool_backends(self):
        return self._give("backend")

    @hookimpl
    def pool_policies(self):
        return self._give("policy")

    @hookimpl
    def pool_prompt_formats(self):
        return self._give("prompt_format")

    @hookimpl
    def pool_readers(self):
        return self._give("reader")

    @hookimpl
    def pool_writers(self):
        return self._give("writer")


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """The wrong plugins are in modules that other processes can import as well."""
    monkeypatch.syspath_prepend(WRONG)
    yield
    for file in getattr(sys.modules.get("wrong_data"), "KEPT", ()):
        file.close()
    for name in [name for name in sys.modules if name.startswith("wrong_")]:
        del sys.modules[name]


def make_suite(wrong, tmp_path, monkeypatch):
    kind = "backend" if wrong.kind == "client" else wrong.kind
    name = wrong.name or RIGHT[wrong.kind]
    factory = name if ":" in name else f"wrong_{MODULES.get(wrong.kind, 'data')}:{name}"
    registry = Registry()
    if wrong.entry:
        monkeypatch.syspath_prepend(tmp_path)
        source = ENTRY.format(more=wrong.entry, factory=factory)
        points = {"pool_core.plugins.v1": {"wrong": "wrong_entry"}}
        write_distribution(tmp_path, name="wrong", entry_points=points, modules={"wrong_entry": source})
        registry = Registry.discover(path=[str(tmp_path)])
    else:
        registry.register(Plugin(kind, factory, wrong.summary), name="wrong")
    parts = {"use": "wrong/it", **DECLARED[wrong.kind], "make_registry": lambda self: registry, **wrong.declared}
    return type("TestWrong", (KITS[kind],), parts)()


def name_case(wrong):
    return f"{wrong.kind}-{wrong.check}-{wrong.name or 'declared'}"


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(one, marks=[pytest.mark.plugins("openai")] if one.kind == "client" else [], id=name_case(one))
        for one in TABLE
    ],
)
def test_a_check_catches_its_wrong_plugin(wrong, tmp_path, monkeypatch, capfd):
    suite = make_suite(wrong, tmp_path, monkeypatch)
    with pytest.raises(pytest.fail.Exception) as caught:
        getattr(suite, f"test_{wrong.check}")(*wrong.case)
    first, seen, cure = str(caught.value).split("\n  ", 2)
    assert first == f"{suite.use}: check {wrong.check}"
    assert seen.startswith("seen: ")
    assert cure.startswith("to do: ")
    assert len(cure) > len("to do: ")
    assert wrong.seen in str(caught.value)


def test_every_check_has_caught_a_wrong_plugin():
    caught = {("backend" if one.kind == "client" else one.kind, one.check) for one in TABLE}
    named = {check for _, check in caught}
    checks = list(list_checks())
    missing = [
        (check.kind, check.name)
        for check in checks
        if (check.name not in named if check.kind == "every" else (check.kind, check.name) not in caught)
    ]
    assert missing == []
    assert len(checks) >= 45
    assert len({(check.kind, check.name) for check in checks}) == len(checks)
    assert all(check.what for check in checks)


#: What plugins in memory cannot have: they are no distribution.
OF_DISTRIBUTIONS = {"test_entry_module_is_light", "test_entry_module_is_quiet"}
OF_DISTRIBUTIONS |= {"test_requirement_on_the_core_is_declared"}


@pytest.mark.parametrize("kind", RIGHT)
def test_a_right_plugin_passes_every_check(kind, tmp_path, monkeypatch):
    suite = make_suite(Wrong("", kind, "", ""), tmp_path, monkeypatch)
    names = [name for name in dir(suite) if name.startswith("test_")]
    skipped = set()
    for name in sorted({*names} - OF_DISTRIBUTIONS - {"test_fault"}):
        try:
            getattr(type(suite)(), name)()
        except pytest.skip.Exception:
            skipped.add(name)
    assert bool(skipped) == (kind == "backend")
    assert len(names) - len(skipped) > 20


def test_a_right_backend_of_batches_passes_what_is_about_several_calls(tmp_path, monkeypatch):
    declared = {"supports": Supports(**BACKEND | {"batches": True})}
    suite = make_suite(Wrong("", "backend", "RightBatches", "", declared), tmp_path, monkeypatch)
    for name in ("answers_are_joined_to_their_requests", "a_cancelled_call_ends", "the_time_limit_is_kept"):
        getattr(suite, f"test_{name}")()
    for name in ("capabilities_are_what_is_declared", "closing_leaves_nothing_behind", "it_works_in_another_process"):
        getattr(suite, f"test_{name}")()


def test_an_output_with_aliases_is_right(tmp_path, monkeypatch):
    suite = make_suite(Wrong("", "task", "Aliased", ""), tmp_path, monkeypatch)
    suite.test_outputs_satisfy_their_schema()
    suite.test_parse_reads_the_examples()


def test_the_kits_are_what_the_package_offers():
    assert list(KITS.values()) == [
        TaskConformance,
        BackendConformance,
        PolicyConformance,
        PromptFormatConformance,
        ReaderConformance,
        WriterConformance,
    ]


def test_a_truncated_answer_is_evidence(tmp_path, monkeypatch):
    examples = (TaskExample({"text": "a"}, Answer("b", "length"), {"said": "b"}),)
    declared = {"supports": Supports(unreadable=True, truncated=True, schema=False), "examples": examples}
    suite = make_suite(Wrong("", "task", "TakesCut", "", declared), tmp_path, monkeypatch)
    suite.test_truncated_answers_are_as_declared()
