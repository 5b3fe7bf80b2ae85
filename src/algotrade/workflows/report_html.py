"""The report of a model as one HTML page: no network, no script, readable in light and dark."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from algotrade.domain.money import MICROS
from algotrade.domain.times import iso, session_date
from algotrade.learning.card import plan_hash
from algotrade.record import NamedTuple
from algotrade.store import runs as run_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from algotrade.domain.ledger import Mark
    from algotrade.learning.card import Metrics, ModelCard
    from algotrade.workflows.context import Workspace

MOST_POINTS = 800  # of a curve: more than a screen has columns
_STYLE = """
:root{color-scheme:light dark;
--ink:#1b1b1f;--soft:#5d5d66;--line:#c9c9d1;--paper:#fff;--mark:#0b5cad}
@media(prefers-color-scheme:dark){:root{
--ink:#ececf1;--soft:#a9a9b4;--line:#44444d;--paper:#17171a;--mark:#7ab8ff}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:0 auto;
max-width:60rem;padding:1rem 1.25rem 3rem}
h1{font-size:1.5rem;margin:.5rem 0}h2{font-size:1.15rem;margin:2rem 0 .5rem}
p{margin:.4rem 0}.soft,caption{color:var(--soft)}
.verdict{border-left:4px solid var(--mark);padding:.25rem 0 .25rem .9rem;margin:1rem 0}
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
caption{text-align:left;padding:.2rem 0;white-space:nowrap}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(24rem,1fr));gap:0 2rem}
@media(max-width:30rem){.figures{display:block}}
th,td{padding:.2rem .8rem .2rem 0;text-align:right;border-bottom:1px solid var(--line)}
th[scope=row],th:first-child{text-align:left;font-weight:500}
svg{width:100%;height:auto;max-width:44rem}.square{max-width:26rem;display:block}
svg text{font-size:12px;fill:var(--soft)}
.curve{fill:none;stroke:var(--mark);stroke-width:1.6}.even{stroke:var(--line);fill:none}
.dot{fill:var(--mark)}summary{cursor:pointer;margin:1.5rem 0 .5rem;font-weight:600}
""".strip()
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_PERCENT = {
    *("up_rate", "up_rate_train", "accuracy", "balanced_accuracy", "predicted_up", "edge"),
    *("net_return", "gross_return", "hold_return", "excess", "max_drawdown", "exposure"),
    *("log_loss_skill", "brier_skill", "held_return", "random_entry_return"),
    *("years_consistent", "folds_consistent", "random_entry_percentile", "pbo"),
}
_FIGURES = {
    "Sample": ("n", "n_effective", "test_dates", "up_rate_train", "up_rate", "predicted_up"),
    "Skill": ("accuracy", "balanced_accuracy", "mcc", "auc", "log_loss_skill", "brier_skill"),
    "Signal": ("ic", "ic_t", "rank_ic", "rank_ic_t", "ece", "calibration_slope"),
    "Money": (
        *("net_return", "gross_return", "hold_return", "excess", "net_sharpe", "max_drawdown"),
        *("turnover", "exposure", "trades", "break_even_bps"),
    ),
    "Luck": (
        *("permutation_p", "permutation_shifts", "net_psr", "excess_psr"),
        *("random_entry_percentile", "years_consistent", "folds_consistent"),
        *("search_points", "pbo"),
    ),
}
_WORDS = {
    "n": "rows tested",
    "n_effective": "rows without overlap",
    "mcc": "MCC",
    "auc": "AUC",
    "ic": "IC",
    "ic_t": "IC, t",
    "rank_ic": "rank IC",
    "rank_ic_t": "rank IC, t",
    "ece": "calibration error",
    "net_psr": "PSR",
    "excess_psr": "PSR of the excess",
    "break_even_bps": "break-even cost, bps a side",
    "net_return": "net return a year",
    "gross_return": "gross return a year",
    "hold_return": "holding as much, a year",
    "excess": "excess a year",
    "search_points": "points searched",
    "pbo": "probability of overfitting",
    "point": "point used",
    "excess_sharpe": "excess Sharpe, a period",
}


class RunCurve(NamedTuple):
    """A kept backtest to show beside the model."""

    record: run_store.RunRecord
    marks: Sequence[Mark]


def run_curve(ws: Workspace, name: str) -> RunCurve:
    """Load a kept run and its valuations by the beginning of its id, or its number."""
    from algotrade.workflows.runs import find_run

    record = find_run(ws, name)
    return RunCurve(record, run_store.run_marks(ws.db, record.run_id))


def report_page(card: ModelCard, run: RunCurve | None = None) -> str:
    """Give the whole page; every word from outside is escaped."""
    parts = [
        _head(card),
        _verdict(card),
        _curve(run) if run else "",
        _figures(card.metrics),
        _calibration(card.tables.get("calibration", {})),
        _grid("Beside simple rules", "Scores on the same rows", _beside(card)),
        _grid("Years", "Each year of the test", card.tables.get("years", {})),
        _grid("Test blocks", "Each fitted on what was known before it", _blocks(card)),
        _grid(
            "Search", "Each point is a trial; a test block used what was best before", _points(card)
        ),
        _grid("Features", "What is lost where one is shuffled", _ranked(card)),
        _folded(_grid("Symbols", "Each symbol", card.tables.get("symbols", {})), "Symbols"),
        _plan(card),
    ]
    body = "\n".join(part for part in parts if part)
    title = f"Model {escape(card.id)}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{_STYLE}\n</style>\n</head>\n<body>\n<main>\n"
        f"{body}\n</main>\n</body>\n</html>\n"
    )


# ---- parts


def _head(card: ModelCard) -> str:
    symbols = ", ".join(card.symbols[:8])
    more = f" and {len(card.symbols) - 8:,} more" if len(card.symbols) > 8 else ""
    return (
        f"<h1>Model {escape(card.id)}</h1>\n<p>{escape(card.kind)} on {escape(symbols)}{more}"
        f" ({escape(card.source)}): {card.rows:,} rows, {session_date(card.first_ts)} to"
        f" {session_date(card.last_ts)}; up over the next {card.horizon} sessions.</p>\n"
        f'<p class="soft">The figures of the model are of days that it had not seen.</p>'
    )


def _verdict(card: ModelCard) -> str:
    judged = card.judgement
    lines = [f"<p><strong>{escape(card.verdict)}.</strong></p>"]
    if judged is not None:
        passed = "passed" if judged.promoted else "refused"
        trials = int(judged.numbers.get("trials") or 1)
        lines.append(f"<p>Gate: {passed}, with {trials} trial{'' if trials == 1 else 's'}.</p>")
        items = "".join(f"<li>{escape(reason)}</li>" for reason in judged.reasons)
        lines.append(f"<ul>{items}</ul>" if items else "")
        audit = ", ".join(f"{test} {result}" for test, result in judged.audit.items())
        lines.append(f'<p class="soft">Audit: {escape(audit)}.</p>')
    return f'<section class="verdict" aria-label="Verdict">{"".join(lines)}</section>'


def _figures(found: Metrics) -> str:
    sections = []
    for title, names in _FIGURES.items():
        rows = [
            (_word(name), [_figure(name, found.get(name)), _interval(name, found)])
            for name in names
            if name in found
        ]
        if rows:
            sections.append(_section(title, _table("", ("figure", "value", "90% interval"), rows)))
    return f'<div class="figures">{"".join(sections)}</div>' if sections else ""


def _beside(card: ModelCard) -> Mapping[str, Metrics]:
    names = ("accuracy", "balanced_accuracy", "auc", "brier", "log_loss")
    both = {"the model": card.metrics, **card.baselines}
    return {
        rule.replace("_", " "): {name: scores.get(name) for name in names}
        for rule, scores in (both.items() if card.metrics.get("n") else ())
    }


def _blocks(card: ModelCard) -> Mapping[str, Metrics]:
    """Give the table of test blocks, each named by its dates."""
    table = card.tables.get("folds", {})
    ordered = sorted(table.items(), key=lambda pair: (len(pair[0]), pair[0]))
    return {
        f"{session_date(fold.test_first)} to {session_date(fold.test_last)}": row
        for fold, (_, row) in zip(card.folds, ordered, strict=False)
    }


def _points(card: ModelCard) -> Mapping[str, Metrics]:
    """Give the points of a search in their order, the kept one marked."""
    ordered = sorted(card.tables.get("search", {}).items(), key=lambda pair: pair[1]["point"] or 0)
    return {
        f"{row['point']}: {name}{', kept' if row['kept'] else ''}": {
            key: value for key, value in row.items() if key not in {"point", "kept"}
        }
        for name, row in ordered
    }


def _ranked(card: ModelCard) -> Mapping[str, Metrics]:
    table = card.tables.get("importance", {})
    return dict(sorted(table.items(), key=lambda pair: -(pair[1].get("log_loss") or 0)))


def _plan(card: ModelCard) -> str:
    params = ", ".join(f"{name}={value}" for name, value in sorted(card.params.items()))
    rows = [
        ("plan", [plan_hash(card)]),
        ("features", [f"{card.preset}: {', '.join(card.names)}"]),
        ("look-back", [f"{card.lookback} bars"]),
        ("parameters", [params or "the class's own"]),
        ("trains on", [f"the last {card.window} sessions" if card.window else "all before"]),
        ("threshold", [str(card.threshold)]),
        ("seed", [str(card.seed)]),
        ("for use until", [str(session_date(card.expires)) if card.expires else "any time"]),
        ("made", [iso(card.created)]),
        ("bars", [card.fingerprint]),
        ("versions", [", ".join(f"{name} {one}" for name, one in card.versions.items())]),
    ]
    return _folded(_section("Plan", _table("", ("", ""), rows)), "Plan")


# ---- charts


def _calibration(bins: Mapping[str, Metrics]) -> str:
    """Draw how often up came against how probable it was said to be."""
    points = [
        (p, rate)
        for _, row in sorted(bins.items())
        if (p := row.get("p")) is not None and (rate := row.get("up_rate")) is not None
    ]
    if not points:
        return ""
    low, high = min(map(min, points)), max(map(max, points))
    room = max(0.01, (high - low) * 0.08)
    low, high = max(0.0, low - room), min(1.0, high + room)

    def at(x: float, y: float) -> tuple[float, float]:
        return 50 + 330 * (x - low) / (high - low), 350 - 330 * (y - low) / (high - low)

    dots = "".join(
        f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
        for x, y in (at(*point) for point in points)
    )
    (x1, y1), (x2, y2) = at(low, low), at(high, high)
    told = (
        f'<svg class="square" viewBox="0 0 400 390" role="img" aria-labelledby="cal-t cal-d">'
        '<title id="cal-t">Calibration</title><desc id="cal-d">Dots on the line mean that what was'
        " given a probability happened as often as that; the table below has the numbers.</desc>"
        f'<rect class="even" x="50" y="20" width="330" height="330"/>'
        f'<line class="even" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>{dots}'
        f'<text x="50" y="368">{low:.3f}</text><text x="345" y="368">{high:.3f}</text>'
        f'<text x="165" y="384">probability said</text>'
        f'<text x="56" y="36">how often it came</text>'
        f'<text x="6" y="348">{low:.3f}</text><text x="6" y="30">{high:.3f}</text></svg>'
    )
    rows = [
        (
            name.lstrip("0"),
            [
                f"{row.get('n') or 0:,}",
                _figure("p", row.get("p")),
                _figure("p", row.get("up_rate")),
            ],
        )
        for name, row in sorted(bins.items())
    ]
    table = _table("Ten bins of about as many rows", ("bin", "rows", "said", "came"), rows)
    return _section("Calibration", told + table)


def _curve(run: RunCurve) -> str:
    """Draw the equity of a kept run."""
    record, marks = run
    values = [(mark.cash + mark.value) / MICROS for mark in marks]
    if len(values) < 2:
        return ""
    step = max(1, -(-len(values) // MOST_POINTS))
    kept = [*range(0, len(values), step)]
    kept += [] if kept[-1] == len(values) - 1 else [len(values) - 1]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    points = " ".join(
        f"{70 + 610 * at / (len(values) - 1):.1f},{250 - 230 * (values[at] - low) / span:.1f}"
        for at in kept
    )
    first, last = session_date(marks[0].ts), session_date(marks[-1].ts)
    name = escape(record.run_id)
    told = (
        f'<svg viewBox="0 0 700 285" role="img" aria-labelledby="eq-t eq-d">'
        f'<title id="eq-t">Equity of run {name}</title><desc id="eq-d">From ${values[0]:,.0f} on'
        f" {first} to ${values[-1]:,.0f} on {last},"
        f" lowest ${low:,.0f}, highest ${high:,.0f}.</desc>"
        f'<rect class="even" x="70" y="20" width="610" height="230"/>'
        f'<polyline class="curve" points="{points}"/>'
        f'<text x="2" y="28">${high:,.0f}</text><text x="2" y="250">${low:,.0f}</text>'
        f'<text x="70" y="272">{first}</text><text x="615" y="272">{last}</text></svg>'
    )
    verdict = escape(str(record.report.get("verdict", "")))
    return _section(f"Backtest {name}", f"<p>{escape(record.strategy)}: {verdict}</p>{told}")


# ---- pieces


def _grid(title: str, caption: str, table: Mapping[str, Metrics]) -> str:
    if not table:
        return ""
    names = list(dict.fromkeys(name for row in table.values() for name in row))
    rows = [
        (label, [_figure(name, row.get(name)) for name in names]) for label, row in table.items()
    ]
    return _section(title, _table(caption, ("", *map(_word, names)), rows))


def _table(caption: str, head: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    top = "".join(f'<th scope="col">{escape(word)}</th>' for word in head)
    lines = "".join(
        f'<tr><th scope="row">{escape(label)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for label, cells in rows
    )
    told = f"<caption>{escape(caption)}</caption>" if caption else ""
    header = f"<thead><tr>{top}</tr></thead>" if any(head) else ""
    return f'<div class="wide"><table>{told}{header}<tbody>{lines}</tbody></table></div>'


def _section(title: str, inside: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{inside}</section>"


def _folded(inside: str, title: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{inside}</details>" if inside else ""


def _word(name: str) -> str:
    return _WORDS.get(name, name.replace("_", " "))


def _interval(name: str, found: Metrics) -> str:
    low, high = found.get(f"{name}_low"), found.get(f"{name}_high")
    return "" if low is None or high is None else f"{_figure(name, low)} to {_figure(name, high)}"


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    if name in _PERCENT:
        return f"{value:.2%}"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
