"""The command that predicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from algotrade.cli.data import read_symbols
from algotrade.cli.output import Column, View
from algotrade.cli.run import Run, command, new_app
from algotrade.domain.signals import EXPIRED, UNFAMILIAR
from algotrade.domain.times import iso, read_as_of, session_date

if TYPE_CHECKING:
    from algotrade.domain.predictions import Prediction
    from algotrade.workflows.predict import Asked

APPS = {"predict": new_app()}

AsOf = Annotated[
    str | None, typer.Option("--as-of", help="As known then: a date, or an instant with a zone.")
]
Symbols = Annotated[
    list[str] | None, typer.Argument(help="Symbols, @watchlist or - for stdin; none: all stored.")
]


@APPS["predict"].command()
@command
def predict(
    run: Run,
    symbols: Symbols = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Model id; default: promoted, else newest.")
    ] = None,
    as_of: AsOf = None,
) -> None:
    """Predict from the newest bars: p(up), prediction, and what drove it."""
    from algotrade.workflows.predict import predict as predict_workflow

    wanted = read_symbols(run, symbols or [])
    with run.workspace(reading=True) as ws:
        asked = predict_workflow(ws, wanted, model, as_of=read_as_of(as_of))
    run.out.emit(_predict_view(asked))


def driver_words(drivers: Any, count: int = 3) -> str:  # noqa: ANN401  pairs, fresh or from JSON
    """Name the largest drivers with their contributions."""
    return ", ".join(f"{name} {part:+.4f}" for name, part in list(drivers)[:count])


_NESTED = {"features", "drivers", "outside", "drift"}


def abstain_words(prediction: Prediction) -> str:
    """Say why nothing is entered on a prediction; empty where there is no reason."""
    if prediction.abstains == EXPIRED:
        return "the model is past its time"
    if prediction.abstains == UNFAMILIAR:
        names = ", ".join(prediction.outside[:3])
        return f"{len(prediction.outside)} features are outside all that training saw: {names}"
    if prediction.abstains:
        names = ", ".join(f"{name} {index:.2f}" for name, index in prediction.drift[:3])
        return f"{len(prediction.drift)} features have drifted from training: {names}"
    return ""


def _predict_view(asked: Asked) -> View:
    predictions, standing = asked.predictions, asked.model.standing
    words = {"state": standing.state, "standing": standing.words}
    data = [_prediction_row(prediction) | words for prediction in predictions]
    flat = [{key: row[key] for key in row if key not in _NESTED} for row in data]
    drivers = {p.symbol: driver_words(p.drivers, 2) for p in predictions}
    return View(
        schema="algotrade.predict/1",
        data=data,
        rows=flat,
        columns=[
            Column(title="symbol", cell=lambda row: str(row["symbol"]), right=False),
            Column(title="session", cell=lambda row: str(row["session"]), right=False),
            Column(title="p(up)", cell=lambda row: f"{row['p_up']:.4f}"),
            Column(title="prediction", cell=lambda row: str(row["prediction"])),
            Column(title="because", cell=lambda row: drivers[row["symbol"]], right=False),
        ],
        below=[
            *(
                f"{one.symbol}: nothing is entered, {abstain_words(one)}"
                for one in predictions
                if one.abstains
            ),
            f"model {asked.model.words}",
        ],
    )


def _prediction_row(prediction: Prediction) -> dict[str, Any]:
    features = dict(prediction.features)
    return {
        "symbol": prediction.symbol,
        "session": session_date(prediction.ts).isoformat(),
        "as_of": iso(prediction.ts),
        "prediction": prediction.value,
        "p_up": prediction.p_up,
        "threshold": prediction.threshold,
        "SMA_50": features["SMA_50"],
        "SMA_200": features["SMA_200"],
        "model": prediction.model_id,
        "bars_hash": prediction.bars_hash,
        "abstains": prediction.abstains or None,
        "outside": list(prediction.outside),
        "drift": dict(prediction.drift),
        "features": features,
        "drivers": [
            {"name": name, "contribution": part, "unit": prediction.unit}
            for name, part in prediction.drivers
        ],
    }
