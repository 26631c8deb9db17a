"""What was observed, counted in logarithmic buckets: quantiles within 1 %, of any number of values alike.

The buckets are those of Prometheus's native histograms of schema 6: bucket i holds the values above base**(i - 1) and
at or below base**i, with 2**(1/64) as base. Eight of them are exactly one of schema 3. Which bucket a value belongs to
follows from the value alone, so sketches can be added to each other, and order changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from parsl_exporter.base.columns import Codes, Floats, Ints, Mask, any_of, distinct, indices
from parsl_exporter.model.greatest import Greatest

QUANTILES = (0.5, 0.95, 1.0)
"""Those that are given of every sketch."""
_RANKS = [Fraction(str(q)) for q in QUANTILES]
_PARTS = 64
_COARSER = 8
"""Buckets of schema 6 that are one of schema 3."""
_BOUNDS: Floats = np.array([float(Decimal(2) ** (Decimal(i) / _PARTS - 1)) for i in range(_PARTS)])
_MIDDLES: Floats = np.array(
    [float(Decimal(2) ** ((Decimal(i) + Decimal("0.5")) / _PARTS)) for i in range(_PARTS)]
)
_FIRST = 1 << 17
"""More than any index: a bucket's key is that plus its index, or minus the sum for values below 0."""
_PART_BITS, _CHUNK_BITS = 6, 13
_SHIFT = 1 << (_PART_BITS + _CHUNK_BITS - 1)
"""What makes every key positive. Chunk c of a place counts the buckets whose keys so shifted are 64 c to 64 c + 63."""
_SIGN = np.int64(0x7FFF_FFFF_FFFF_FFFF)


def bucket_keys(values: Floats) -> Ints:
    """Give the key of each value's bucket: 0 for 0, and the greater the value, the greater."""
    fraction, exponent = np.frexp(np.abs(values))
    index = (exponent.astype(np.int64) - 1) * _PARTS + np.searchsorted(_BOUNDS, fraction, side="left")
    return np.sign(values).astype(np.int64) * (index + _FIRST)


def _middle(keys: Ints) -> Floats:
    """Give the value that no value of a bucket is further from than 0.55 %."""
    octave, part = np.divmod(np.abs(keys) - _FIRST - 1, _PARTS)
    return np.sign(keys) * np.ldexp(_MIDDLES[part], np.where(keys == 0, 0, octave))


class Native(NamedTuple):
    """Counts of a native histogram of schema 3 (a factor of 1.09), without the empty buckets.

    `positive` and `negative`: by index, ascending; `zero` counts nothing but zeros.
    """

    zero: int
    positive: Mapping[int, int]
    negative: Mapping[int, int]


class Sketch(NamedTuple):
    """What was observed at one place; there is at least one value.

    `counts` has a row for each of `chunks`, ascending, and a column for each of its buckets. `quantiles` are those of
    QUANTILES, each within 1 % of the nearest rank, the ceil(q n)-th smallest of n values; the last is the greatest.
    """

    chunks: Ints
    counts: Codes
    quantiles: tuple[float, ...]

    @property
    def observed(self) -> int:
        """How many values there are."""
        return int(self.counts.sum())

    def plus(self, other: Sketch) -> Sketch:
        """Give the sketch of the values of both."""
        chunks, of = np.unique(np.concatenate([self.chunks, other.chunks]), return_inverse=True)
        counts = np.zeros((len(chunks), _PARTS), np.int32)
        np.add.at(counts, of, np.concatenate([self.counts, other.counts]))
        greatest = np.array([max(self.quantiles[-1], other.quantiles[-1])])
        quantiles = _quantiles(chunks, counts, np.zeros(1, np.int64), greatest)
        return Sketch(chunks, counts, tuple(quantiles[0].tolist()))

    def native(self) -> Native:
        """Give it as a native histogram."""
        rows, columns = np.nonzero(self.counts)
        keys = _keys(self.chunks[rows], columns)
        counts = self.counts[rows, columns]
        index = -(-(np.abs(keys) - _FIRST) // _COARSER)
        found: dict[int, dict[int, int]] = {-1: {}, 0: {}, 1: {}}
        for sign, i, count in zip(np.sign(keys).tolist(), index.tolist(), counts.tolist(), strict=True):
            found[sign][i] = found[sign].get(i, 0) + count
        return Native(sum(found[0].values()), found[1], dict(sorted(found[-1].items())))


class Sketches:
    """One sketch for each place.

    Counts stand in chunks of 64 buckets, a quarter of a kilobyte for each power of two in which a place has values.
    """

    def __init__(self) -> None:
        self._chunks: Ints = np.empty(0, np.int64)  # the place first; in order
        self._rows: Codes = np.empty(0, np.int32)
        self._counts: Codes = np.zeros((0, _PARTS), np.int32)
        self._greatest = Greatest(1)
        self._changed: Mask = np.empty(0, np.bool_)
        self._any_changed = False
        self._drawn: dict[int, Sketch] = {}

    def __getstate__(self) -> dict[str, object]:
        """All but the sketches, which are to be drawn anew."""
        changed = np.full(len(self._changed), False)
        changed[self._chunks >> _CHUNK_BITS] = True
        return {**self.__dict__, "_changed": changed, "_any_changed": bool(len(self._chunks)), "_drawn": {}}

    def fix(self) -> None:
        """Nothing is taken back from now on."""
        self._greatest.fix()

    def observe(self, places: Codes, values: Floats, times: int = 1) -> None:
        """Count values, each at its place; `times` -1 takes earlier observations of the same values back."""
        if not len(places):
            return
        size = int(places.max()) + 1
        if size > len(self._changed):
            more = max(size - len(self._changed), len(self._changed))
            self._changed = np.concatenate([self._changed, np.full(more, False)])
        self._changed[places] = self._any_changed = True
        keys = bucket_keys(values) + _SHIFT
        chunks = (places.astype(np.int64) << _CHUNK_BITS) | (keys >> _PART_BITS)
        at = self._find(chunks)
        rows = self._rows[at].astype(np.int64)
        np.add.at(self._counts.reshape(-1), (rows << _PART_BITS) | (keys & (_PARTS - 1)), np.int32(times))
        bits = (values + 0.0).view(np.int64)
        self._greatest.enter(places.astype(np.int64), np.where(bits < 0, bits ^ _SIGN, bits), times=times)

    def _find(self, chunks: Ints) -> Ints:
        """Give where chunks stand, made when they are new."""
        at = np.searchsorted(self._chunks, chunks)
        missing = np.append(self._chunks, -1)[at] != chunks
        if not any_of(missing):
            return at
        new = distinct(chunks[missing])
        used, count = len(self._chunks), len(new)
        before = np.searchsorted(self._chunks, new)
        self._chunks = np.insert(self._chunks, before, new)
        self._rows = np.insert(self._rows, before, np.arange(used, used + count, dtype=np.int32))
        if used + count > len(self._counts):
            more = max(used + count - len(self._counts), len(self._counts) // 2)
            self._counts = np.concatenate([self._counts, np.zeros((more, _PARTS), np.int32)])
        return np.searchsorted(self._chunks, chunks)

    def at(self, place: int) -> Sketch | None:
        """The sketch of one place; None when it has no value."""
        if self._any_changed:
            self._draw(indices(self._changed))
            self._changed[:] = self._any_changed = False
        return self._drawn.get(place)

    def _draw(self, places: Ints) -> None:
        """Make the sketches of these places anew."""
        begins = np.searchsorted(self._chunks, places << _CHUNK_BITS)
        ends = np.searchsorted(self._chunks, (places + 1) << _CHUNK_BITS)
        lengths = ends - begins
        starts = np.cumsum(lengths) - lengths
        at = np.repeat(begins - starts, lengths) + np.arange(int(lengths.sum()))
        chunks = self._chunks[at] & ((1 << _CHUNK_BITS) - 1)
        counts = self._counts[self._rows[at]]
        greatest = np.full(int(places[-1]) + 1, np.nan)
        known = self._greatest.known()
        known = known[known[:, 0] < len(greatest)]
        greatest[known[:, 0]] = np.where(known[:, 1] < 0, known[:, 1] ^ _SIGN, known[:, 1]).view(np.float64)
        quantiles = _quantiles(chunks, counts, starts, greatest[places])
        for place, start, length, values in zip(
            places.tolist(), starts.tolist(), lengths.tolist(), quantiles.tolist(), strict=True
        ):
            if values[-1] == values[-1]:
                of = slice(start, start + length)
                self._drawn[place] = Sketch(chunks[of].copy(), counts[of].copy(), tuple(values))
            else:
                self._drawn.pop(place, None)


def sketch_of(values: Floats) -> Sketch:
    """Give the sketch of these values, at least one; what it says of them is exact."""
    keys = bucket_keys(values) + _SHIFT
    chunks, of = np.unique(keys >> _PART_BITS, return_inverse=True)
    counts = np.zeros((len(chunks), _PARTS), np.int32)
    np.add.at(counts, (of, keys & (_PARTS - 1)), 1)
    ordered = np.sort(values).tolist()
    return Sketch(
        chunks, counts, tuple(ordered[-(-len(ordered) * q.numerator // q.denominator) - 1] for q in _RANKS)
    )


def _keys(chunks: Ints, columns: Ints) -> Ints:
    """Give the keys of buckets: of each the chunk, and which of it."""
    found: Ints = ((chunks << _PART_BITS) | columns) - _SHIFT
    return found


def _quantiles(chunks: Ints, counts: Codes, begins: Ints, greatest: Floats) -> Floats:
    """Give QUANTILES, a column each, of sketches that stand one behind the other, and whose greatest value is told.

    A greatest value that is not known (NaN) is given like any other. NaN of a sketch without values.
    """
    upto = np.cumsum(counts.reshape(-1))
    before = np.append(0, upto)[begins << _PART_BITS]
    totals = np.append(before[1:], upto[-1]) - before
    ranks = np.stack([-(-totals * q.numerator // q.denominator) for q in _RANKS], axis=1)
    cells = np.minimum(np.searchsorted(upto, before[:, None] + ranks), len(upto) - 1)
    values = _middle(_keys(chunks[cells >> _PART_BITS], cells & (_PARTS - 1)))
    most = np.where(np.isnan(greatest), values[:, -1], greatest)[:, None]
    values = np.where(ranks == totals[:, None], most, np.minimum(values, most))
    values[totals == 0] = np.nan
    return values
