"""Where a task is: the greatest of its status rows. A join, so neither order nor duplicates can change it."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np

from parsl_exporter.base.columns import (
    Codes,
    Ints,
    begins_of,
    indices,
)
from parsl_exporter.model.states import FINAL, FIRST_FINAL, LAUNCHED, STATES
from parsl_exporter.model.tries import NONE, Tries

FIRST_ODD = len(STATES)
"""States that are not Parsl's have codes from here on."""


class OddState:
    """The rows of one try in a state that is not Parsl's: `counted` of its `rows` are in the sums of `group`."""

    __slots__ = ("counted", "group", "rows")

    def __init__(self) -> None:
        self.rows = self.counted = 0
        self.group = NONE


OddStates: TypeAlias = dict[int, dict[str, OddState]]
"""Of tries by place, the states that are not Parsl's by name."""


class Standing(NamedTuple):
    """Of each of several tasks: its state's code (NONE without a row), and since when it makes progress there.

    That is the earliest row of the state, in microseconds; 0 in a final state and in one that is not Parsl's.
    """

    state: Codes
    since: Ints
    odd: dict[int, str]


def standing(tries: Tries, places: Codes, owner: Codes, count: int, odd: OddStates) -> Standing:
    """Give where each of `count` tasks is; `places` are its tries, those of one `owner` side by side.

    A task in a state that is not Parsl's has the code FIRST_ODD, and `odd` names it.
    """
    state = np.full(count, NONE)
    since = np.zeros(count, np.int64)
    names: dict[int, str] = {}
    if not len(places):
        return Standing(state, since, names)
    first = begins_of(owner)
    begins, of = indices(first), first.cumsum() - 1
    owners = owner[begins]
    last = tries.last_by_state(places)
    final = last[FIRST_FINAL:] * len(FINAL) + np.arange(len(FINAL))[:, None]
    final = np.where(last[FIRST_FINAL:] >= 0, final, NONE).max(axis=0)
    greatest = np.maximum.reduceat(final, begins)
    ended = greatest >= 0
    state[owners[ended]] = FIRST_FINAL + greatest[ended] % len(FINAL)
    progress = np.where(last[:FIRST_FINAL] >= 0, np.arange(FIRST_FINAL)[:, None], NONE).max(axis=0)
    has_odd = tries.odd_at[places] >= 0
    try_id = np.where((progress >= 0) | has_odd, tries.try_id[places], NONE)
    latest = np.maximum.reduceat(try_id, begins)
    chosen = indices((try_id == latest[of]) & (try_id >= 0) & ~ended[of])
    state[owner[chosen]] = progress[chosen]
    since[owner[chosen]] = tries.first[places[chosen], progress[chosen]]
    for i in chosen[has_odd[chosen] & (progress[chosen] < LAUNCHED)].tolist():
        name = max(odd[int(places[i])])
        names[int(owner[i])] = name
        state[owner[i]], since[owner[i]] = FIRST_ODD, 0
    return Standing(state, since, names)
