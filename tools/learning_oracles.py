"""Compute with other libraries what the tests of significance and of search compare ours with.

In an environment of its own, with `algotrade`, statsmodels 0.15.0, arch 8.0.0, purgedcv 0.1.11 and
ffn 1.4.1:

python tools/learning_oracles.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from oracle_rows import gains, linked, point_gains, table

DRAWS = 20_000


def newey_west() -> list[float]:
    """Give the t of a mean with 5 and with 9 lags."""
    import statsmodels.api as sm  # type: ignore[import-not-found, unused-ignore] # not ours

    values = 0.1 + linked(300, 5)
    fits = [
        sm.OLS(values, np.ones(300)).fit(
            cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": False}
        )
        for lags in (5, 9)
    ]
    return [float(fit.tvalues[0]) for fit in fits]


def calibration() -> list[float]:
    """Give slope and intercept of the logistic regression on logit(p)."""
    import statsmodels.api as sm  # type: ignore[import-not-found, unused-ignore] # not ours

    rows = table()
    design = sm.add_constant(np.log(rows.p / (1 - rows.p)))
    fit = sm.Logit(rows.y, design).fit(method="newton", tol=1e-14, maxiter=100, disp=0)
    return [float(fit.params[1]), float(fit.params[0])]


def deflated() -> dict[str, Any]:
    """Give the deflated Sharpe ratio for 40 trials, from that library's own moments."""
    from purgedcv import (  # type: ignore[import-not-found, unused-ignore] # not ours
        deflated_sharpe_ratio_full,
    )

    found = deflated_sharpe_ratio_full(gains(), 40, 0.001)
    names = ("dsr", "observed_sr", "sr_star", "skew", "kurt")
    return {name: float(getattr(found, name)) for name in names}


def overfitting() -> dict[str, list[float]]:
    """Give the probability of backtest overfitting by two libraries."""
    import pandas as pd
    from ffn.core import (  # type: ignore[import-untyped, import-not-found, unused-ignore] # not ours
        calc_prob_backtest_overfitting,
    )
    from purgedcv import (  # type: ignore[import-not-found, unused-ignore] # not ours
        probability_of_backtest_overfitting,
    )

    return {
        name: [
            float(probability_of_backtest_overfitting(values.T).pbo),
            float(calc_prob_backtest_overfitting(pd.DataFrame(values))),
        ]
        for name, values in point_gains().items()
    }


def bootstrap() -> dict[str, list[float]]:
    """Give 90% intervals of a Sharpe ratio, an AUC and a log-loss skill by circular blocks."""
    from arch.bootstrap import (  # type: ignore[import-not-found, unused-ignore] # not ours
        CircularBlockBootstrap,
    )
    from sklearn.metrics import log_loss, roc_auc_score

    rows, values = table(), gains()

    def scores(picked: Any) -> Any:  # noqa: ANN401 - arrays of a library without types
        chosen = (2 * picked[:, None] + np.arange(2)).ravel()
        y, p, base = rows.y[chosen], rows.p[chosen], rows.base[chosen]
        return np.array([roc_auc_score(y, p), 1 - log_loss(y, p) / log_loss(y, base)])

    def sharpe(picked: Any) -> Any:  # noqa: ANN401 - as above
        return np.array([picked.mean() / picked.std(ddof=1)])

    of_rows = CircularBlockBootstrap(20, np.arange(300), seed=1).apply(scores, DRAWS)
    of_gains = CircularBlockBootstrap(20, values, seed=1).apply(sharpe, DRAWS)
    columns = dict(zip(("auc", "log_loss_skill"), of_rows.T, strict=True))
    columns["sharpe"] = of_gains[:, 0]
    return {
        name: [float(end) for end in np.quantile(column, (0.05, 0.95))]
        for name, column in columns.items()
    }


if __name__ == "__main__":
    told = {
        "newey_west": newey_west(),
        "calibration": calibration(),
        "deflated": deflated(),
        "overfitting": overfitting(),
        "bootstrap": bootstrap(),
    }
    sys.stdout.write(json.dumps(told, indent=2) + "\n")
