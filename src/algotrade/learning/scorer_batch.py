"""Many rows through many trees at once: all trees of a block of rows, one level after another."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from algotrade.learning.scorer_trees import Trees

    Integers = NDArray[np.int64]

PAIRS = 32_768  # (tree, row) pairs at once: the columns of a block stay in the cache


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

    def totals(self, x: NDArray[np.float64]) -> Integers:
        """Add the values of the leaves that each row of (n, k) reaches; x is finite."""
        import numpy as np

        columns = x.astype(np.float32) if self._single else x
        totals = np.zeros(len(x), np.int64)
        rows = max(1, PAIRS // len(self._roots))
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
        for start in range(0, len(self._roots), PAIRS):
            depth = self._depth[start : start + PAIRS]
            shape = (len(depth), width)
            node, cell = np.empty(shape, np.intp), np.empty(shape, np.intp)
            asked, found = np.empty(shape, flat.dtype), np.empty(shape, flat.dtype)
            node[:] = self._roots[start : start + PAIRS, None]
            for level in range(depth[0]):
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
