"""Which of several exporters reads a run or a source: each exactly one of them, whoever asks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

_DIGITS = 8


@dataclass(frozen=True)
class Shard:
    """Part `part` (from 1) of `parts`."""

    part: int
    parts: int

    def holds(self, name: str) -> bool:
        """Say whether what bears this name is of this part."""
        if self == WHOLE:
            return True
        digest = hashlib.md5(name.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
        return int(digest[:_DIGITS], 16) % self.parts == self.part - 1

    def condition(self, column: str) -> str:
        """The same, as SQL of PostgreSQL over a text column."""
        number = f"('x' || substr(md5({column}), 1, {_DIGITS}))::bit({4 * _DIGITS})::bigint"
        return "true" if self == WHOLE else f"{number} %% {self.parts} = {self.part - 1}"


WHOLE = Shard(1, 1)
