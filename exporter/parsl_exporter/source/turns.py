"""Takes turns: who reads or computes does so while the baton is its own, and gives it back with each answer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast

_T = TypeVar("_T")


class _InTurn:
    def __init__(self, one: object, turn: AbstractContextManager[None]) -> None:
        self._one = one
        self._turn = turn

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._one, name)
        if callable(found):
            found = self.__dict__[name] = self._called_in_turn(found)
        return found

    def _called_in_turn(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            with self._turn:
                return method(*args, **named)

        return call


def in_turn(one: _T, turn: AbstractContextManager[None]) -> _T:
    """Give what does all that `one` does, each of its methods only within `turn`, which is not reentrant.

    A method that gives an iterator is in turn until it gives that. Attributes are to be read only.
    """
    return cast(_T, _InTurn(one, turn))
