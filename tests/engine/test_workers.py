"""Heavy tasks in processes of their own: real loops, real crashes, real kills; each costs one cell."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pool_core.api import Contribution, hookimpl
from pool_core.engine import workers as workers_module
from pool_core.engine.worker import Worker, WorkerLateError
from pool_core.engine.worker_process import Call, Load, SentTask
from pool_core.errors import PluginError
from pool_core.interfaces.values import Answer, Cause
from pool_core.isolation.frames import send_frame
from pool_core.plan.adapt import Adapter
from pool_core.testing.scripted import EchoTask, ScriptedBackend, make_registry

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX")

MODULE = '''
"""A heavy task that does what an answer says."""

import os, re, signal, subprocess, sys, time
from pathlib import Path
from pool_core.errors import ParseError, TemplateError
from pool_core.interfaces.values import Message, Prompt
from pool_core.testing.scripted import EchoTask

HELD = []

def recurse():
    return recurse()

class Heavy(EchoTask):
    heavy = True

    def render(self, row):
        if row["text"] == "no prompt":
            raise TemplateError("the text is missing", where="row 1", hint="write one")
        if row["text"] == "no end":
            while True:
                pass
        if row["text"] == "parts":
            return Prompt((Message("user", [{"type": "text", "text": "so \\ud83d"}]),), schema={"type": "object"})
        return super().render(row)

    def parse(self, answer, row):
        what, _, argument = (answer.text or "").partition(" ")
        if what == "loops":
            while True:
                pass
        if what == "computes":
            sum(range(10**13))
        if what == "begins":
            Path(argument).touch()
            sum(range(10**13))
        if what == "searches":
            re.match(r"(a+)+$", "a" * 60 + "b")
        if what == "sleeps":
            time.sleep(1000)
        if what == "starts":
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
            Path(argument).write_text(str(child.pid))
            time.sleep(1000)
        if what == "eats":
            while True:
                HELD.append(b"x" * (1 << 20))
        if what == "gulps":
            bytes(1 << 40)
        if what == "keeps":
            HELD.append(b"x" * (70 << 20))
        if what == "crashes":
            os.kill(os.getpid(), signal.SIGSEGV)
        if what == "ends":
            os._exit(3)
        if what == "leaves":
            sys.exit(4)
        if what == "recurses":
            recurse()
        if what == "interrupts":
            raise KeyboardInterrupt
        if what == "declines":
            raise ParseError("no number", hint="ask for one")
        if what == "pid":
            return self.Output(said=str(os.getpid()))
        if what == "prints":
            print("to standard output")
            return self.Output(said=sys.stdin.read() + "nothing to read")
        if what == "half":
            return self.Output(said="\\ud83d")
        return super().parse(answer, row)
'''

ENDLESS = ["loops", "computes", "searches", "sleeps"]
MISDEEDS = {
    "eats": "the task Heavy broke: MemoryError: ",
    "gulps": "the task Heavy broke: MemoryError: ",
    "crashes": "the task Heavy ended its process by SIGSEGV, reading the answer",
    "ends": "the task Heavy ended its process with exit code 3, reading the answer",
    "leaves": "the task Heavy broke: SystemExit: 4",
    "recurses": "the task Heavy broke: RecursionError: maximum recursion depth exceeded",
    "interrupts": "the task Heavy broke: KeyboardInterrupt: , reading the answer",
    "declines": "no number\n  ask for one",
}


@pytest.fixture
def heavy(tmp_path, monkeypatch):
    """A heavy task, of a module that other processes can import."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "heavy_tasks.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "heavy_tasks", raising=False)
    import heavy_tasks

    yield heavy_tasks.Heavy()
    sys.modules.pop("heavy_tasks")


@pytest.fixture
def patient(monkeypatch):
    """Holds against the limit only what never ends: what does end may take as long as the machine needs for it."""
    ask = Worker.ask

    def ask_patiently(worker, message, seconds):
        asked = pickle.loads(message)
        if isinstance(asked, Call) and not never_ends(asked):
            message, seconds = pickle.dumps(replace(asked, seconds=600.0)), 600.0
        return ask(worker, message, seconds)

    monkeypatch.setattr(Worker, "ask", ask_patiently)


def never_ends(call):
    if call.answer is None:
        return call.row["text"] == "no end"
    return call.answer.text.partition(" ")[0] in (*ENDLESS, "starts")


def get_text(request):
    content = request.prompt.messages[-1].content
    return content if isinstance(content, str) else content[0]["text"]


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").split(")")[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition):
    until = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_whatever_a_parser_does_costs_its_cell_alone(make_member, run_members, read_run, heavy):
    member = make_member("a", get_text, task=heavy, task_memory=200, concurrency=2)
    texts = [text for misdeed in MISDEEDS for text in (misdeed, "fine")]
    summary = run_members([member], texts)
    assert (summary.status, summary.requests, summary.notes) == ("partial", len(texts), ())
    found = read_run()
    for number, (misdeed, message) in enumerate(MISDEEDS.items()):
        cell = found[str(2 * number), "a", 0]
        assert (cell["status"], cell["cause"], cell["message"]) == ("failed", Cause.PARSE, message), misdeed
        assert found[str(2 * number + 1), "a", 0]["said"] == "fine"


def test_a_parser_that_does_not_end_costs_its_cell_alone(make_member, run_members, read_run, heavy, patient):
    member = make_member("a", get_text, task=heavy, task_timeout=1)
    assert run_members([member], [*ENDLESS, "fine"]).status == "partial"
    found = read_run()
    for number in range(len(ENDLESS)):
        cell = found[str(number), "a", 0]
        assert (cell["status"], cell["cause"]) == ("failed", Cause.PARSE)
        assert cell["message"] == "the task Heavy did not end within 1 s, reading the answer"
    assert found[str(len(ENDLESS)), "a", 0]["said"] == "fine"


def test_an_answer_goes_through_another_process_as_it_would_through_this_one(
    make_member, run_members, read_run, heavy, capfd
):
    texts = ["parts", "half", "prints", "pid"]
    assert run_members([make_member("a", get_text, task=heavy)], texts).status == "complete"
    found = read_run()
    said = [found[str(number), "a", 0]["said"] for number in range(4)]
    assert said[:3] == ["so \ud83d", "\ud83d", "nothing to read"]
    assert int(said[3]) != os.getpid()
    assert "to standard output" in capfd.readouterr().err


def test_a_prompt_is_made_in_another_process_too(make_member, run_members, read_run, heavy, patient):
    texts = ["no prompt", "no end", "fine"]
    # the plan would find out that rows yield no prompt; here they come after those that it looks at
    rows = ["fine"] * 100 + texts
    summary = run_members([make_member("a", get_text, task=heavy, task_timeout=1)], rows)
    assert (summary.status, summary.requests) == ("partial", 101)
    found = read_run()
    assert [found[str(100 + number), "a", 0]["message"] for number in range(3)] == [
        "row 1: the text is missing\n  write one",
        "the task Heavy did not end within 1 s",
        None,
    ]


def test_few_processes_do_all_the_work_and_none_is_left(make_member, run_members, read_run, heavy):
    members = [make_member(name, get_text, task=heavy) for name in "ab"]
    assert run_members(members, ["pid"] * 20).status == "complete"
    pids = {int(cell["said"]) for cell in read_run().values()}
    assert 1 <= len(pids) <= workers_module.MOST_WORKERS
    assert not any(map(is_alive, pids))


def test_a_light_task_starts_no_process(make_member, run_members, monkeypatch):
    monkeypatch.setattr(workers_module, "Worker", None)
    assert run_members([make_member("a", get_text)], 3).status == "complete"


def test_what_a_late_task_has_started_ends_with_it(
    make_member, run_members, read_run, heavy, patient, tmp_path, monkeypatch
):
    def ask_until_started(worker, message, seconds):
        """The call's time is over as soon as the task has started something."""
        asked = pickle.loads(message)
        if not isinstance(asked, Call) or asked.answer is None:
            return ask(worker, message, seconds)
        send_frame(worker._channel, pickle.dumps(replace(asked, seconds=600.0)))
        wait_until(lambda: noted.exists() and noted.read_text(encoding="utf-8"))
        return ask(worker, message, 0.0)

    noted = tmp_path / "pid"
    ask = Worker.ask
    monkeypatch.setattr(Worker, "ask", ask_until_started)
    run_members([make_member("a", get_text, task=heavy, task_timeout=1)], [f"starts {noted}"])
    assert read_run()["0", "a", 0]["cause"] == Cause.PARSE
    wait_until(lambda: not is_alive(int(noted.read_text(encoding="utf-8"))))


def test_a_process_that_keeps_memory_is_replaced(make_member, run_members, read_run, heavy):
    member = make_member("a", get_text, task=heavy, task_memory=100, concurrency=1)
    assert run_members([member], ["pid", "keeps", "pid", "keeps", "pid"]).status == "complete"
    found = read_run()
    assert len({found[number, "a", 0]["said"] for number in "024"}) == 3


def test_a_process_that_was_killed_between_two_calls_is_replaced(make_member, run_members, read_run, heavy):
    async def answer(request):
        text = get_text(request)
        if text == "kill":
            for worker in workers:
                os.killpg(worker._process.pid, signal.SIGKILL)
                wait_until(lambda worker=worker: not is_alive(worker._process.pid))
        return text

    async def steer(engine):
        nonlocal workers
        workers = engine._reader._workers._all

    workers = ()
    backend = ScriptedBackend(answer, "a")
    member = make_member("a", backend, task=heavy, concurrency=1)
    assert run_members([member], ["fine", "kill", "fine"], steer=steer).status == "complete"


def test_stopping_at_once_does_not_wait_for_a_parser_and_keeps_its_answer(
    make_member, run_members, read_run, heavy, monkeypatch
):
    async def steer(engine):
        await asked.wait()
        await asyncio.sleep(0.3)
        engine.stop()
        engine.stop()

    def answer(_request):
        if len(backend.requests) == 2:
            return "more"
        asked.set()
        return "sleeps"

    asked = asyncio.Event()
    backend = ScriptedBackend(answer, "a")
    member = make_member("a", backend, task=heavy, concurrency=1)
    summary = run_members([member], 2, steer=steer, real_time=True)
    assert summary.status == "interrupted"
    assert read_run()["0", "a", 0]["status"] == "pending"
    monkeypatch.setattr(type(heavy), "heavy", False)
    monkeypatch.setattr(type(heavy), "parse", EchoTask.parse)
    assert run_members([member], 2).status == "complete"
    assert len(backend.requests) == 2
    assert read_run()["0", "a", 0]["said"] == "sleeps"


# What cannot be sent


class Local(EchoTask):
    """Of a module that other processes cannot import."""

    heavy = True

    def __init__(self, held=None):
        super().__init__()
        self.held = held


def test_a_task_that_cannot_be_sent_is_refused_before_anything_is_asked(make_member, run_members, monkeypatch):
    backend = ScriptedBackend(get_text, "a")
    with pytest.raises(PluginError) as caught:
        run_members([make_member("a", backend, task=Local(lambda: None))], 1)
    assert str(caught.value).startswith("member 'a': the heavy task Local cannot be sent to a process of its own: "), (
        caught.value
    )
    assert str(caught.value).endswith(
        "\n  define its class in a module that can be imported, with a configuration of plain values, "
        "or let it not be heavy"
    )
    monkeypatch.setattr(Local, "__module__", "__main__")
    with pytest.raises(PluginError) as caught:
        run_members([make_member("a", backend, task=Local())], 1)
    assert "it is defined in the main script or in a notebook" in str(caught.value)
    assert backend.requests == []


def test_a_task_that_cannot_be_loaded_stops_its_member_before_anything_is_asked(
    make_member, run_members, heavy, monkeypatch
):
    backend, other = ScriptedBackend(get_text, "a"), ScriptedBackend(get_text, "b")
    monkeypatch.setattr(type(heavy), "__module__", "not_there")
    monkeypatch.setitem(sys.modules, "not_there", sys.modules["heavy_tasks"])
    members = [make_member("a", backend, task=heavy), make_member("b", other)]
    summary = run_members(members, 5)
    assert summary.status == "partial"
    assert summary.members[0].stopped == (
        "the heavy task Heavy cannot be loaded in a process of its own: "
        "ModuleNotFoundError: No module named 'not_there'\n"
        "  define its class in a module that can be imported, with a configuration of plain values"
    )
    assert (len(backend.requests), summary.members[1].ok) == (0, 5)


def test_a_task_that_does_not_say_whether_it_is_heavy_is_refused(make_member, run_members):
    class Undecided(EchoTask):
        @property
        def heavy(self):
            raise LookupError("no mode")

    with pytest.raises(PluginError) as caught:
        run_members([make_member("a", get_text, task=Undecided())], 1)
    assert str(caught.value) == (
        "member 'a': the task Undecided does not say whether it is heavy: LookupError: no mode"
    )


def test_a_task_that_a_recipe_names_is_made_anew_of_its_configuration(
    make_member, run_members, read_run, heavy, monkeypatch
):
    """What the object holds beside its configuration need not be sent."""

    class Plugin:
        @hookimpl
        def pool_tasks(self):
            yield Contribution("heavy", "heavy_tasks:Heavy")

    def keep(task, config=None):
        EchoTask.__init__(task, config)
        task.held = lambda: None

    monkeypatch.setattr(type(heavy), "__init__", keep)
    registry = make_registry()
    registry.register(Plugin(), name="tests")
    member = make_member("a", get_text, task={"use": "heavy", "suffix": "!"})
    assert run_members([member], ["fine"], registry=registry).status == "complete"
    assert read_run()["0", "a", 0]["said"] == "fine!"


# A process alone


def test_a_call_was_late_whichever_side_sees_it_first(heavy):
    """The owner's thread stands still beyond the deadline: the process has ended itself."""
    worker = Worker()
    adapter = Adapter(inputs={}, input_types={}, input_paths={}, fields={}, sources={}, outputs={})
    sent = pickle.dumps(SentTask("Heavy", adapter, None, None, heavy))
    try:
        worker.ask(pickle.dumps(Load(0, sent)), 300)
        with pytest.raises(WorkerLateError):
            worker.ask(pickle.dumps(Call(0, {}, Answer("computes"), 0.1, 100)), 300)
    finally:
        worker.close()


def test_a_busy_process_does_not_outlive_its_owner(tmp_path, heavy):
    """The owner is killed while a parser loops: the process ends itself soon after the deadline."""
    script = f"""
        import pickle, sys, time, threading
        from pathlib import Path
        sys.path.insert(0, {str(tmp_path / "modules")!r})
        from heavy_tasks import Heavy
        from pool_core.engine.worker import Worker
        from pool_core.engine.worker_process import Call, Load, SentTask
        from pool_core.interfaces.values import Answer
        from pool_core.plan.adapt import Adapter
        worker = Worker()
        adapter = Adapter(inputs={{}}, input_types={{}}, input_paths={{}}, fields={{}}, sources={{}}, outputs={{}})
        task = SentTask("Heavy", adapter, None, None, Heavy())
        worker.ask(pickle.dumps(Load(0, pickle.dumps(task))), 300)
        begun = Path({str(tmp_path / "begun")!r})
        call = pickle.dumps(Call(0, {{}}, Answer(f"begins {{begun}}"), 0.2, 100))
        threading.Thread(target=worker.ask, args=(call, 300), daemon=True).start()
        while not begun.exists():
            time.sleep(0.01)
        print(worker._process.pid, flush=True)
        time.sleep(600)
    """
    owner = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True)
    with owner:
        pid = int(owner.stdout.readline())
        owner.kill()
    wait_until(lambda: not is_alive(pid))


def test_an_idle_process_ends_with_its_owner():
    script = """
        import time
        from pool_core.engine.worker import Worker
        worker = Worker()
        print(worker._process.pid, flush=True)
        time.sleep(600)
    """
    owner = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True)
    with owner:
        pid = int(owner.stdout.readline())
        owner.kill()
    wait_until(lambda: not is_alive(pid))


def test_a_worker_can_be_closed_twice():
    worker = Worker()
    worker.close()
    worker.close()
    assert not worker.usable
