"""What a family is: a declaration and a pure way to draw its samples."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Generic, Literal, NamedTuple, TypeAlias, TypeVar

from parsl_exporter.model.exemplars import Exemplars
from parsl_exporter.model.sketch import Sketch

Kind: TypeAlias = Literal["gauge", "counter", "histogram", "summary"]
Overflow: TypeAlias = Literal["sum", "max", "min", "drop"]
"""How samples become one in `_other`, where a limit leaves no room for their own; `drop` leaves them out."""


class Distribution(NamedTuple):
    """A histogram's value: upper bounds without +Inf, counts of each bucket on its own (+Inf last), sum.

    `sketch`: the same values in finer buckets; None where there is no value. `exemplars`: None of what is no try.
    """

    bounds: Sequence[float]
    counts: Sequence[int]
    sum: float
    sketch: Sketch | None = None
    exemplars: Exemplars | None = None


_MICRO = 6


def in_any_order(total: float) -> float:
    """A sum without the digits that depend on the order in which its parts were added.

    Rows come in other orders after a restart, and a counter that falls by its last digit was set to 0 to Prometheus.
    What is added has two decimals (`psutil.cpu_times`), or six.
    """
    return round(total, _MICRO)


Value: TypeAlias = float | Distribution | Sketch
"""A number, what a histogram observed, or the quantiles of a summary."""
Sample: TypeAlias = tuple[tuple[str, ...], Value]
"""Values of the family's own labels, in order, and the value."""


class Joined(Collection[Sample]):
    """Samples of several parts one after the other, which need not be copied so."""

    __slots__ = ("_parts",)

    def __init__(self, parts: Sequence[Collection[Sample]]) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[Sample]:
        return chain.from_iterable(self._parts)

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __contains__(self, sample: object) -> bool:
        return any(sample in part for part in self._parts)


Facts = TypeVar("Facts")


@dataclass(frozen=True)
class Family(Generic[Facts]):
    """One family of the contract. `name` is as exposed in text: a counter's ends in `_total`.

    `own` are the labels that `draw` gives values for; `shared` come before them and are the page's
    (`source`, `run_id`). `overflow` says what a limit does to its samples.
    """

    name: str
    kind: Kind
    help: str
    own: tuple[str, ...]
    draw: Callable[[Facts], Iterable[Sample]]
    overflow: Overflow = "sum"
    shared: tuple[str, ...] = ("source", "run_id")

    @property
    def labels(self) -> tuple[str, ...]:
        """All label names, in the order in which they are written."""
        return self.shared + self.own


def draw_all(families: Iterable[Family[Facts]], facts: Facts) -> list[Collection[Sample]]:
    """Draw the samples of each family."""
    found = (family.draw(facts) for family in families)
    return [samples if isinstance(samples, Collection) else list(samples) for samples in found]
