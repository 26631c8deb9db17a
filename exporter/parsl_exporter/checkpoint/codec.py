"""Values to bytes and back: Python's own values, arrays, and objects of classes that are allowed by module.

It is pickle, as it is kept well and keeps everything exactly as it was; but no data may name what is not allowed, so
that reading never runs anything else. Arrays stand beside it as they are in memory. Source: docs.python.org, "pickle",
sections "Restricting Globals" and "Out-of-band Buffers".
"""

from __future__ import annotations

import io
import math
import pickle
import re
import sys
from collections.abc import Collection, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from parsl_exporter.base.errors import CheckpointFault

Part: TypeAlias = bytes | bytearray

_PROTOCOL = 5
_KINDS = re.compile(r"[<>|][biuf][1248]")
"""Types of numbers, as `numpy.dtype.str` spells them."""
_OF_PYTHON = {
    ("collections", "Counter"),
    ("collections", "defaultdict"),
    ("collections", "deque"),
    ("builtins", "dict"),
    ("builtins", "int"),
    ("builtins", "list"),
    ("builtins", "set"),
}


def packed(value: object, most: int) -> list[Part]:
    """Give a value as parts: copies, so that it may change from now on.

    Raises CheckpointFault where they would have more than `most` bytes together.
    """
    parts: list[Part] = []
    left = most

    def copied(part: memoryview) -> bytes:
        nonlocal left
        left -= len(part)
        if left < 0:
            raise CheckpointFault(f"it would be larger than {most >> 20} MiB; open tasks take most")
        return bytes(part)

    file = io.BytesIO()
    _Pickler(file, _PROTOCOL, buffer_callback=lambda buffer: parts.append(copied(buffer.raw()))).dump(value)
    return [copied(file.getbuffer()), *parts]


def unpacked(parts: Sequence[Part], modules: Collection[str]) -> Any:
    """Give the value of which `packed` gave these parts; arrays lie in them. Objects are of classes of `modules`.

    Raises CheckpointFault when they hold anything else.
    """
    try:
        return _Unpickler(io.BytesIO(parts[0]), frozenset(modules), parts[1:]).load()
    except Exception as error:  # of broken data pickle raises nearly anything
        raise CheckpointFault(f"it cannot be read: {type(error).__name__}: {error}") from None


def array_of(kind: str, shape: tuple[int, ...], buffer: bytearray) -> npt.NDArray[Any]:
    """Give the array of numbers that lies in a buffer."""
    if _KINDS.fullmatch(kind) is None or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("no array of numbers")
    if not math.prod(shape):
        return np.empty(shape, kind)
    return np.frombuffer(buffer, kind).reshape(shape)


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: object) -> Any:
        if type(obj) is np.ndarray:
            flat = np.ascontiguousarray(obj)
            return array_of, (flat.dtype.str, obj.shape, pickle.PickleBuffer(flat.data))
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, modules: Collection[str], buffers: Sequence[Part]) -> None:
        super().__init__(file, buffers=buffers)
        self._modules = modules

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _OF_PYTHON:
            return super().find_class(module, name)
        if (module, name) == (array_of.__module__, array_of.__name__):
            return array_of
        found = getattr(sys.modules.get(module), name, None) if module in self._modules else None
        if not isinstance(found, type) or found.__module__ != module:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
        return found
