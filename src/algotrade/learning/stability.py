"""Stability: the same figures year by year and block by block, and which features carry them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.learning.evaluation import auc, log_losses
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    from algotrade.learning.card import Metrics
    from algotrade.learning.dataset import Dataset
    from algotrade.learning.rows import Rows

    Array = NDArray[Any]
    Predict: TypeAlias = Callable[[NDArray[np.float64]], NDArray[np.float64]]

ENTRIES = 1_000
FEWEST_ENTRIES = 100
MOST_ROWS = 20_000  # of a test block that features are shuffled in: enough for three digits
MOST_REPEATS = 3
MOST_SPELLS = 20_000_000  # stretches shuffled at most: three seconds


class Part(NamedTuple):
    """One test block: its rows of the dataset, and what was fitted before it."""

    rows: NDArray[np.intp]
    predict: Predict


class RandomEntry(NamedTuple):
    """The mean return of a held row, the model's and that of entries at random.

    percentile: share of the draws that the model beats, ties counted half.
    """

    own: float
    mean: float
    percentile: float


def by_group(rows: Rows, group: Array, names: Sequence[str]) -> dict[str, Metrics]:
    """Score each group of rows; `group` holds places in `names`, empty groups are left out.

    edge: the mean return of rows said up less the mean of all, which is zero without skill.
    """
    found = {}
    for place, name in enumerate(names):
        chosen = group == place
        if chosen.any():
            found[name] = _score(rows, chosen)
    return found


def _score(rows: Rows, chosen: Array) -> Metrics:
    y, p, change = rows.y[chosen], rows.p[chosen], rows.change[chosen]
    said = rows.said_up[chosen] == 1
    loss = log_losses(y, p).mean()
    base_loss = log_losses(y, rows.base[chosen]).mean()
    return {
        "n": len(y),
        "up_rate": float(y.mean()),
        "accuracy": float((said == (y == 1)).mean()),
        "auc": auc(y, p),
        "log_loss_skill": float(1 - loss / base_loss) if base_loss else None,
        "edge": float(change[said].mean() - change.mean()) if said.any() else None,
    }


def consistency(table: dict[str, Metrics]) -> float | None:
    """Give the share of groups whose AUC is over one half, of those that have one."""
    found = [value for row in table.values() if (value := row["auc"]) is not None]
    return sum(value > 0.5 for value in found) / len(found) if found else None


def importance(
    dataset: Dataset,
    parts: Sequence[Part],
    rng: np.random.Generator,
    *,
    repeats: int = MOST_REPEATS,
) -> dict[str, Metrics]:
    """Shuffle one feature at a time in each test block and see what the predictions lose.

    At most 20,000 rows of a block are drawn, the same for every feature; each is shuffled until
    about as many rows were, at most `repeats` times.
    log_loss: how much worse it gets, mean over all rows; auc: what is lost, mean over blocks that
    have one, by rows; blocks: share of the blocks in which the log loss gets worse. Most important
    first. Permutation importance: Breiman, Random forests, Machine Learning 45, 2001.
    """
    import numpy as np

    names = dataset.features.names
    losses = np.array([_lost(dataset, part, rng, repeats) for part in parts])  # (blocks, k, 2)
    if not len(losses):
        return {}
    weight = np.array([len(part.rows) for part in parts], float)
    loss, area = losses[:, :, 0], losses[:, :, 1]
    known = np.isfinite(area[:, 0]) * weight
    mean_loss = weight @ loss / weight.sum()
    mean_area = known @ np.nan_to_num(area) / known.sum() if known.sum() else None
    return {
        names[place]: {
            "log_loss": float(mean_loss[place]),
            "auc": None if mean_area is None else float(mean_area[place]),
            "blocks": float((loss[:, place] > 0).mean()),
        }
        for place in np.argsort(-mean_loss, kind="stable").tolist()
    }


def _lost(dataset: Dataset, part: Part, rng: np.random.Generator, repeats: int) -> Array:
    """Give what each feature's shuffling costs in log loss and AUC: (k, 2)."""
    import numpy as np

    rows = part.rows
    if len(rows) > MOST_ROWS:
        rows = np.sort(rng.choice(rows, MOST_ROWS, replace=False))
    x, y = dataset.x[rows].copy(), dataset.y[rows]
    own = part.predict(x)
    own_loss, own_area = log_losses(y, own).mean(), auc(y, own)
    repeats = min(repeats, -(-MOST_ROWS // len(rows)))
    lost = np.zeros((x.shape[1], 2))
    for feature in range(x.shape[1]):
        kept = x[:, feature].copy()
        for _ in range(repeats):
            x[:, feature] = rng.permutation(kept)
            p = part.predict(x)
            area = auc(y, p)
            fall = np.nan if own_area is None or area is None else own_area - area
            lost[feature] += log_losses(y, p).mean() - own_loss, fall
        x[:, feature] = kept
    found: Array = lost / repeats
    return found


def random_entry(
    rows: Rows, rng: np.random.Generator, *, draws: int = ENTRIES
) -> RandomEntry | None:
    """Compare with entries at random of the same exposure and turnover, symbol by symbol.

    Each draw shuffles the lengths of a symbol's stretches in the market and of those out of it:
    as many entries, as many rows held, other dates. Before costs, which are the same for all.
    Hundreds of symbols get fewer draws, at least 100. None where the model is never in the
    market, or always.
    """
    import numpy as np

    said = rows.said_up
    held = float(said.sum())
    if not 0 < held < len(rows):
        return None
    spells = int((np.diff(said[np.lexsort((rows.moment, rows.symbol))]) != 0).sum()) + 1
    draws = max(min(draws, FEWEST_ENTRIES), min(draws, MOST_SPELLS // spells))
    totals = np.zeros(draws)
    for symbol in np.unique(rows.symbol).tolist():
        chosen = rows.symbol == symbol
        totals += _drawn_entries(said[chosen] == 1, rows.change[chosen], rng, draws)
    own, drawn = float((said * rows.change).sum()) / held, totals / held
    tolerance = 1e-12 * max(abs(own), float(np.abs(drawn).max()))
    beaten = (drawn < own - tolerance).mean() + (np.abs(drawn - own) <= tolerance).mean() / 2
    return RandomEntry(own=own, mean=float(drawn.mean()), percentile=float(beaten))


def _drawn_entries(held: Array, change: Array, rng: np.random.Generator, draws: int) -> Array:
    """Give the sum of the returns of held rows in each draw, of one symbol."""
    import numpy as np

    bounds = np.flatnonzero(np.diff(held)) + 1
    spells = np.diff(np.concatenate([[0], bounds, [len(held)]]))
    shuffled = np.empty((draws, len(spells)), np.int64)
    for turn in (0, 1):  # stretches in the market and out of it take turns
        shuffled[:, turn::2] = rng.permuted(np.tile(spells[turn::2], (draws, 1)), axis=1)
    ends = np.cumsum(shuffled, axis=1)
    total = np.concatenate([[0.0], np.cumsum(change)])
    gained = total[ends] - total[ends - shuffled]
    drawn: Array = gained[:, int(not held[0]) :: 2].sum(axis=1)
    return drawn
