"""Many rows through many trees at once: all trees of a block of rows, one level after another.

The questions of the first levels are few, so all of them are asked of every row, whole columns at a
time; deeper a row asks only its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from algotrade.learning.scorer_trees import Trees

    Array = NDArray[Any]
    Integers = NDArray[np.int64]

PAIRS, TREES = 32_768, 16  # (tree, row) pairs and trees at once: what is read stays in the cache
TOP = 4  # levels whose questions are all asked: 15 of a tree


class Batch:
    """The trees as numpy columns; a leaf asks what is never true, so that a row stays there."""

    def __init__(self, trees: Trees) -> None:
        import numpy as np

        depth, roots = _depth(trees), np.array(trees.roots, np.intp)
        deepest_first = np.argsort(-depth[roots], kind="stable")
        feature = np.array(trees.feature, np.intp)
        leaf, own = feature < 0, np.arange(len(feature))
        self._single = trees.single
        self._roots, self._depth = roots[deepest_first], depth[roots[deepest_first]]
        self._feature = np.where(leaf, 0, feature)
        threshold = np.where(leaf, np.inf, np.array(trees.threshold, np.float64))
        self._threshold = _floored(threshold) if trees.single else threshold
        sides = [np.where(leaf, own, np.array(side, np.intp)) for side in (trees.left, trees.right)]
        self._child = np.stack(sides, axis=1).ravel()
        self._value = np.array(trees.value, np.int64)
        # the nodes of each level, from the left: (trees, 2^level)
        self._top = [self._roots[:, None]]
        for _ in range(TOP):
            places = 2 * self._top[-1][:, :, None] + np.arange(2)
            self._top.append(self._child[places].reshape(len(self._roots), -1))

    def totals(self, x: NDArray[np.float64]) -> Integers:
        """Add the values of the leaves that each row of (n, k) reaches; x is finite."""
        import numpy as np

        columns = x.astype(np.float32) if self._single else x
        totals = np.zeros(len(x), np.int64)
        rows = max(1, PAIRS // min(TREES, len(self._roots)))
        for start in range(0, len(x), rows):
            block = np.ascontiguousarray(columns[start : start + rows].T)
            for values in self._walk(block):
                totals[start : start + rows] += values
        return totals

    def _walk(self, block: NDArray[Any]) -> Iterator[Integers]:
        """Yield for a block (k, m) the sums over as many trees as are walked at once."""
        import numpy as np

        width = block.shape[1]
        flat, place = block.ravel(), np.arange(width)
        first_cell = self._feature * width
        for start in range(0, len(self._roots), TREES):
            depth = self._depth[start : start + TREES]
            shape = (len(depth), width)
            node, cell = self._below_top(block, start, len(depth)), np.empty(shape, np.intp)
            asked, found = np.empty(shape, flat.dtype), np.empty(shape, flat.dtype)
            for level in range(TOP, depth[0]):
                deep = slice(0, int((depth > level).sum()))  # the trees that still ask
                # every index is right by construction: `clip` only spares numpy a copy
                first_cell.take(node[deep], out=cell[deep], mode="clip")
                cell[deep] += place
                flat.take(cell[deep], out=found[deep], mode="clip")
                self._threshold.take(node[deep], out=asked[deep], mode="clip")
                node[deep] += node[deep]
                node[deep] += found[deep] > asked[deep]
                self._child.take(node[deep], out=cell[deep], mode="clip")
                node[deep] = cell[deep]
            yield self._value.take(node).sum(axis=0)

    def _below_top(self, block: NDArray[Any], start: int, trees: int) -> Integers:
        """Give the node that each row of a block reaches after the first levels: (trees, m)."""
        import numpy as np

        some = slice(start, start + trees)
        place = np.zeros((trees, block.shape[1]), np.intp)  # among the nodes of the level
        went: list[NDArray[np.bool_]] = []
        for nodes in self._top[:-1]:
            right = [
                block.take(self._feature[asking], axis=0) > self._threshold[asking, None]
                for asking in nodes[some].T
            ]
            for turn in went:  # the first halves the questions, the second halves those left ...
                half = len(right) // 2
                right = [
                    _either(turn, no, yes)
                    for no, yes in zip(right[:half], right[half:], strict=True)
                ]
            went += right
            place += place
            place += right[0]
        place += np.arange(trees)[:, None] << TOP
        found: Integers = self._top[-1][some].take(place)
        return found


def _either(turn: Array, no: Array, yes: Array) -> Array:
    """Give `yes` where `turn`, else `no`."""
    chosen: Array = no ^ (turn & (no ^ yes))
    return chosen


def _floored(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """Round down to single precision: of single x, just those up to it are up to `threshold`."""
    import numpy as np

    with np.errstate(over="ignore"):
        nearest = threshold.astype(np.float32)
        below = np.nextafter(nearest, np.float32(-np.inf))
    return np.where(nearest > threshold, below, nearest)


def _depth(trees: Trees) -> Integers:
    """Give for each node the most questions from there on; a child comes after its parent."""
    import numpy as np

    depth = [0] * len(trees.feature)
    for node in reversed(range(len(depth))):
        if trees.feature[node] >= 0:
            depth[node] = 1 + max(depth[trees.left[node]], depth[trees.right[node]])
    return np.array(depth)
