"""One thread touches the state directory, and nobody else waits for it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest
from support.checkpoints import files, kept_in
from support.source_harness import FakeClock, Log

from parsl_exporter.base.errors import CheckpointFault
from parsl_exporter.checkpoint import keeper as keepers
from parsl_exporter.checkpoint.codec import Part
from parsl_exporter.checkpoint.folder import Folder

PARTS = [bytearray(b"one"), bytearray(b"two")]


@pytest.mark.parametrize(
    ("seconds", "why"),
    [
        (899.0, None),
        (901.0, "it was last kept up 15 min ago, and 15 are the most"),
        (-0.5, None),
        (-60.0, "it is of the future: a clock was set back"),
    ],
)
def test_one_that_nobody_kept_up_is_not_used(folder: Path, seconds: float, why: str | None) -> None:
    clock = FakeClock()
    with kept_in(folder, clock) as keeper:
        keeper.write("a", PARTS)
    clock.go_on(600)
    with kept_in(folder, clock) as keeper:
        keeper.touch("a")
    clock.step(seconds)
    with kept_in(folder, clock) as keeper:
        if why is None:
            assert keeper.read("a") == PARTS
            assert keeper.read("b") is None
            return
        with pytest.raises(CheckpointFault) as refused:
            keeper.read("a")
        assert str(refused.value) == why


def test_those_of_sources_that_went_are_removed(folder: Path) -> None:
    clock = FakeClock()
    with kept_in(folder, clock) as keeper:
        keeper.write("went", PARTS)
        keeper.write("a", PARTS)
    assert len(files(folder)) == 2
    clock.go_on(901)
    with kept_in(folder, clock) as keeper:
        keeper.write("a", PARTS)
    assert len(files(folder)) == 1


def test_a_folder_that_cannot_be_written_is_a_warning_until_it_can(folder: Path, log: Log) -> None:
    state = folder / "state"
    state.touch()
    clock = FakeClock()
    with kept_in(state, clock) as keeper:
        for _ in range(3):
            keeper.write("a", PARTS)
            with pytest.raises(CheckpointFault, match=f"{state}: File exists"):
                keeper.read("a")
        assert log.new() == [
            "warning no checkpoint can be written; nothing else suffers, but the next start will read everything"
            f" why={state}: File exists"
        ]
        state.unlink()
        keeper.write("a", PARTS)
        assert keeper.read("a") == PARTS
    (line,) = log.new()
    assert line.startswith("info works again")


class Hanging(Folder):
    """A folder of a file system that does not answer."""

    begun = threading.Event()
    goes_on = threading.Event()
    numbers: ClassVar[list[bytes]] = []

    def write(self, name: str, parts: Sequence[Part], wall: float) -> None:
        self.begun.set()
        self.goes_on.wait()
        self.numbers.append(bytes(parts[0]))
        super().write(name, parts, wall)


def test_one_that_hangs_holds_nobody_up_and_takes_no_more_memory(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keepers, "Folder", Hanging)
    monkeypatch.setattr(keepers, "_PATIENCE", 0.05)
    with kept_in(folder, FakeClock()) as keeper:
        keeper.write("a", [b"0"])
        assert Hanging.begun.wait(30)
        for number in range(1, 100):
            keeper.write("a", [b"%d" % number])
        with pytest.raises(CheckpointFault, match="does not answer"):
            keeper.read("a")
        Hanging.goes_on.set()
    assert Hanging.numbers == [b"0", b"99"]
