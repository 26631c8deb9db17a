"""Takes turns: what reads or computes does so when the baton is this thread's, and gives it back with each answer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Concatenate, ParamSpec, TypeVar

from parsl_exporter.model.runs import Runs
from parsl_exporter.readers.base import Reader
from parsl_exporter.source.locks import Baton

_P = ParamSpec("_P")
_T = TypeVar("_T")


class _InTurn:
    def __init__(self, wrapped: object, turn: AbstractContextManager[None]) -> None:
        self._wrapped = wrapped
        self._turn = turn


def _in_turn(method: Callable[Concatenate[Any, _P], _T]) -> Callable[Concatenate[_InTurn, _P], _T]:
    """The method of that name of what is wrapped, in turn."""
    name = method.__name__

    def call(self: _InTurn, /, *args: _P.args, **named: _P.kwargs) -> _T:
        with self._turn:
            answer: _T = getattr(self._wrapped, name)(*args, **named)
        return answer

    return call


class ReaderInTurn(_InTurn):
    """A reader whose reads take turns, but for one that waits for a server."""

    def __init__(self, reader: Reader, baton: Baton) -> None:
        super().__init__(reader, nullcontext() if reader.remote else baton)
        self.keyed = reader.keyed

    changed = _in_turn(Reader.changed)
    last_rowid = _in_turn(Reader.last_rowid)
    read = _in_turn(Reader.read)
    places = _in_turn(Reader.places)
    of_run = _in_turn(Reader.of_run)
    workflows = _in_turn(Reader.workflows)
    tasks = _in_turn(Reader.tasks)
    tries = _in_turn(Reader.tries)
    history = _in_turn(Reader.history)
    writers_since = _in_turn(Reader.writers_since)


class StepsInTurn(_InTurn):
    """The steps of a model, which take turns. What is asked of it for a read, within the read's turn, does not."""

    def __init__(self, runs: Runs, baton: Baton) -> None:
        super().__init__(runs, baton)

    take = _in_turn(Runs.take)
    take_columns = _in_turn(Runs.take_columns)
    revive = _in_turn(Runs.revive)
    settle = _in_turn(Runs.settle)
    settle_history = _in_turn(Runs.settle_history)
    finish_first_read = _in_turn(Runs.finish_first_read)
    expire = _in_turn(Runs.expire)
