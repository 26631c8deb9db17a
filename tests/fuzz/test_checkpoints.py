"""An exporter that stops at any moment and goes on from its checkpoint shows what one shows that never stopped."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest
from any_stories import Telling, quick, tellings
from hypothesis import given
from hypothesis import strategies as st
from support.checkpoints import kept_in, whole_page
from support.model_harness import ModelHarness, Options
from support.replay import NAMES, Replay
from support.source_harness import FakeClock, SourceHarness

from parsl_exporter.base.formats import Format
from parsl_exporter.checkpoint.codec import packed, unpacked
from parsl_exporter.source.checkpoint import MODULES

CLOSE_AFTER = 30.0
OPTIONS = Options(close_after=CLOSE_AFTER)
POLLS = 12


def restarted(reading: ModelHarness) -> ModelHarness:
    """What the next process makes of a model and of what was shown of it."""
    parts = packed((reading.runs.kept(), reading.renderer.kept()), 1 << 30)
    runs, places = unpacked([bytearray(part) for part in parts], MODULES)
    other = ModelHarness(reading.options)
    other.clock = reading.clock
    other.runs.resume(runs)
    other.renderer.resume(**places)
    other.remember(reading)
    return other


def page(reading: ModelHarness) -> bytes:
    return reading.draw().body(Format.OPENMETRICS)


@quick
@given(
    tellings(),
    st.sets(st.integers(0, 6)),
    st.sampled_from([0.0, 10.0, 2 * CLOSE_AFTER]),
    st.sampled_from([OPTIONS, OPTIONS._replace(runs=1), OPTIONS._replace(apps=1)]),
)
def test_a_model_that_was_kept_goes_on_as_if_it_had_not_been(
    telling: Telling, cuts: set[int], pause: float, options: Options
) -> None:
    """After any poll, and between what is read and what is drawn."""
    one, other = ModelHarness(options), ModelHarness(options)
    for number, rows in enumerate([*telling.polls, (), ()]):
        one.poll(rows, first=not number)
        other.poll(rows, first=not number)
        if number in cuts:
            other = restarted(other)
        assert page(other) == page(one)
        one.clock += pause
        other.clock += pause


@pytest.mark.parametrize("name", NAMES)
def test_a_source_that_is_restarted_again_and_again_shows_what_one_shows_that_is_not(
    name: str, folder: Path, set_tz: Callable[[str], None]
) -> None:
    """Through the files of SQLite and of the checkpoints, its own series too: as recorded runs went on."""
    replay = Replay(name, folder)
    set_tz(replay.clocks.tz)
    chance = random.Random(name)
    clocks = {"zone": replay.clocks.zone, "worker_zones": replay.clocks.worker_zones}
    never, clock = SourceHarness(replay.database, **clocks), FakeClock()  # type: ignore[arg-type]
    count = len(replay.commits)
    cuts = [0, *sorted(chance.choices(range(1, count), k=POLLS)), *[count] * 4]
    with ExitStack() as process:
        again: SourceHarness | None = None
        for begin, end in pairwise(cuts):
            for commit in replay.commits[begin:end]:
                replay.play(commit)
            if again is None or chance.random() < 0.6:
                if again is not None:
                    again.source.close()
                process.close()
                clock = FakeClock(clock.wall)
                keeper = process.enter_context(kept_in(folder / "state", clock))
                again = SourceHarness(replay.database, fake_clock=clock, keeper=keeper, **clocks)  # type: ignore[arg-type]
            every = chance.choice([1.0, 20.0])
            assert whole_page(again.poll(every=every)) == whole_page(never.poll(every=every))
