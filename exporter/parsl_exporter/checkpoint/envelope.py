"""A checkpoint as a file: what it begins with, a digest of all the rest, and parts of any bytes.

A file that was cut short, or in which any bit is another one, is no checkpoint: the digest says so before anything else
of it is looked at.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from io import BufferedReader
from typing import BinaryIO

from parsl_exporter.base.errors import CheckpointFault
from parsl_exporter.checkpoint.codec import Part

_MAGIC = b"parsl-exporter checkpoint 1\n"
_DIGEST = 32
_NUMBER = struct.Struct("<Q")
_MOST_PARTS = 1 << 24


def write(file: BinaryIO, parts: Sequence[Part]) -> None:
    """Write parts. Raises OSError."""
    lengths = b"".join(_NUMBER.pack(n) for n in (len(parts), *map(len, parts)))
    digest = hashlib.blake2b(lengths, digest_size=_DIGEST)
    for part in parts:
        digest.update(part)
    for content in (_MAGIC, digest.digest(), lengths, *parts):
        file.write(content)


def read(file: BufferedReader, size: int) -> list[bytearray]:
    """Give the parts of a file of so many bytes. Raises CheckpointFault when it is damaged, OSError."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise CheckpointFault("it is damaged, or of another kind: it does not begin as one of this version")
    told = file.read(_DIGEST)
    digest = hashlib.blake2b(digest_size=_DIGEST)

    def taken(length: int) -> bytearray:
        part = bytearray(length)
        if file.readinto(part) != length:
            raise CheckpointFault("it is damaged: it ends too soon")
        digest.update(part)
        return part

    left = size - len(_MAGIC) - _DIGEST - _NUMBER.size
    if left < 0:
        raise CheckpointFault("it is damaged: it ends too soon")
    (count,) = _NUMBER.unpack(taken(_NUMBER.size))
    if count > min(_MOST_PARTS, left // _NUMBER.size):
        raise CheckpointFault("it is damaged: its parts are more than it has room for")
    lengths = [n for (n,) in _NUMBER.iter_unpack(taken(count * _NUMBER.size))]
    if sum(lengths) != left - count * _NUMBER.size:
        raise CheckpointFault("it is damaged: it is not as long as it says")
    parts = [taken(length) for length in lengths]
    if digest.digest() != told:
        raise CheckpointFault("it is damaged: its digest is another one")
    return parts
