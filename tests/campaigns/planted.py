"""Plant edges and noise, train on each market as `train` does, and count what the gate promotes.

python tests/campaigns/planted.py --noise 200 --seeds 3 --out planted.jsonl

The claims, each with its count at the end:
- of 200 markets of noise (four kinds, horizons 1 and 5) at most 3 models are promoted;
- of the markets with an edge at full strength (four modes, horizons 1 and 5) at least 80% are;
- the default model keeps at least 80% of the edge, averaged over modes and seeds, at 1 and at 5;
- no model is more often right than the best possible forecast by over 3 standard errors.

Every market is one line of the file; a run that was stopped goes on where it ended, and a longer
one adds to it. Exit code 1 where a claim fails.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from planted_cases import compare, judge
from planted_markets import MODES, NOISES, noise, planted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeAlias

    Line: TypeAlias = dict[str, Any]
    Case: TypeAlias = tuple[str, int, int, float]  # market, seed, horizon, strength

HORIZONS = (1, 5)
MOST_PROMOTED = 3 / 200
LEAST_PROMOTED, LEAST_KEPT, MOST_ERRORS = 0.80, 0.80, 3.0


def cases(noises: int, seeds: int, strength: float) -> Iterator[Case]:
    """Give the markets: as many of noise, and one of each mode, horizon and seed."""
    for number in range(noises):
        kind = NOISES[number % len(NOISES)]
        seed, horizon = divmod(number // len(NOISES), len(HORIZONS))
        yield kind, seed, HORIZONS[horizon], 0.0
    for seed in range(seeds):
        for mode in MODES:
            for horizon in HORIZONS:
                yield mode, seed, horizon, strength


def run_case(case: Case, *, model: str = "auto", count: int = 2520) -> Line:
    """Draw one market, learn, judge, and say what came of it."""
    name, seed, horizon, strength = case
    market = planted(name, seed, count=count, strength=strength) if strength else None
    bars = market.bars if market else noise(name, seed, count=count)
    made = judge(bars, horizon, model=model, seed=seed + 1)
    line = {
        "case": list(case),
        "model": model,
        "count": count,
        "promoted": made.verdict.promoted,
        "direction_only": made.verdict.direction_only,
        "reasons": list(made.verdict.reasons),
        "numbers": made.verdict.numbers,
        "accuracy": made.report.metrics["accuracy"],
        "log_loss_skill": made.report.metrics["log_loss_skill"],
        "seconds": made.seconds,
    }
    if market is None:
        return line
    found = compare(market.p_up[horizon], bars, made.dataset, made.outcome)
    return line | {
        "best": found.best,
        "kept": found.share,
        "kept_realised": found.realised_share,
        "errors_above": found.errors_above,
    }


def summary(lines: list[Line]) -> dict[str, Any]:
    """Count, and say which claims fail."""
    empty = [line for line in lines if line["case"][3] == 0]
    full = [line for line in lines if line["case"][3] == 1]
    failed, told = [], dict[str, Any]()
    told["markets"] = len(lines)
    told["seconds a market"] = _mean([sum(line["seconds"].values()) for line in lines])
    if empty:
        number = sum(line["promoted"] for line in empty)
        told["noise promoted"] = f"{number} of {len(empty)}"
        told["noise, by condition failed"] = dict(Counter(_failed(line) for line in empty))
        low = sum((line["numbers"]["permutation_p"] or 1) <= 0.05 for line in empty)
        told["noise, permutation p <= 0.05"] = f"{low} of {len(empty)}"
        rich = sum((line["numbers"]["deflated_sharpe"] or 0) > 0.95 for line in empty)
        told["noise, PSR > 0.95"] = f"{rich} of {len(empty)}"
        if number > math.ceil(MOST_PROMOTED * len(empty)):
            failed.append("noise promoted")
    if full:
        number = sum(line["promoted"] for line in full)
        told["full strength promoted"] = f"{number} of {len(full)}"
        if number < LEAST_PROMOTED * len(full):
            failed.append("full strength promoted")
    for strength in sorted({line["case"][3] for line in lines} - {0, 1}):
        weak = [line["promoted"] for line in lines if line["case"][3] == strength]
        told[f"strength {strength} promoted"] = f"{sum(weak)} of {len(weak)}"
    failed += _kept(full, told)
    return told | {"failed": failed}


def _kept(full: list[Line], told: dict[str, Any]) -> list[str]:
    """Tell what is kept of the edges; give the claims that fail."""
    failed: list[str] = []
    groups: dict[str, list[Line]] = defaultdict(list)
    for line in full:
        name, _, horizon, _ = line["case"]
        groups[f"h={horizon}"].append(line)
        groups[f"h={horizon} {name}"].append(line)
    for name, group in sorted(groups.items()):
        share = _mean([line["kept"] for line in group])
        lucky = _mean([line["kept_realised"] for line in group])
        told[f"edge kept, {name}"] = f"{share:.3f} (with the luck of the labels {lucky:.3f})"
        if " " not in name and share < LEAST_KEPT:
            failed.append(f"edge kept, {name}")
    if full:
        most = max(line["errors_above"] for line in full)
        told["standard errors above the optimum, at most"] = round(most, 2)
        if most > MOST_ERRORS:
            failed.append("above the optimum")
        worse = sum(line["direction_only"] for line in full)
        told["promoted for direction only"] = f"{worse} of {len(full)}"
    return failed


def _failed(line: Line) -> str:
    """Name the conditions that failed, without their numbers."""
    told = " ".join(line["reasons"])
    names = [name for name in ("permutation", "PSR", "log loss") if name in told]
    return " + ".join(names) or "none"


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _known(path: Path) -> list[Line]:
    if not path.exists():
        return []
    return [json.loads(text) for text in path.read_text("utf-8").splitlines()]


def main() -> int:
    """Run the markets that the file lacks, and sum up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--noise", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--strength", type=float, default=1.0)
    parser.add_argument("--model", default="auto")
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after so long")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    began = time.monotonic()
    lines = _known(given.out)
    done = {(*line["case"], line["model"]) for line in lines}
    for case in cases(given.noise, given.seeds, given.strength):
        if (*case, given.model) in done or time.monotonic() - began > given.seconds:
            continue
        lines.append(run_case(case, model=given.model))
        with given.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(lines[-1]) + "\n")
    told = summary([line for line in lines if line["model"] == given.model])
    sys.stdout.write(json.dumps(told, indent=2) + "\n")
    return 1 if told["failed"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
