"""Whatever is edited, in whatever order: a preview's figures are those of the run that follows."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule


class Histories(RuleBasedStateMachine):
    """A recipe and its rows under random edits; after each, a preview and a run are held against each other."""

    @initialize()
    def begin(self):
        self._folder = tempfile.TemporaryDirectory()
        self.world = self.make_world(Path(self._folder.name) / "run")
        self.members = {"ann": {}, "bob": {}}
        self.rows = [{"id": number, "text": f"text {number}", "other": f"other {number % 2}"} for number in range(4)]
        self.pool = {}
        self.next_id = 4

    def teardown(self):
        try:
            self.preview_and_run()
        finally:
            self._folder.cleanup()

    @rule(text=st.sampled_from(["new", "secret", "broken", "text 0"]))
    def append_row(self, text):
        self.rows.append({"id": self.next_id, "text": text, "other": "x"})
        self.next_id += 1

    @precondition(lambda self: len(self.rows) > 1)
    @rule(data=st.data())
    def remove_row(self, data):
        self.rows.pop(data.draw(st.integers(0, len(self.rows) - 1)))

    @rule(data=st.data())
    def edit_row(self, data):
        place = data.draw(st.integers(0, len(self.rows) - 1))
        column = data.draw(st.sampled_from(["text", "other"]))
        self.rows[place] = self.rows[place] | {column: data.draw(st.sampled_from(["edited", "secret", "text 0"]))}

    @rule(random=st.randoms(use_true_random=False))
    def reorder_rows(self, random):
        random.shuffle(self.rows)

    @rule(data=st.data())
    def edit_member(self, data):
        name = data.draw(st.sampled_from(sorted(self.members)))
        keys = data.draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "task": st.sampled_from(
                        [
                            "echo",
                            {"use": "echo", "column": "other"},
                            {"use": "echo", "suffix": "!"},
                            {"use": "echo", "fail_on": "unreadable"},
                        ]
                    ),
                    "sampling": st.sampled_from([{}, {"temperature": 1.0}, {"seed": 3}]),
                    "limits": st.sampled_from([{}, {"concurrency": 2}, {"task_timeout": 9}]),
                    "reask": st.sampled_from([None, {"times": 1}, {"times": 2}]),
                },
            )
        )
        self.members[name] = {**self.members[name], **keys}

    @rule(name=st.sampled_from(["cid", "dan"]))
    def add_or_remove_member(self, name):
        if name in self.members:
            del self.members[name]
        else:
            self.members[name] = {}

    @rule(old=st.sampled_from(["ann", "bob"]), new=st.sampled_from(["eve", "fay"]))
    def rename_member(self, old, new):
        if old in self.members and new not in self.members:
            keys = self.members.pop(old)
            self.members[new] = {"backend": {"use": "count", "model": old}, **keys}

    @precondition(lambda self: self.members)
    @rule(times=st.integers(1, 3))
    def choose_samples(self, times):
        self.pool = {"assign": "balanced", "samples": times}

    @precondition(lambda self: self.members)
    @rule()
    def upgrade_plugin(self):
        self.world.version += "1"

    @precondition(lambda self: self.members)
    @rule()
    def preview_and_run(self):
        self.world.change(self.members, self.rows, **self.pool)

    def make_world(self, run_dir):
        raise NotImplementedError


def test_histories(preview_world):
    class Bound(Histories):
        def make_world(self, run_dir):
            return type(preview_world)(run_dir)

    Bound.TestCase.settings = settings(
        max_examples=20,
        stateful_step_count=14,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    Bound.TestCase("runTest").runTest()
