"""Configuration of the backend that simulates a model, and what its identity says of it."""

from __future__ import annotations

import pytest
from pool_replay.simulate import Simulate, SimulateConfig
from pydantic import ValidationError

FAULTS = ("fail", "rate_limit", "transport", "truncate", "refuse", "empty", "bad_json")


def test_identity_says_what_changes_an_answer_and_nothing_else():
    def identify(**config):
        return Simulate(SimulateConfig(**config)).identity

    same = [{}, {"latency": 1}, {"sigma": 1}, {"retry_after": 9}, {"model": "x"}, {"takes": "text"}]
    assert {identify(**config) for config in same} == {"simulate:"}
    other = [
        {"seed": 1},
        {"words": 2},
        {"style": "code"},
        {"burst": 3},
        *({name: 0.1} for name in FAULTS),
    ]
    assert len({identify(**config) for config in other}) == len(other)
    fields = {name for config in same + other for name in config}
    assert fields == set(SimulateConfig.model_fields)


def test_quota_is_that_of_the_model():
    assert Simulate(SimulateConfig(model="a")).quota != Simulate(SimulateConfig(model="b")).quota


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"fail": 1.1}, "less than or equal to 1"),
        ({"empty": -0.1}, "greater than or equal to 0"),
        ({"fail": 0.6, "refuse": 0.5}, "add up to 1.1; they may add up to 1 at most"),
        ({"fail": "nan"}, "fail"),
        ({"latency": -1}, "latency"),
        ({"words": 0}, "words"),
        ({"code": True}, "code"),
    ],
)
def test_wrong_configuration_is_refused(wrong, message):
    with pytest.raises(ValidationError, match=message):
        SimulateConfig(**wrong)


def test_shares_that_add_up_to_one_are_taken():
    config = SimulateConfig(**dict.fromkeys(FAULTS, 1 / 7))
    assert config.fail == 1 / 7
