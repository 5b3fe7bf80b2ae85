"""Homes prepared once; a test that changes one takes a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cli_helpers import cli, copied, live, served
from polygon_server import PolygonServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a home on the sample with AAPL, and no model."""
    home = tmp_path_factory.mktemp("fetched") / "home"
    cli("fetch", "AAPL", home=home).well()
    return home


@pytest.fixture(scope="session")
def trained(fetched: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a home on the sample with AAPL and a model, and no trade."""
    home = copied(fetched, tmp_path_factory.mktemp("trained") / "home")
    cli("train", "--model", "logit", home=home).well()
    return home


@pytest.fixture(scope="session")
def traded(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a home on the sample that holds 10 AAPL; nothing here may change it."""
    home = copied(trained, tmp_path_factory.mktemp("traded") / "home")
    bought = cli("trade", "--symbol", "AAPL", "--qty", "10", "--json", home=home).well()
    assert bought.data[0]["filled"] is True
    return home


@pytest.fixture(scope="session")
def live_trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a home on polygon with 500 bars of AAPL until a Friday, and a model."""
    home = tmp_path_factory.mktemp("live") / "home"
    with PolygonServer({"AAPL": served()}, page_size=250) as server:
        cli("fetch", "AAPL", home=home, env=live(server.base)).well()
        cli("train", home=home, env=live(server.base)).well()
    return home


@pytest.fixture
def sample(trained: Path, tmp_path: Path) -> Path:
    """Give a copy of the sample home with a model."""
    return copied(trained, tmp_path / "sample")


@pytest.fixture
def paper(live_trained: Path, tmp_path: Path) -> Path:
    """Give a copy of the polygon home with a model."""
    return copied(live_trained, tmp_path / "paper")


@pytest.fixture
def server() -> Iterator[PolygonServer]:
    """Serve AAPL until the Friday, in two pages."""
    with PolygonServer({"AAPL": served()}, page_size=250) as running:
        yield running
