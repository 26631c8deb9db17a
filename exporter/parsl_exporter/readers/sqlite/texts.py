"""Columns of SQLite as texts: which rows fit into them, what puts them together, and what takes them apart."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from parsl_exporter.base.columns import EARLIEST_US, STAMP_LENGTH, Ints, Named, naive_stamps
from parsl_exporter.base.tables import NODE, RESOURCE, STATUS, TASK, TRY

_SEPARATOR = "\x1e"
_SEPARATED = f"'{_SEPARATOR}'"
"""As a literal: what `char(30)` gives would be copied for each row."""


def _integer(column: str) -> str:
    """Whether it is a number from 0 on; a float is told by its text."""
    return f"+{column} BETWEEN 0 AND {2**63 - 1}"


def _text(column: str) -> str:
    """Whether it is a text. In the order of SQLite's types numbers come before texts, and blobs behind them.

    Comparisons cost a third of `typeof`. The plus keeps a column's affinity from changing what it is compared with.
    """
    return f"+{column} >= '' AND +{column} < x''"


def _name(column: str) -> str:
    """Whether it is a text, or NULL, which is as good as the empty one."""
    return _text(f"ifnull({column}, '')")


def _names_of(column: str) -> str:
    """A column of names as one text."""
    return f"group_concat(ifnull({column}, ''), {_SEPARATED})"


class Texts(NamedTuple):
    """How a table's rows become columns: `fits` says of a row that it does; `texts` are aggregates.

    Rows where `alone` holds are read one by one.
    """

    fits: str
    texts: tuple[str, ...]
    alone: str = ""


_TRY_INTEGERS = f"{_integer('task_id')} AND {_integer('try_id')}"
_NAMES = ("task_executor", "block_id", "hostname")
_HISTORY = "ifnull(task_fail_history, '') <> ''"
_NOT_ALONE = f"CASE WHEN {_HISTORY} THEN NULL ELSE"
_WHOLE_NUMBERS = ("cpu_count", "total_memory", "active", "worker_count")
TEXTS = {
    TASK.name: Texts(
        f"{_integer('task_id')} AND {_name('task_func_name')}",
        ("group_concat(task_id)", _names_of("task_func_name")),
    ),
    TRY.name: Texts(
        " AND ".join((_TRY_INTEGERS, *map(_name, _NAMES))),
        (
            f"group_concat({_NOT_ALONE} task_id END)",
            f"group_concat({_NOT_ALONE} try_id END)",
            *(f"group_concat({_NOT_ALONE} ifnull({name}, '') END, {_SEPARATED})" for name in _NAMES),
        ),
        alone=_HISTORY,
    ),
    STATUS.name: Texts(
        f"{_TRY_INTEGERS} AND {_text('timestamp')} AND {_name('task_status_name')}",
        (
            "group_concat(task_id)",
            "group_concat(try_id)",
            _names_of("task_status_name"),
            "group_concat(timestamp)",
        ),
    ),
    RESOURCE.name: Texts(
        f"{_TRY_INTEGERS} AND {_text('timestamp')}",
        ("group_concat(task_id)", "group_concat(try_id)", "group_concat(timestamp)"),
    ),
    NODE.name: Texts(
        " AND ".join(
            (
                *(f"typeof({number}) = 'integer'" for number in _WHOLE_NUMBERS),
                f"+uid > '' AND +uid < x'' AND {_text('hostname')}",
                f"{_text('timestamp')} AND {_name('last_heartbeat')}",
            )
        ),
        (
            f"group_concat(uid, {_SEPARATED})",
            f"group_concat(hostname, {_SEPARATED})",
            "group_concat(timestamp)",
            "group_concat(last_heartbeat)",
            "group_concat(rowid)",
            "group_concat(active <> 0)",
        ),
    ),
}


def integers(text: str, count: int) -> Ints | None:
    """Take `count` integers apart; None when they are others."""
    if "." in text:  # as every float has as a text
        return None
    numbers = np.fromstring(text, np.int64, sep=",")
    return numbers if len(numbers) == count else None


def names(text: str, count: int) -> Named | None:
    """Take `count` names apart; None when one has a separator in it."""
    first = text.partition(_SEPARATOR)[0]
    one_for_all = f"{first}{_SEPARATOR}" * (count - 1) + first
    if text == one_for_all:  # as hosts and executors often are: a hundredth of the time
        return Named(np.zeros(count, np.int32), [first])
    found = text.split(_SEPARATOR)
    return Named.of(found) if len(found) == count else None


def stamp(text: str, place: int) -> str:
    """One of the stamps that a text has with a comma between them."""
    begin = place * (STAMP_LENGTH + 1)
    return text[begin : begin + STAMP_LENGTH]


def late_enough(beats: str | None) -> bool:
    """Say whether heartbeats are as Parsl writes them, if there are any, and no zone makes them a time before 1970."""
    if beats is None:
        return True
    at = naive_stamps(beats, beats.count(",") + 1)
    return at is not None and int(at.min()) >= EARLIEST_US
