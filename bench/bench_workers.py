"""Two workers against one on a search, as a ratio within one run.

    python bench/bench_workers.py [ROUNDS] [--jobs N] [--symbols N] [--bars N]

Six points of a forest, walked forward over eight blocks of two dozen symbols. Both take turns,
round by round; the processes are started anew each time, and that counts: a second or so for each,
which a search of a few seconds does not earn back. Printed are the medians, the smallest and the
median of the per-round ratios; the choices must be equal to the bit. Wall time, so the machine must
have the cores free.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from string import ascii_uppercase
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # its markets

from algotrade.learning.dataset import build_dataset
from algotrade.learning.search import grid_points, search
from algotrade.learning.training import Plan
from algotrade.workflows.fan_out import Workers, open_pool
from learning_markets import planted

if TYPE_CHECKING:
    from algotrade.learning.dataset import Dataset
    from algotrade.learning.search import Searched

BUDGET = 1.8
PLAN = Plan(model="rf")


def run(dataset: Dataset, jobs: int) -> tuple[float, Searched]:
    """Search; give the wall time and what was found."""
    points = grid_points(PLAN, len(dataset))
    began = time.perf_counter()
    with open_pool(Workers(jobs=jobs)) as pool:
        found = search(dataset, PLAN, points, seed=7, pool=pool)
    return time.perf_counter() - began, found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("rounds", nargs="?", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--symbols", type=int, default=24)
    parser.add_argument("--bars", type=int, default=2_500)
    asked = parser.parse_args()
    dataset = build_dataset(
        [
            planted(name, 7 + place, asked.bars, edge=0.004)
            for place, name in enumerate(ascii_uppercase[: asked.symbols])
        ]
    )
    pairs = []
    for _ in range(asked.rounds):
        (alone, mine), (shared, theirs) = run(dataset, 1), run(dataset, asked.jobs)
        if mine.losses != theirs.losses or mine.by_block != theirs.by_block:
            sys.exit("the workers chose otherwise")
        pairs.append((alone, shared))
    ratios = [alone / shared for alone, shared in pairs]
    alone, shared = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(ratios)
    print(
        f"search of 6 points x 8 blocks: 1 worker {alone:.2f} s, {asked.jobs} workers"
        f" {shared:.2f} s, {ratio:.2f} x as quick (least {min(ratios):.2f}; budget {BUDGET:.2f})"
    )
    sys.exit(not ratio >= BUDGET)


if __name__ == "__main__":
    main()
