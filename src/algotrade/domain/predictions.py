"""What a model says about one symbol at one bar, and why."""

from __future__ import annotations

from algotrade.record import NamedTuple


class Prediction(NamedTuple):
    """A model's word at `ts` (the close of the decision bar).

    p_up: probability in [0, 1] that the label is 1.
    value: 1 iff p_up > threshold, else 0.
    features: (name, value): SMA_50 and SMA_200 in dollars first, then the other columns that the
    scorer read, in the order of the model.
    drivers: (name, contribution), largest first; contributions and `base` add up to the score in
    `unit` ("probability" for trees, "log-odds" for linear models).
    bars_hash: fingerprint of the bars the features were computed from.
    abstains: why nothing is entered on it, one of `signals.ABSTAINS`. outside: features beyond
    all that training saw. drift: (feature, population stability index), those beyond their limit.
    """

    model_id: str
    symbol: str
    ts: int
    p_up: float
    threshold: float
    value: int
    features: tuple[tuple[str, float], ...]
    drivers: tuple[tuple[str, float], ...]
    base: float
    unit: str
    bars_hash: str
    abstains: str = ""
    outside: tuple[str, ...] = ()
    drift: tuple[tuple[str, float], ...] = ()
