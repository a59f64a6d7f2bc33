"""Stored answers: each serves one cell, and one that a settled cell holds serves no other."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pool_core.store.records import Measured
from pool_core.store.store import Store


def test_an_answer_is_taken_once(store, make):
    make.save(store, (make.cell(1, 1), make.answer(b"k", b"one")), (make.cell(2, 1), make.answer(b"k", b"two")))
    assert store.release_answers([]) == 2
    assert store.take_answer(b"k", None) == (1, b"one")
    assert store.take_answer(b"k", None) == (2, b"two")
    assert store.take_answer(b"k", None) is None


def test_an_answer_serves_its_own_request_alone(store, make):
    make.save(store, (make.cell(1, 1), make.answer(b"k")))
    store.release_answers([])
    assert store.take_answer(b"other", 1) is None
    assert store.take_answer(b"k", 1) is not None


def test_a_cell_gets_its_own_answer_first(store, make):
    make.save(store, *((make.cell(row, 1), make.answer(b"k", b"%d" % row)) for row in (1, 2, 3)))
    store.release_answers([])
    assert store.take_answer(b"k", 2) == (2, b"2")
    assert store.take_answer(b"k", 2) == (1, b"1")
    assert store.take_answer(b"k", 99) == (3, b"3")


def test_settled_cells_keep_their_answers(store, make):
    old, new = store.register_basis("old"), store.register_basis("new")
    make.save(
        store,
        (make.cell(1, 1, basis=new), make.answer(b"k", b"settled")),
        (make.cell(2, 1, basis=old), make.answer(b"k", b"old")),
        (make.cell(3, 1, basis=None), make.answer(b"k", b"unknown")),
        make.cell(4, 1, basis=new, status="failed"),
    )
    assert store.release_answers([(1, new)]) == 2
    assert {store.take_answer(b"k", None)[1] for _ in range(2)} == {b"old", b"unknown"}
    assert store.take_answer(b"k", 1) is None


def test_a_basis_settles_the_cells_of_its_own_member_alone(store, make):
    basis = store.register_basis("x")
    mine = (make.cell(1, 1, basis=basis), make.answer(b"k", b"mine"))
    outdated = (make.cell(1, 2, basis=basis), make.answer(b"k", b"of a member that has another configuration now"))
    make.save(store, mine, outdated)
    assert store.release_answers([(1, basis), (2, store.register_basis("y"))]) == 1
    assert store.take_answer(b"k", None) == (2, outdated[1].body)


def test_answers_that_no_cell_holds_any_more_are_free(store, make):
    basis = store.register_basis("x")
    make.save(
        store,
        (make.cell(1, 1, basis=basis), make.answer(b"k", b"first")),
        (make.cell(1, 1, basis=basis), make.answer(b"k", b"second")),
    )
    assert store.release_answers([(1, basis)]) == 1
    assert store.take_answer(b"k", None) == (1, b"first")


def test_releasing_again_starts_anew(store, make):
    make.save(store, (make.cell(1, 1), make.answer(b"k")))
    assert [store.release_answers([]), store.take_answer(b"k", None) is None] == [1, False]
    assert [store.release_answers([]), store.take_answer(b"k", None) is None] == [1, False]


def test_answers_of_this_run_are_not_free(reopen, make):
    store = reopen()
    assert store.release_answers([]) == 0
    make.save(store, (make.cell(1, 1), make.answer(b"k")))
    assert store.take_answer(b"k", None) is None


def test_many_bases_can_be_settled(store, make):
    bases = [store.register_basis(str(number)) for number in range(400)]
    make.save(store, *((make.cell(row, 1, basis=basis), make.answer(b"k")) for row, basis in enumerate(bases, 1)))
    assert store.release_answers([(1, basis) for basis in bases[1:]]) == 1


requests = st.sampled_from([b"a", b"b", b"c"])


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(requests, max_size=12), st.lists(st.tuples(requests, st.integers(0, 14)), max_size=15))
def test_no_answer_is_lost_and_none_is_given_twice(tmp_path_factory, make, stored, wanted):
    with Store.open(tmp_path_factory.mktemp("run")) as store:
        store.writer.start()
        for row, request in enumerate(stored, 1):
            store.writer.submit(make.cell(row, 1), make.answer(request, b"%d" % row))
        store.writer.close()
        store.release_answers([])
        left = [(number, request) for number, request in enumerate(stored, 1)]
        for request, preferred in wanted:
            fitting = [number for number, known in left if known == request]
            expected = preferred if preferred in fitting else min(fitting, default=None)
            found = store.take_answer(request, preferred)
            assert found == (None if expected is None else (expected, b"%d" % expected))
            left = [(number, known) for number, known in left if number != expected]


# What answers were like


def test_answers_are_measured_by_the_member_that_paid(store, make):
    ann, bob, _ = store.register_members("pool", ["ann", "bob", "cyd"])
    lengths = {1: 4, 2: 8, 3: None}
    make.save(
        store,
        *(
            (make.cell(row, ann), make.answer(b"k")._replace(member=ann, output_tokens=tokens))
            for row, tokens in lengths.items()
        ),
        (make.cell(1, bob), make.answer(b"k")._replace(member=bob, seconds=2.5, output_tokens=4)),
        make.cell(2, bob, status="failed"),
    )
    assert store.measure_answers() == {
        "ann": Measured(answers=3, seconds=0.5, told=2, output_tokens=6.0, output_squares=40.0),
        "bob": Measured(answers=1, seconds=2.5, told=1, output_tokens=4.0, output_squares=16.0),
    }


def test_without_answers_there_is_nothing_to_measure(store, make):
    make.save(store, make.cell(1, 1, status="failed"))
    assert store.measure_answers() == {}


# Where a run is


def test_where_a_run_is(tmp_path, store):
    assert Store.exists(tmp_path / "run")
    assert not Store.exists(tmp_path)
    assert not Store.exists(tmp_path / "nowhere")
    (tmp_path / "run.sqlite").write_bytes(b"")  # a process was killed before it had made the tables
    assert not Store.exists(tmp_path)
