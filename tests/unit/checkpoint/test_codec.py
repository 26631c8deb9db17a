"""Values to bytes and back as they were, and nothing that is not allowed."""

from __future__ import annotations

import os
import pickle
from collections import Counter, defaultdict, deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parsl_exporter.base.errors import CheckpointFault
from parsl_exporter.base.tables import TABLES
from parsl_exporter.checkpoint.codec import array_of, packed, unpacked
from parsl_exporter.model.managers import Host
from parsl_exporter.model.tries import Tasks, Tries

MOST = 1 << 20
MODULES = ("parsl_exporter.model.managers", "parsl_exporter.model.tries")


def there_and_back(value: object) -> Any:
    return unpacked([bytearray(part) for part in packed(value, MOST)], MODULES)


@pytest.mark.parametrize(
    "value",
    [
        {"a": (1, 2.5, None, True, "ü\ud800", b"\xff"), 1 << 80: [-0.0, 5e-324, float("inf")]},
        {1},
        frozenset("a"),
        Counter("aab"),
        deque([(1.0, 2)]),
        defaultdict(int, a=1),
    ],
)
def test_what_python_has_comes_back_as_it_was(value: object) -> None:
    back = there_and_back(value)
    assert (back, type(back), repr(back)) == (value, type(value), repr(value))


@pytest.mark.parametrize("kind", [np.bool_, np.int16, np.uint16, np.int32, np.int64, np.float64])
@pytest.mark.parametrize("shape", [(0,), (0, 3), (5,), (4, 3), ()])
def test_arrays_come_back_bit_by_bit_and_can_be_written_to(kind: type, shape: tuple[int, ...]) -> None:
    array: Any = (np.arange(np.prod(shape, dtype=int)) * 37 % 11).astype(kind).reshape(shape)
    back = there_and_back(array)
    assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())
    back[...] = 1
    other = np.arange(12.0).reshape(3, 4).T[::2]
    assert (there_and_back(other) == other).all()


def test_what_was_given_may_change_at_once() -> None:
    array = np.zeros(100)
    parts = packed([array, array], MOST)
    array[:] = 1
    one, other = unpacked([bytearray(part) for part in parts], ())
    assert not one.any()
    assert one is other


def test_objects_that_share_another_share_it_still() -> None:
    tasks = Tasks()
    tries = Tries(tasks)
    tries.find_or_add(tasks.add(np.array([3, 1 << 40])), np.array([0, 7]))
    tasks, tries = there_and_back((tasks, tries))
    assert tries.find(tasks.find(np.array([1 << 40])), np.array([7])).tolist() == [1]
    tries.find_or_add(tasks.add(np.array([4])), np.array([0]))
    assert tasks.head[tasks.find(np.array([4]))].tolist() == [2]


class RunsAProgram:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.file),)


@pytest.mark.parametrize(
    "value", [os.system, eval, Path("x"), TABLES[0], np.float64(1), RunsAProgram, array_of]
)
def test_nothing_is_named_that_is_not_allowed(value: object) -> None:
    with pytest.raises(CheckpointFault, match="it cannot be read: "):
        unpacked([bytearray(pickle.dumps((np.ndarray, value)))], MODULES)


def test_nothing_runs(tmp_path: Path) -> None:
    made = tmp_path / "made"
    with pytest.raises(CheckpointFault, match=r"posix\.mkdir is not allowed"):
        there_and_back(RunsAProgram(made))
    assert not made.exists()
    pickle.loads(pickle.dumps(RunsAProgram(made)))
    assert made.exists()


def test_only_classes_that_are_made_in_an_allowed_module_are_found_there() -> None:
    for name in ("annotations", "NamedTuple", "Host.plus", "missing"):
        data = b"\x80\x05" + b"".join(
            b"\x8c" + bytes([len(text)]) + text.encode() for text in ("parsl_exporter.model.managers", name)
        )
        with pytest.raises(CheckpointFault, match="is not allowed"):
            unpacked([bytearray(data + b"\x93.")], MODULES)
    assert isinstance(there_and_back(Host()), Host)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [("O", (1,)), ("<V8", (1,)), ("<f8", (-1,)), ("<f8", (2,)), ("<f8", ("1",)), ("<M8", (1,))],
)
def test_no_array_is_made_of_what_is_no_numbers(kind: str, shape: tuple[Any, ...]) -> None:
    with pytest.raises((ValueError, TypeError)):
        array_of(kind, shape, bytearray(8))


def test_no_more_is_copied_than_may_be() -> None:
    for value in (
        np.zeros(MOST),
        "x" * MOST,
        [np.zeros(MOST // 16)] * 3 + [np.ones(MOST // 16), np.ones(MOST // 10)],
    ):
        with pytest.raises(CheckpointFault, match="it would be larger than 1 MiB"):
            packed(value, MOST)
