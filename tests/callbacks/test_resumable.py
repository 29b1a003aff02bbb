"""A loader that is restored goes on with the very next batch."""

import itertools
import random

import pytest

from analogjax.callbacks import Resumable
from analogjax.errors import ConfigError


class Shuffled:
    """Numbers in an order that Python's generator gives anew for each pass."""

    def __len__(self):
        return 10

    def __iter__(self):
        yield from random.sample(range(10), 10)


@pytest.mark.parametrize("seen", [0, 1, 4, 9, 10])
def test_the_rest_of_a_pass_and_the_next_pass_are_the_same(seen):
    random.seed(7)
    loader = Resumable(Shuffled())
    passed = iter(loader)
    list(itertools.islice(passed, seen))
    state = loader.state_dict()
    expected = [list(passed)] if seen < 10 else []
    expected += [list(loader), list(loader)]
    random.seed(99)
    other = Resumable(Shuffled())
    other.load_state_dict(state)
    assert [list(other) for _ in expected] == expected


def test_an_iterator_is_refused():
    with pytest.raises(ConfigError, match="list_iterator"):
        Resumable(iter([1, 2]))
