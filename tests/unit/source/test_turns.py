"""What is done in turn is done while the turn is held, and no longer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from parsl_exporter.source.turns import in_turn


class Turn:
    """A turn that says whether it is held."""

    def __init__(self) -> None:
        self.held = False

    def __enter__(self) -> None:
        assert not self.held, "not reentrant"
        self.held = True

    def __exit__(self, *_: object) -> None:
        self.held = False


class Clerk:
    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.desk = 7

    def work(self, much: int, *, well: bool = False) -> tuple[bool, int, bool]:
        return self.turn.held, much, well

    def fail(self) -> None:
        raise KeyError(self.turn.held)


@contextmanager
def clerk() -> Iterator[tuple[Clerk, Turn]]:
    turn = Turn()
    yield in_turn(Clerk(turn), turn), turn
    assert not turn.held


def test_a_method_is_called_in_turn_with_what_it_was_given() -> None:
    with clerk() as (one, _):
        assert one.work(3, well=True) == (True, 3, True)


def test_the_turn_is_given_back_when_a_method_raises() -> None:
    with clerk() as (one, _), pytest.raises(KeyError, match="True"):
        one.fail()


def test_an_attribute_takes_no_turn() -> None:
    with clerk() as (one, turn), turn:
        assert one.desk == 7
