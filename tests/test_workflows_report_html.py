"""The page: well-formed, self-contained, and nothing from outside gets into it unescaped."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from algotrade.cli.report_view import report_lines
from algotrade.learning.card import from_json
from algotrade.workflows.report_html import report_page
from cli_helpers import cli, one_clear_line
from planted_markets import noise
from train_world import CSV, store, trained

if TYPE_CHECKING:
    from pathlib import Path

    from algotrade.learning.card import Metrics, ModelCard

EVIL = '<script>alert("x")</script>'
EMPTY = {"meta", "br", "hr", "img", "input", "link"}


class _Page(HTMLParser):
    """Collects tags, and fails where one is closed that was not opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(page: str) -> _Page:
    found = _Page()
    found.feed(page)
    found.close()
    assert not found.open
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("page") / "home"
    store(home, noise("walk", 4, symbols=2, count=700))
    trained(home)
    cli("backtest", "AAPL", "--strategy", "sma-state", home=home, env=CSV).well()
    return home


def card_of(home: Path) -> ModelCard:
    (path,) = (home / "models").glob("*/card.json")
    return from_json(path.read_bytes())


def test_the_page_says_what_the_card_says(home: Path) -> None:
    card = card_of(home)
    found = parsed(report_page(card))
    text = " ".join(found.text)
    assert card.id in text
    assert card.verdict in text
    assert card.judgement is not None
    for reason in card.judgement.reasons:
        assert reason in text
    assert f"{card.metrics['auc']:.4f}" in text
    for year, row in card.tables["years"].items():
        assert year in text
        assert f"{row['auc']:.4f}" in text
    circles = [tag for tag, _ in found.tags if tag == "circle"]
    assert len(circles) == len(card.tables["calibration"])


def test_the_page_tells_of_a_search(home: Path) -> None:
    card = card_of(home)
    points: dict[str, Metrics] = {
        "C=1.0": {"point": 2, "log_loss": 0.7111, "excess_sharpe": None, "kept": 0},
        "C=0.05": {"point": 1, "log_loss": 0.6999, "excess_sharpe": 0.0123, "kept": 1},
    }
    used: dict[str, Metrics] = {
        str(block): {**card.tables["folds"][str(block)], "point": point}
        for block, point in enumerate((2, 2, 1, 2, 1), start=1)
    }
    searched = replace(
        card,
        metrics={**card.metrics, "pbo": 0.4375, "search_points": 2},
        tables={**card.tables, "search": points, "folds": used},
    )
    text = " ".join(parsed(report_page(searched)).text)
    assert text.index("1: C=0.05, kept") < text.index("2: C=1.0")
    for told in ("43.75%", "probability of overfitting", "0.6999", "0.0123"):
        assert told in text
    assert "Each point is a trial" not in " ".join(parsed(report_page(card)).text)
    screen = report_lines(searched)
    at = screen.index("search   2 points, each a trial; 43.8% probability of overfitting")
    assert screen[at + 1] == "         kept C=0.05"
    assert screen[at + 2] == ("         blocks 1-2 by C=1.0, 3 by C=0.05, 4 by C=1.0, 5 by C=0.05")


def test_nothing_is_loaded_and_charts_are_told_in_words(home: Path) -> None:
    page = report_page(card_of(home))
    found = parsed(page)
    assert not re.search(r"https?:|//|url\(|@import", page)
    names = {name for _, attrs in found.tags for name in attrs}
    assert not names & {"src", "href", "onclick", "onload", "srcset", "action"}
    assert "script" not in {tag for tag, _ in found.tags}
    assert found.tags[0] == ("html", {"lang": "en"})
    for tag, attrs in found.tags:
        if tag == "svg":
            assert attrs["role"] == "img"
            assert attrs["aria-labelledby"]
    assert "prefers-color-scheme:dark" in page


def test_everything_from_outside_is_escaped(home: Path) -> None:
    card = card_of(home)
    assert card.judgement is not None
    spoiled = replace(
        card,
        kind=EVIL,
        symbols=(EVIL, *card.symbols),
        verdict=EVIL,
        preset=EVIL,
        names=(EVIL,),
        params={EVIL: EVIL},
        versions={EVIL: EVIL},
        tables={name: {EVIL: {EVIL: 1.0}} for name in card.tables if name != "calibration"},
        judgement=replace(card.judgement, reasons=(EVIL,), audit={EVIL: EVIL}),
    )
    page = report_page(spoiled)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") > 8
    parsed(page)


def test_the_command_writes_a_file_with_the_equity_of_a_run(home: Path, tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    ran = cli("report", "--run", "1", "-o", str(target), "--json", home=home, env=CSV).well()
    assert ran.data["path"] == str(target)
    found = parsed(target.read_text("utf-8"))
    assert "polyline" in {tag for tag, _ in found.tags}
    assert "Equity of run" in " ".join(found.text)
    told = cli("report", "-o", "-", home=home, env=CSV).well()
    assert told.out.startswith("<!doctype html>")
    assert "<polyline" not in told.out
    made = cli("report", "--json", home=home, env=CSV).well().data["path"]
    assert made == str(home / "reports" / f"{card_of(home).id}.html")
    one_clear_line(cli("report", "--run", "zzz", home=home, env=CSV), 2)
    one_clear_line(cli("report", "-o", "/no/such/folder/x.html", home=home, env=CSV), 2)
