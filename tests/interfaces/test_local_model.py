"""What backends that load a model share: their configuration's base, the turns they take, what they refuse."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from pool_core.errors import BackendError
from pool_core.interfaces.local_model import HubModelConfig, make_turns, refuse_unknown
from pool_core.interfaces.values import Cause, Message


def test_a_folder_beside_the_recipe_comes_before_a_name_on_the_hub(tmp_path):
    (tmp_path / "mine").mkdir()
    context = {"folder": tmp_path}
    assert HubModelConfig.model_validate({"model": "mine"}, context=context).model == str(tmp_path / "mine")
    assert HubModelConfig.model_validate({"model": "we/notus-7b"}, context=context).model == "we/notus-7b"
    assert HubModelConfig(model=str(tmp_path / "mine")).model == str(tmp_path / "mine")


@pytest.mark.parametrize(
    ("given", "name"),
    [({"model": "we/notus-7b"}, "notus-7b"), ({"model": "notus-7b"}, "notus-7b"), ({"model": "m", "name": "n"}, "n")],
)
def test_a_model_is_known_by_its_last_part_or_the_name_it_is_given(given, name):
    assert HubModelConfig(**given).known_as == name


@pytest.mark.parametrize("given", [{}, {"model": ""}, {"model": "m", "dtype": "int4"}, {"model": "m", "max_tokens": 0}])
def test_what_no_engine_takes_is_refused(given):
    with pytest.raises(ValidationError):
        HubModelConfig(**given)


def test_a_parameter_that_nobody_would_heed_stops_the_member():
    refuse_unknown({"seed": 1}, {"seed", "stop"}, "the engine")
    with pytest.raises(BackendError) as caught:
        refuse_unknown({"seed": 1, "n": 2, "best_of": 3}, {"stop", "seed"}, "the engine")
    assert (caught.value.cause, caught.value.stops_member) == (Cause.BAD_REQUEST, True)
    assert str(caught.value) == "the engine is not given best_of, n\n  it knows seed, stop"


def test_turns_are_text():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    messages = (Message("system", "s"), Message("user", parts))
    assert make_turns(messages) == [{"role": "system", "content": "s"}, {"role": "user", "content": "ab"}]
    with pytest.raises(BackendError) as caught:
        make_turns([Message("user", [{"type": "text", "text": "see"}, {"type": "image_url"}])])
    assert str(caught.value) == "this backend takes text, and a message has image_url"
    assert not caught.value.stops_member
