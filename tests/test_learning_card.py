"""The card: read strictly, older ones too, and what names a model and a plan."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from algotrade.errors import ModelError
from algotrade.learning.card import (
    SINCE_3,
    Judgement,
    ModelCard,
    from_json,
    plan_hash,
    same_model,
    with_id,
)
from algotrade.learning.training import Plan, name_plan, refit, train
from learning_markets import market

PLAN = Plan(model="logit", params={"C": 0.1}, window=400, expires_days=10)


def made() -> ModelCard:
    return train(market(edge=0.008), PLAN, seed=1, now=5).card


def judged(card: ModelCard, trials: int) -> ModelCard:
    verdict = Judgement(
        promoted=False,
        direction_only=False,
        reasons=("too little",),
        numbers={"trials": trials, "permutation_p": None},
        audit={"A1": "passed"},
    )
    return replace(card, judgement=verdict)


def test_a_card_comes_back_as_it_was() -> None:
    for card in (made(), judged(made(), 3)):
        assert from_json(card.to_json()) == card


def test_older_cards_are_read() -> None:
    card = made()
    values = json.loads(card.to_json())
    older = {name: value for name, value in values.items() if name not in SINCE_3} | {"format": 2}
    found = from_json(json.dumps(older).encode())
    kept = (found.names, found.metrics, found.train_end, found.verdict)
    assert kept == (card.names, card.metrics, card.train_end, card.verdict)
    assert (found.tables, found.ranges, found.expires, found.judgement) == ({}, {}, 0, None)
    for wrong in ({**older, "format": 1}, {**older, "window": 0}, {**values, "format": 2}):
        with pytest.raises(ModelError):
            from_json(json.dumps(wrong).encode())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("window", "0"),
        ("expires", 1.5),
        ("ranges", {"return_1": {"mean": 0}}),
        ("judgement", {"promoted": 1}),
        ("tables", {"years": {"2001": {"n": "many"}}}),
        ("overrides", {"C": []}),
    ],
)
def test_fields_of_another_form_are_refused(field: str, value: object) -> None:
    values = json.loads(made().to_json())
    with pytest.raises(ModelError):
        from_json(json.dumps({**values, field: value}).encode())


def test_the_judgement_is_no_part_of_the_id() -> None:
    card = made()
    more = replace(card, metrics={**card.metrics, "permutation_p": 0.5})
    names = {with_id(one, b"scorer", prefix="m").id for one in (card, judged(card, 9), more)}
    assert len(names) == 1
    assert same_model(judged(card, 2), replace(judged(card, 9), created=77))
    other = replace(card, metrics={**card.metrics, "accuracy": 0.9})
    assert with_id(other, b"scorer", prefix="m").id not in names
    assert not same_model(card, other)


def test_a_plan_keeps_its_name_on_later_bars() -> None:
    data = market(edge=0.008)
    card = made()
    assert plan_hash(card) == name_plan(data, PLAN, 1)
    later = replace(card, last_ts=card.last_ts + 1, rows=card.rows + 1, params={"C": 0.2})
    assert plan_hash(later) == plan_hash(card)
    assert plan_hash(refit(data, PLAN, seed=1, now=0).card) == plan_hash(card)


@pytest.mark.parametrize(
    "change",
    [
        {"source": "csv"},
        {"symbols": ("IBM",)},
        {"kind": "rf"},
        {"overrides": {"C": 0.2}},
        {"preset": "seed"},
        {"names": ("return_1",)},
        {"lookback": 201},
        {"horizon": 6},
        {"threshold": 0.51},
        {"window": 0},
        {"blocks": 4},
        {"seed": 2},
    ],
)
def test_whatever_was_chosen_makes_another_plan(change: dict[str, object]) -> None:
    card = made()
    values = {name: getattr(card, name) for name in card.__slots__} | change
    assert plan_hash(ModelCard(**values)) != plan_hash(card)
