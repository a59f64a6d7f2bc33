"""What tests of writers share."""

from __future__ import annotations

from collections import UserDict

import pytest

from pool_core.interfaces.types import FieldType


class AskedSchema(UserDict):
    """A schema of two fields that notes each look at one of them."""

    def __init__(self):
        self.asked = []
        super().__init__({"a": FieldType("int"), "b": FieldType("str")})

    def __getitem__(self, name):
        self.asked.append(name)
        return super().__getitem__(name)

    def __contains__(self, name):
        self.asked.append(name)
        return super().__contains__(name)


@pytest.fixture
def asked_schema():
    return AskedSchema()
