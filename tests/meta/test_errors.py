"""The tree of errors is the one that its module draws, and errors survive being sent elsewhere."""

from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest

from pool_core import errors
from pool_core.errors import BackendError, ParseError, PoolError
from pool_core.interfaces.values import Cause

CLASSES = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, PoolError)]
_LINE = re.compile(r"(?P<branch>[│ ]*[├└]── )?(?P<name>\w+Error|errors that)\b.*?(?P<code>\d+)?")


def read_drawn_tree():
    """The errors of the module's docstring: name to the name above it and the exit code, where it has one."""
    found = {}
    above = [None]
    for line in errors.__doc__.splitlines():
        if matched := _LINE.fullmatch(line.removeprefix("    ")):
            depth = len(matched["branch"] or "") // 4 + 1
            parent = above[depth - 1]
            group = matched["name"] == "errors that"  # a heading: what stands below it derives from what is above it
            above[depth:] = [parent if group else matched["name"]]
            if not group:
                found[matched["name"]] = (parent, int(matched["code"] or 0))
    return found


DRAWN = read_drawn_tree()


def make_error(cls):
    if cls is BackendError:
        return BackendError(
            Cause.RATE_LIMIT, "too many", retry_after=1.5, stops_member=True, where="member a", hint="wait"
        )
    if cls is ParseError:
        return ParseError("no list", cause=Cause.SCHEMA, where="row 3", hint="look at it")
    return cls("it broke", where="here", hint="do this")


def test_the_classes_are_those_that_are_drawn():
    assert {cls.__name__ for cls in CLASSES} == set(DRAWN) == set(errors.__all__)
    assert errors.__all__ == sorted(errors.__all__)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_the_base_and_the_exit_code_are_those_that_are_drawn(cls):
    parent, code = DRAWN[cls.__name__]
    assert cls.__base__.__name__ == (parent or "Exception")
    assert cls.exit_code == (code or 1)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_survives_pickling(cls, protocol):
    error = make_error(cls)
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is cls
    assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))


def test_an_error_survives_copying():
    error = make_error(BackendError)
    assert vars(copy.copy(error)) == vars(copy.deepcopy(error)) == vars(error)


class OwnError(BackendError):
    """A plugin's own error, whose constructor takes something else."""

    def __init__(self, status):
        super().__init__(Cause.SERVER, f"status {status}")
        self.status = status


def test_a_plugins_error_with_a_constructor_of_its_own_survives_pickling():
    again = pickle.loads(pickle.dumps(OwnError(502)))
    assert (type(again), again.status, again.cause, str(again)) == (OwnError, 502, Cause.SERVER, "status 502")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (PoolError("it broke"), "it broke"),
        (PoolError("it broke", where="here"), "here: it broke"),
        (PoolError("it broke", hint="do this"), "it broke\n  do this"),
        (PoolError("it broke", where="here", hint="do this"), "here: it broke\n  do this"),
    ],
)
def test_the_text_says_where_what_and_what_to_do(error, text):
    assert str(error) == text


def test_what_errors_of_a_cell_carry():
    error = make_error(BackendError)
    assert (error.cause, error.retry_after, error.stops_member) == (Cause.RATE_LIMIT, 1.5, True)
    plain = BackendError(Cause.SERVER, "x")
    assert (plain.retry_after, plain.stops_member) == (None, False)
    assert (ParseError("x").cause, make_error(ParseError).cause) == (Cause.PARSE, Cause.SCHEMA)
