"""What differs between two models: plan, data, figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from algotrade.record import NamedTuple
from algotrade.workflows.models import load_card_of

if TYPE_CHECKING:
    from algotrade.learning.card import ModelCard
    from algotrade.workflows.context import Workspace


class Differing(NamedTuple):
    """One thing in which two models differ."""

    part: str
    name: str
    first: Any
    second: Any


def diff_models(ws: Workspace, first: str, second: str) -> list[Differing]:
    """Give what differs between two models: plan, data and figures."""
    one, other = load_card_of(ws, first), load_card_of(ws, second)
    mine, theirs = _told(one), _told(other)
    found = []
    for part in mine:
        for name in dict.fromkeys((*mine[part], *theirs[part])):
            pair = mine[part].get(name), theirs[part].get(name)
            if pair[0] != pair[1]:
                found.append(Differing(part, name, *pair))
    return found


def _told(card: ModelCard) -> dict[str, dict[str, Any]]:
    """Give a card as plan, data and figures."""
    from algotrade.domain.times import session_date

    return {
        "plan": {
            "model": card.kind,
            **{f"parameter {name}": value for name, value in card.params.items()},
            "features": card.preset,
            "columns": len(card.names),
            "look-back": card.lookback,
            "horizon": card.horizon,
            "threshold": card.threshold,
            "window": card.window or "expanding",
            "folds asked for": card.blocks,
            "seed": card.seed,
            "algotrade": card.versions.get("algotrade"),
            "scikit-learn": card.versions.get("scikit-learn"),
        },
        "data": {
            "source": card.source,
            "symbols": " ".join(card.symbols),
            "first bar": session_date(card.first_ts).isoformat(),
            "last bar": session_date(card.last_ts).isoformat(),
            "rows": card.rows,
            "sha256": card.fingerprint[:12],
            "expires": session_date(card.expires).isoformat() if card.expires else "never",
        },
        "figures": {
            name: value
            for name, value in card.metrics.items()
            if not name.endswith(("_low", "_high"))
        },
    }
