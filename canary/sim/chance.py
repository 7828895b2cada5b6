"""Random numbers the standard library lacks, from a seeded source."""

from __future__ import annotations

from math import exp, log
from random import Random

SPREAD = log(3.0) / 2.326
"""Shape of the latency distribution: its 99th percentile is three times the median."""


def poisson(random: Random, mean: float) -> int:
    """Return how many events happened when `mean` were expected."""
    if mean <= 0:
        return 0
    if mean > 50:
        return max(0, round(random.gauss(mean, mean**0.5)))
    limit, count, product = exp(-mean), 0, random.random()
    while product > limit:
        count += 1
        product *= random.random()
    return count


def latency(random: Random, median: float) -> float:
    """Return how long one request took, in the unit of the median."""
    return median * exp(random.gauss(0.0, SPREAD))
