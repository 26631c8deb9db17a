"""The two clocks that everything of a source goes by."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple


class Clock(NamedTuple):
    """`wall`: UTC epoch seconds, may step. `steady`: seconds that only go forward."""

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic
