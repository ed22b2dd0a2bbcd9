"""A straight line through noisy samples, and how sure its slope is.

Samples of memory that follow each other are alike, so the usual error of a slope would be far too small. Here the
samples are cut into blocks, and the line goes through the blocks' means, which know little of each other (the method of
batch means): ordinary least squares, and Student's t for the interval.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt
from statistics import fmean
from typing import NamedTuple

BLOCKS = 24
STUDENT = 2.0739
"""The 97.5 % quantile of Student's t with BLOCKS − 2 degrees of freedom."""


class Slope(NamedTuple):
    """Units of y for each unit of x; `error` is half the width of the 95 % confidence interval."""

    start: float
    slope: float
    error: float


def fit(x: Sequence[float], y: Sequence[float]) -> Slope | None:
    """Return the line through samples in the order of x; None when there are too few for two in each block."""
    if len(x) < 2 * BLOCKS:
        return None
    edges = [len(x) * number // BLOCKS for number in range(BLOCKS + 1)]
    blocks = [slice(*edge) for edge in pairwise(edges)]
    xs, ys = [fmean(x[block]) for block in blocks], [fmean(y[block]) for block in blocks]
    x_mean, y_mean = fmean(xs), fmean(ys)
    spread = sum((one - x_mean) ** 2 for one in xs)
    slope = sum((one - x_mean) * (other - y_mean) for one, other in zip(xs, ys, strict=True)) / spread
    start = y_mean - slope * x_mean
    left = sum((other - start - slope * one) ** 2 for one, other in zip(xs, ys, strict=True))
    return Slope(start, slope, STUDENT * sqrt(left / (BLOCKS - 2) / spread))
