"""The command that predicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from algotrade.cli.data import read_symbols
from algotrade.cli.output import Column, View
from algotrade.cli.run import Run, command, new_app
from algotrade.domain.times import iso, read_as_of, session_date

if TYPE_CHECKING:
    from algotrade.domain.predictions import Prediction

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
        str | None, typer.Option("--model", help="Model id; default: the newest trained.")
    ] = None,
    as_of: AsOf = None,
) -> None:
    """Predict from the newest bars: p(up), prediction, and what drove it."""
    from algotrade.workflows.models import predict as predict_workflow

    wanted = read_symbols(run, symbols or [])
    with run.workspace() as ws:
        predictions = predict_workflow(ws, wanted, model, as_of=read_as_of(as_of))
    run.out.emit(_predict_view(predictions))


def driver_words(drivers: Any, count: int = 3) -> str:  # noqa: ANN401  pairs, fresh or from JSON
    """Name the largest drivers with their contributions."""
    return ", ".join(f"{name} {part:+.4f}" for name, part in list(drivers)[:count])


def _predict_view(predictions: list[Prediction]) -> View:
    data = [_prediction_row(prediction) for prediction in predictions]
    flat = [{key: row[key] for key in row if key not in {"features", "drivers"}} for row in data]
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
        below=[f"model {predictions[0].model_id}"],
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
        "features": features,
        "drivers": [
            {"name": name, "contribution": part, "unit": prediction.unit}
            for name, part in prediction.drivers
        ],
    }
