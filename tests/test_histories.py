"""Any history of edits, kills and runs: the outputs are those of a run from scratch, and no request is one too many."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pool_core import Member, Pool
from pool_core.api import Contribution, hookimpl
from pool_core.data.records import read_generations, read_run_info
from pool_core.interfaces.encoding import decode_answer, decode_json
from pool_core.interfaces.values import Cause
from pool_core.registry.loading import load_plugin
from pool_core.registry.records import Record
from pool_core.store.repair import repair_run
from pool_core.store.store import Store
from pool_core.store.withdrawal import collect_garbage, withdraw_failed
from pool_core.testing.scripted import EchoConfig, EchoTask, ScriptedBackend, ScriptedConfig, make_registry
from pool_core.testing.virtual_time import run_virtual

TEXTS = st.sampled_from(["one", "two", "bad", "bad three"])


class CountingBackend(ScriptedBackend):
    """Says the same to the same; every request is told to the machine that runs."""

    Config = ScriptedConfig
    machine: ClassVar[History]

    def __init__(self, config):
        super().__init__(self.answer, config.model)

    def answer(self, request):
        prompt = request.prompt.messages[-1].content
        self.machine.note_request((self.model, prompt, request.sample))
        return f"{self.model} says: {prompt} #{request.sample}"


class CountingPlugin:
    @hookimpl
    def pool_tasks(self):
        yield Contribution("echo", factory="pool_core.testing.scripted:EchoTask")

    @hookimpl
    def pool_backends(self):
        yield Contribution("counting", factory=f"{__name__}:CountingBackend")


class History(RuleBasedStateMachine):
    """The model: how many usable answers there are to each request. A run asks what is missing, and nothing else."""

    @initialize(by_name=st.booleans(), rows=st.lists(TEXTS, min_size=1, max_size=4))
    def start(self, by_name, rows):
        #: Plugins by name have fingerprints that are trusted; of objects every request is made again.
        self.by_name = by_name
        place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.folder = Path(tempfile.mkdtemp(dir=place))
        self.rows = [{"id": f"r{number}", "text": text, "other": text + "?"} for number, text in enumerate(rows)]
        self.next_id = len(rows)
        self.members = {name: {"column": "text", "suffix": "", "fail_on": ""} for name in "ab"}
        self.samples = 1
        self.answers = Counter()
        self.asked = Counter()
        self.kill_at = None
        #: The store is that of a run that ended, and nothing was changed since.
        self.settled = False

    def teardown(self):
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    # What a history is made of

    @rule(text=TEXTS)
    def append_a_row(self, text):
        self.rows.append({"id": f"r{self.next_id}", "text": text, "other": text + "?"})
        self.next_id += 1
        self.settled = False

    @rule(data=st.data(), text=TEXTS)
    def edit_a_row(self, data, text):
        data.draw(st.sampled_from(self.rows))["text"] = text
        self.settled = False

    @precondition(lambda self: len(self.rows) > 1)
    @rule(data=st.data())
    def remove_a_row(self, data):
        self.rows.remove(data.draw(st.sampled_from(self.rows)))
        self.settled = False

    @rule(data=st.data())
    def reorder_the_rows(self, data):
        self.rows = data.draw(st.permutations(self.rows))
        self.settled = False

    @rule(name=st.sampled_from("ab"), column=st.sampled_from(["text", "other"]))
    def edit_a_prompt(self, name, column):
        if name in self.members:
            self.members[name]["column"] = column
            self.settled = False

    @rule(name=st.sampled_from("ab"), suffix=st.sampled_from(["", "!"]), fail_on=st.sampled_from(["", "bad"]))
    def change_a_parser(self, name, suffix, fail_on):
        if name in self.members:
            self.members[name] |= {"suffix": suffix, "fail_on": fail_on}
            self.settled = False

    @rule(samples=st.sampled_from([1, 2]))
    def change_the_number_of_samples(self, samples):
        self.samples = samples
        self.settled = False

    @rule()
    def remove_or_add_a_member(self):
        if "b" in self.members:
            del self.members["b"]
        else:
            self.members["b"] = {"column": "text", "suffix": "", "fail_on": ""}
        self.settled = False

    @rule()
    def run(self):
        missing = self.wanted - self.answers
        self.execute(self.folder / "run")
        assert self.asked == missing
        self.answers |= self.wanted
        assert self.read() == self.expected
        self.settled = True

    @rule(at=st.integers(1, 6), wait=st.booleans())
    def run_and_kill(self, at, wait):
        before, missing = self.answers, self.wanted - self.answers
        self.kill_at = (at, wait)
        self.execute(self.folder / "run")
        self.kill_at = None
        assert self.asked == missing
        if (self.folder / "killed").exists():
            shutil.rmtree(self.folder / "run")
            (self.folder / "killed").rename(self.folder / "run")
            (self.folder / "run" / "owner.json").unlink(missing_ok=True)
            self.answers = self.read_usable()
            assert before <= self.answers <= before + self.asked
        else:
            self.answers |= self.wanted
        self.settled = False

    @precondition(lambda self: self.settled)
    @rule(names=st.sampled_from(["a", "b", "ab"]))
    def retry(self, names):
        """Answers of failed cells are not used again, nor are others to the same requests."""
        failed = {key for key, outcome in self.outcomes if outcome is None and key[0] in names}
        with Store.open(self.folder / "run") as store:
            keys = [key for key, name in store.read_members() if name in names]
            withdraw_failed(store, keys, list(Cause))
        self.answers = Counter({key: count for key, count in self.answers.items() if key not in failed})
        self.run()

    @precondition(lambda self: self.settled)
    @rule()
    def collect_garbage(self):
        with Store.open(self.folder / "run") as store:
            collect_garbage(store)
        self.answers &= self.wanted

    @precondition(lambda self: self.settled)
    @rule(data=st.data())
    def damage_outcomes(self, data):
        """They are made of their answers again."""
        with Store.open(self.folder / "run") as store:
            keys = [key for (key,) in store.query("SELECT key FROM cells ORDER BY key")]
            chosen = data.draw(st.sets(st.sampled_from(keys), min_size=1))
            with store.write() as connection:
                for key in chosen:
                    connection.execute("UPDATE cells SET message = 'x' WHERE key = ?", (key,))
        self.settled = False

    @precondition(lambda self: (self.folder / "run").exists())
    @rule()
    def repair(self):
        repair_run(self.folder / "run")

    @invariant()
    def a_run_from_scratch_says_the_same(self):
        if getattr(self, "settled", False) and len(self.rows) % 3 == 0:
            self.execute(self.folder / "scratch")
            assert self.read("scratch") == self.read()
            shutil.rmtree(self.folder / "scratch")

    # The model

    @property
    def outcomes(self):
        """The request of each cell and what becomes of it, in the order of the output."""
        for row in self.rows:
            for name, member in self.members.items():
                for sample in range(self.samples):
                    prompt = row[member["column"]]
                    said = f"{name} says: {prompt} #{sample}"
                    fails = member["fail_on"] and member["fail_on"] in said
                    yield (name, prompt, sample), None if fails else said + member["suffix"]

    @property
    def wanted(self):
        return Counter(key for key, _ in self.outcomes)

    @property
    def expected(self):
        count = len(self.members) * self.samples
        said = [outcome for _, outcome in self.outcomes]
        return [(row, said[at * count : (at + 1) * count]) for at, row in enumerate(self.rows)]

    # The real thing

    def execute(self, run_dir):
        self.asked = Counter()
        CountingBackend.machine = self
        registry = make_registry()
        record = Record("installed", "installed", "pool-installed", "1.0", 1)
        registry._plugins.append(load_plugin(registry._manager, record, CountingPlugin()))
        members = []
        for name, task in self.members.items():
            if self.by_name:
                keys = {"backend": {"use": "counting", "model": name}, "task": {"use": "echo", **task}}
            else:
                keys = {"backend": CountingBackend(ScriptedConfig(model=name)), "task": EchoTask(EchoConfig(**task))}
            members.append(Member(name=name, **keys))
        pool = Pool(members=members, policies=(), samples=self.samples * len(members))
        job = pool.arun(self.rows, id_column="id", run_dir=run_dir, registry=registry)

        async def run():
            return await job

        run_virtual(run(), threads=True)

    def note_request(self, key):
        self.asked[key] += 1
        if self.kill_at and self.asked.total() == self.kill_at[0]:
            if self.kill_at[1]:
                time.sleep(0.03)  # so that what was answered before is on the disk
            shutil.copytree(self.folder / "run", self.folder / "killed")

    def read(self, name="run"):
        with Store.read(self.folder / name) as store:
            return [
                (decode_json(row.data), [one["said"] for one in found])
                for row, found in read_generations(store, read_run_info(store))
            ]

    def read_usable(self):
        """The answers of the store that a cell may use."""
        with Store.open(self.folder / "run") as store:
            store.release_answers([])
            found = Counter()
            for (key,) in store.query("SELECT key FROM free_answers"):
                model, _, rest = decode_answer(store.read_answer(key)).text.partition(" says: ")
                prompt, _, sample = rest.rpartition(" #")
                found[model, prompt, int(sample)] += 1
        return found


TestHistories = History.TestCase
TestHistories.settings = settings(
    max_examples=40, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
