"""The weights and inputs of small products."""

import pytest

from tests.physics import parts


@pytest.fixture
def w():
    return parts.weights()


@pytest.fixture
def x():
    return parts.inputs()
