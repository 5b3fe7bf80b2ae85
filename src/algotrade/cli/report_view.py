"""The report of a model on one screen: what `train` prints and `models show` prints again."""

from __future__ import annotations

from itertools import accumulate, groupby
from typing import TYPE_CHECKING, Any

from algotrade.cli.output import View
from algotrade.domain.times import session_date
from algotrade.workflows.crowd import needed_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from algotrade.learning.card import Metrics, ModelCard

MOST_PERIODS = 8  # lines of a table of years
SCORES = ("accuracy", "balanced_accuracy", "auc", "brier", "log_loss")
_TITLES = ("accuracy", "balanced", "AUC", "Brier", "log loss")
_PERIODS = ("n", "up_rate", "accuracy", "auc", "log_loss_skill", "edge")
_INDENT = " " * 9


def report_view(card: ModelCard, *, schema: str = "algotrade.model/1") -> View:
    """Give everything that a card says of a model: the screen, the rows, the JSON."""
    return View(
        schema=schema,
        data=report_data(card),
        rows=report_rows(card),
        above=[*report_lines(card), *verdict_lines(card)],
    )


def report_data(card: ModelCard) -> dict[str, Any]:
    """Give the report as JSON: every figure of the card, times as dates."""
    judged = card.judgement
    return {
        "model": card.id,
        "kind": card.kind,
        "params": dict(card.params),
        "overrides": dict(card.overrides),
        "source": card.source,
        "symbols": list(card.symbols),
        "rows": card.rows,
        "first": _day(card.first_ts),
        "last": _day(card.last_ts),
        "expires": _day(card.expires) if card.expires else None,
        "features": {
            "preset": card.preset,
            "names": list(card.names),
            "lookback": card.lookback,
        },
        "horizon": card.horizon,
        "threshold": card.threshold,
        "seed": card.seed,
        "window": card.window or None,
        "metrics": dict(card.metrics),
        "baselines": {name: dict(scores) for name, scores in card.baselines.items()},
        "tables": {
            table: {name: dict(row) for name, row in rows.items()}
            for table, rows in card.tables.items()
        },
        "folds": [
            {
                "test_first": fold.test_first,
                "test_last": fold.test_last,
                "train_rows": fold.train_rows,
                "test_rows": fold.test_rows,
            }
            for fold in card.folds
        ],
        "verdict": card.verdict,
        "gate": None
        if judged is None
        else {
            "promoted": judged.promoted,
            "direction_only": judged.direction_only,
            "reasons": list(judged.reasons),
            "numbers": dict(judged.numbers),
        },
        "audit": None if judged is None else dict(judged.audit),
    }


def report_rows(card: ModelCard) -> list[dict[str, Any]]:
    """Give the scores of the model and of the simple rules, a row each, for a pipe."""
    kept = ("n", "n_effective", "test_dates", *SCORES)
    scores = {card.id: card.metrics, **card.baselines}
    return [
        {"score_of": name, **{key: found.get(key) for key in kept}}
        for name, found in scores.items()
    ]


def report_lines(card: ModelCard) -> list[str]:
    """Give the blocks of the report, each line at most 80 wide."""
    found = card.metrics
    lines = [*_head(card), ""]
    if not found.get("n"):
        return lines
    lines += [*_sample(card), *_skill(found), *_signal(found), *_money(found), *_luck(card)]
    lines += _search(card)
    return [*lines, "", *_scores(card), "", *_periods(card), *_importance(card), ""]


def verdict_lines(card: ModelCard) -> list[str]:
    """Give the verdict, and what the gate says, with the numbers."""
    judged = card.judgement
    lines = [f"verdict  {card.verdict}"]
    if judged is None:
        return lines
    said = "; ".join(judged.reasons)
    if judged.promoted:
        trials = judged.numbers.get("trials") or 1
        flat = f", for its direction only, sized flat: {said}" if judged.direction_only else ""
        return [*lines, f"gate     passed with {_trials(trials)}{flat}"]
    return [*lines, f"gate     REFUSED: {said}"]


def named(symbols: Sequence[str]) -> str:
    """Give the symbols, or the first and the last of many."""
    if len(symbols) <= 8:
        return ", ".join(symbols)
    return f"{symbols[0]} .. {symbols[-1]} ({len(symbols):,} symbols)"


def money_line(found: Metrics) -> str:
    """Tell what the decisions earned a year."""
    return (
        f"net {_signed(found['net_return'])} a year, gross {_signed(found['gross_return'])},"
        f" holding as much {_signed(found['hold_return'])}"
    )


def figure(value: float | None) -> str:
    """Give a figure to four digits; a dash where it is undefined."""
    return _four(value)


# ---- blocks


def universe_line(card: ModelCard) -> str:
    """Tell whom a model compares a symbol with, and as of when they were chosen; else nothing."""
    least = needed_of(card)
    if not least:
        return ""
    day = _day(card.last_ts)
    return f"universe as of {day}: {len(card.symbols)} symbols; a row needs bars of {least} of them"


def _head(card: ModelCard) -> list[str]:
    judged = card.judgement
    audit = "" if judged is None else f", audit {_audit(judged.audit)}"
    trained = f", on the last {card.window:,} sessions" if card.window else ""
    preset = card.preset.rpartition("@")[0].rpartition("/")[2] or card.preset
    universe = universe_line(card)
    return [
        (
            f"{card.kind} on {named(card.symbols)}: {card.rows:,} rows,"
            f" {_day(card.first_ts)} .. {_day(card.last_ts)}{trained}"
        ),
        (
            f"up over the next {card.horizon} sessions, {_many(len(card.names), 'feature')}"
            f" ({preset}){audit}"
        ),
        *([universe] if universe else []),
    ]


def _audit(results: Mapping[str, str]) -> str:
    failed = [test for test, result in results.items() if result == "failed"]
    return f"failed {', '.join(failed)}" if failed else "clean"


def _sample(card: ModelCard) -> list[str]:
    found = card.metrics
    first, last = _day(card.folds[0].test_first), _day(card.folds[-1].test_last)
    return [
        (
            f"sample   {found['n']:,} rows tested, {found['n_effective']:,} without overlap, on"
            f" {found['test_dates']:,} dates"
        ),
        (
            f"{_INDENT}{first} .. {last} in {_many(len(card.folds), 'block')}; up"
            f" {_percent(found['up_rate_train'])} trained, {_percent(found['up_rate'])} tested"
        ),
    ]


def _skill(found: Metrics) -> list[str]:
    loss, brier = (_skill_between(found, f"{name}_skill") for name in ("log_loss", "brier"))
    return [
        f"skill    AUC {_between(found, 'auc', _three)}, MCC {_between(found, 'mcc', _three)}",
        f"{_INDENT}balanced accuracy {_between(found, 'balanced_accuracy', _three)}",
        f"{_INDENT}on base rate: log loss {loss}, Brier {brier}",
        (
            f"{_INDENT}calibration: error {_three(found.get('ece'))},"
            f" slope {_two(found.get('calibration_slope'))},"
            f" intercept {_two(found.get('calibration_intercept'))}"
        ),
    ]


def _signal(found: Metrics) -> list[str]:
    across = "across symbols" if found.get("ic_across_symbols") else "along time"
    parts = [
        f"{title} {_three(found.get(name))} (t {_two(found.get(f'{name}_t'))})"
        for name, title in (("ic", "IC"), ("rank_ic", "rank IC"))
    ]
    return [f"signal   {', '.join(parts)}, {across}, {found.get('ic_dates') or 0:,} dates"]


def _money(found: Metrics) -> list[str]:
    if "net_return" not in found:
        return []
    return [
        f"money    {money_line(found)}",
        (
            f"{_INDENT}Sharpe {_between(found, 'net_sharpe', _two)}, drawdown"
            f" {_percent(abs(found['max_drawdown'] or 0))}, exposure {_percent(found['exposure'])}"
        ),
        (
            f"{_INDENT}{_many(int(found['trades'] or 0), 'fill')}, turnover"
            f" {_two(found['turnover'])} a year, {_break_even(found['break_even_bps'])}"
        ),
    ]


def _break_even(bps: float | None) -> str:
    if bps is None or bps <= 0:
        return "not worth any cost"
    return f"worth costs up to {bps:.1f} bps a side"


def _luck(card: ModelCard) -> list[str]:
    found, judged = card.metrics, card.judgement
    numbers = judged.numbers if judged else {}
    trials = numbers.get("trials") or 1
    entry = found.get("random_entry_percentile")
    lines = [
        (
            f"luck     permutation p {_four(found.get('permutation_p'))} on"
            f" {found.get('permutation_shifts') or 0:,} shifts; PSR of the excess"
            f" {_three(found.get('excess_psr'))},"
        ),
        (
            f"{_INDENT}deflated by {_trials(trials)} {_three(numbers.get('deflated_sharpe'))};"
            f" better than {_percent(entry)} of random entries"
        ),
    ]
    years, folds = found.get("years_consistent"), found.get("folds_consistent")
    return [
        *lines,
        f"stable   AUC over 0.5 in {_percent(years)} of years, {_percent(folds)} of blocks",
    ]


def _search(card: ModelCard) -> list[str]:
    """Tell which point of a search is kept, how likely luck is, and what each block used."""
    points = {int(row["point"] or 0): name for name, row in card.tables.get("search", {}).items()}
    if not points:
        return []
    kept = next(name for name, row in card.tables["search"].items() if row["kept"])
    folds = card.tables.get("folds", {})
    used = [points[int(folds[block]["point"] or 0)] for block in sorted(folds, key=int)]
    runs = [(name, len(list(same))) for name, same in groupby(used)]
    stops = accumulate(length for _, length in runs)
    told = [
        f"{f'{stop - length + 1}-{stop}' if length > 1 else stop} by {name}"
        for (name, length), stop in zip(runs, stops, strict=True)
    ]
    pbo = card.metrics.get("pbo")
    luck = "too few periods for its" if pbo is None else f"{pbo:.1%}"
    return [
        f"search   {_many(len(points), 'point')}, each a trial; {luck} probability of overfitting",
        f"{_INDENT}kept {kept}",
        f"{_INDENT}{'block' if len(used) == 1 else 'blocks'} {', '.join(told)}",
    ]


def _scores(card: ModelCard) -> list[str]:
    head = f"{'out of sample':<22}" + "".join(f"{title:>11}" for title in _TITLES)
    ranked = sorted(card.baselines.items(), key=lambda pair: -(pair[1].get("accuracy") or 0))
    return [
        head,
        *(
            f"{name.replace('_', ' '):<22}"
            + "".join(f"{_four(scores.get(key)):>11}" for key in SCORES)
            for name, scores in (("the model", card.metrics), *ranked)
        ),
    ]


def _periods(card: ModelCard) -> list[str]:
    """Give the years where they fit on the screen, else the test blocks."""
    years = card.tables.get("years", {})
    what = "year" if len(years) <= MOST_PERIODS else "block"
    table = years if what == "year" else card.tables.get("folds", {})
    head = (
        f"{what:<10}{'rows':>10}{'up':>10}{'accuracy':>11}{'AUC':>11}{'log loss':>11}{'edge':>11}"
    )
    lines = [
        f"{name:<10}{row.get('n') or 0:>10,}{_percent(row.get('up_rate')):>10}"
        f"{_four(row.get('accuracy')):>11}{_four(row.get('auc')):>11}"
        f"{_signed(row.get('log_loss_skill')):>11}{_signed(row.get('edge')):>11}"
        for name, row in sorted(table.items(), key=lambda pair: (len(pair[0]), pair[0]))
    ]
    return [head, *lines] if lines else []


def _importance(card: ModelCard) -> list[str]:
    table = card.tables.get("importance", {})
    ranked = sorted(table.items(), key=lambda pair: -(pair[1].get("log_loss") or 0))[:3]
    if not ranked:
        return []
    told = ", ".join(name for name, _ in ranked)
    return [f"shuffled {told} ({_fine(ranked[0][1].get('log_loss'))} log loss)"]


# ---- figures


def _day(ts: int) -> str:
    return session_date(ts).isoformat()


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _trials(count: float) -> str:
    return _many(int(count), "trial")


def _between(found: Metrics, name: str, form: Any) -> str:  # noqa: ANN401  one of the forms below
    """Give a figure with its 90% interval, if it has one."""
    low, high = found.get(f"{name}_low"), found.get(f"{name}_high")
    value = form(found.get(name))
    return value if low is None or high is None else f"{value} [{form(low)}, {form(high)}]"


def _skill_between(found: Metrics, name: str) -> str:
    """Give a skill in percent, with its interval in the same unit."""
    value, low, high = (found.get(f"{name}{end}") for end in ("", "_low", "_high"))
    told = _signed(value)
    return (
        told
        if low is None or high is None
        else f"{told} [{low:+.1%}, {high:+.1%}]".replace("%,", ",").replace("%]", "]")
    )


def _two(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _three(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _four(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _fine(value: float | None) -> str:
    return "-" if value is None else f"{value:+.5f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2%}"
