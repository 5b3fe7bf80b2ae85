"""States of models, which one is used, what expires and drifts, and the shadow beside it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from algotrade.domain.orders import BUY
from algotrade.errors import DataError, InputError, ModelError, SecretError
from algotrade.learning.audit import AuditReport
from algotrade.learning.audit_features import Outcome
from algotrade.learning.gate import GateVerdict, Trials
from algotrade.store import models as model_store
from algotrade.store import records
from algotrade.store.database import immediate
from algotrade.store.models import GATE, HAND, REFIT, ShadowWord
from algotrade.workflows import audit as audit_workflow
from algotrade.workflows import trials as trial_workflow
from algotrade.workflows.audit import Audited
from algotrade.workflows.crowd import Crowd
from algotrade.workflows.model_diff import diff_models
from algotrade.workflows.model_drift import drift_now, drift_of, note_symbol
from algotrade.workflows.models import choose_model_for, load_model
from algotrade.workflows.predict import predict
from algotrade.workflows.registry import (
    inherit_promotion,
    list_models,
    promote,
    remove,
    rollback,
    set_shadow,
    show_model,
    verify_models,
)
from algotrade.workflows.sample_clock import advance_clock
from algotrade.workflows.shadow import compare_shadow
from algotrade.workflows.trade import Request, trade
from algotrade.workflows.verify import verify_parity
from algotrade.workflows.why import why
from cli_helpers import cli, copied
from verify_world import SHARE, opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from algotrade.workflows.context import Workspace

TRAIN = ("train", "AAPL", "--model", "logit", "-q")
TEN = Request(symbols=("AAPL",), quantity=10 * SHARE)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a home on the sample with two models of AAPL; nothing here may change it."""
    home = tmp_path_factory.mktemp("models") / "home"
    cli("fetch", "AAPL", home=home).well()
    cli(*TRAIN, home=home).well()
    cli(*TRAIN, "--horizon", "3", home=home).well()
    return home


@pytest.fixture
def ws(made: Path, tmp_path: Path) -> Iterator[Workspace]:
    with opened(copied(made, tmp_path / "home")) as found:
        yield found


def ids(ws: Workspace) -> tuple[str, str]:
    """Give the older and the newer model."""
    newer, older = (one.model_id for one in records.trainings(ws.db)[:2])
    return older, newer


def judged(monkeypatch: pytest.MonkeyPatch, *, passes: bool, clean: bool = True) -> None:
    """Let gate and audit say this; what they say of real models is tested where they are."""
    numbers: dict[str, Any] = {"permutation_p": 0.01, "deflated_sharpe": 0.99, "trials": 1}
    verdict = GateVerdict(passes, direction_only=False, reasons=("no luck",), numbers=numbers)
    failed = [] if clean else [Outcome(test="A3", passed=False, what="prediction", symbol="AAPL")]
    report = AuditReport(tests=("A3",), outcomes=tuple(failed))
    found = Audited(report, ("AAPL",), 1, "default", "logit", 5, 7, 20, {})
    monkeypatch.setattr(trial_workflow, "judge_card", lambda *_, **__: (Trials(), verdict))
    monkeypatch.setattr(audit_workflow, "audit_card", lambda *_, **__: found)


def used(ws: Workspace) -> str:
    return choose_model_for(ws).model_id


def test_the_newest_is_used_until_one_is_promoted(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, newer = ids(ws)
    assert used(ws) == newer
    with pytest.raises(ModelError, match="no model of source sample is promoted"):
        choose_model_for(ws, live=True)
    judged(monkeypatch, passes=True)
    done = promote(ws, older)
    assert (done.before, done.standing.words) == (None, "promoted by gate")
    assert used(ws) == choose_model_for(ws, live=True).model_id == older
    assert choose_model_for(ws, newer).model_id == newer  # where it is named
    with pytest.raises(ModelError, match=f"model {newer} is not promoted"):
        choose_model_for(ws, newer, live=True)
    assert choose_model_for(ws, as_of=ws.clock.now() - 1).model_id == newer
    assert [one.used for one in list_models(ws)] == [False, True]
    assert promote(ws, older).sentence == "promoted already"


def test_a_person_who_promotes_says_why_and_the_stamp_stays(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, newer = ids(ws)
    judged(monkeypatch, passes=False)
    with pytest.raises(ModelError, match="REFUSED: no luck") as refused:
        promote(ws, older)
    assert "--reason" in (refused.value.hint or "")
    assert model_store.model_states(ws.db) == []
    with pytest.raises(InputError, match="--reason"):
        promote(ws, older, reason="  ")
    promote(ws, older, reason="a rehearsal")
    promote(ws, newer, reason="another")
    steps = [(one.model_id, one.state, one.by) for one in model_store.model_states(ws.db)]
    assert steps == [
        (older, "promoted", HAND),
        (older, "retired", HAND),
        (newer, "promoted", HAND),
    ]
    words = load_model(ws).standing.words
    assert words == "promoted by hand: another, no evidence of an edge"
    assert show_model(ws, older).standing.words == "retired, no evidence of an edge"


def test_an_audit_that_fails_stops_everything(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged(monkeypatch, passes=True, clean=False)
    with pytest.raises(ModelError, match="test A3: prediction AAPL"):
        promote(ws, ids(ws)[0], reason="in any case")
    assert model_store.model_states(ws.db) == []


def test_a_file_that_was_changed_is_not_promoted(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, newer = ids(ws)
    judged(monkeypatch, passes=True)
    path = ws.settings.models / older / "estimator.joblib"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(ModelError, match=r"estimator\.joblib is not the file that was saved"):
        promote(ws, older)
    assert {one.model_id: one.fault is None for one in verify_models(ws)} == {
        newer: True,
        older: False,
    }


def test_going_back_goes_back_further_each_time(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, newer = ids(ws)
    judged(monkeypatch, passes=True)
    with pytest.raises(ModelError, match="was promoted before"):
        rollback(ws)
    for name in (older, newer, older, newer):
        promote(ws, name)
    for expected in (older, newer, older):
        assert rollback(ws, reason="it lost").card.id == used(ws) == expected
    assert load_model(ws).standing.words.startswith("promoted by hand: rolled back from")
    with pytest.raises(ModelError, match="was promoted before"):
        rollback(ws)


def test_a_refit_of_the_promoted_plan_inherits(made: Path, tmp_path: Path) -> None:
    home = copied(made, tmp_path / "home")
    with pytest.MonkeyPatch.context() as patch, opened(home) as ws:
        judged(patch, passes=True)
        older, newer = ids(ws)
        promote(ws, older)
        assert not inherit_promotion(ws, load_model(ws, newer).card)  # another horizon
        advance_clock(ws, 3)
    told = cli("train", "AAPL", "--model", "logit", home=home).well().err
    with opened(home) as ws:
        third = records.trainings(ws.db)[0].model_id
        assert third not in (older, newer)
        assert f"{third} is promoted as a refit of {older}, which is retired" in told
        assert used(ws) == third
        steps = [(one.model_id, one.state, one.by) for one in model_store.model_states(ws.db)]
        assert steps[0] == (older, "promoted", GATE)
        assert steps[1:] == [(older, "retired", REFIT), (third, "promoted", REFIT)]
        assert load_model(ws).standing.words == f"promoted, refit of {older}"


def test_removing_is_refused_where_something_needs_the_model(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, newer = ids(ws)
    judged(monkeypatch, passes=True)
    promote(ws, older)
    with pytest.raises(InputError, match="is promoted"):
        remove(ws, older)
    set_shadow(ws, newer)
    with pytest.raises(InputError, match="is the shadow"):
        remove(ws, newer)
    with pytest.raises(InputError, match="is the one in use"):
        set_shadow(ws, older)
    set_shadow(ws, None)
    remove(ws, newer)
    assert not (ws.settings.models / newer).exists()
    assert [one.card is None for one in list_models(ws)] == [True, False]
    with pytest.raises(ModelError, match="is missing"):
        load_model(ws, newer)
    trade(ws, TEN)
    promote_other = [one.model_id for one in verify_models(ws)]
    assert promote_other == [older]


def test_a_model_of_a_decision_or_a_run_is_kept(made: Path, tmp_path: Path) -> None:
    home = copied(made, tmp_path / "home")
    with opened(home) as ws:
        older, newer = ids(ws)
        trade(ws, TEN._replace(model_id=older))
        with pytest.raises(InputError, match="is named by decision 1 of account sample"):
            remove(ws, older)
        advance_clock(ws, 20)
    cli("backtest", "AAPL", "--model", newer, "--from", "2012-12-05", home=home).well()
    with opened(home) as ws, pytest.raises(InputError, match="is named by run b-"):
        remove(ws, newer)


def test_what_differs_and_nothing_else(ws: Workspace) -> None:
    older, newer = ids(ws)
    found = {(one.part, one.name): (one.first, one.second) for one in diff_models(ws, older, newer)}
    assert found["plan", "horizon"] == (5, 3)
    assert ("plan", "seed") not in found
    assert ("data", "last bar") not in found
    assert diff_models(ws, older, older) == []


def test_sources_are_never_mixed(made: Path) -> None:
    with opened(made) as ws:
        other = ws._replace(source="csv")
        with pytest.raises(DataError, match="was trained on source sample"):
            choose_model_for(other, ids(ws)[0])
        with pytest.raises(ModelError, match="there is one of source sample"):
            choose_model_for(other)
        with pytest.raises(SecretError, match="needs an API key"):  # without which no bars come
            choose_model_for(ws._replace(source="polygon"))


def test_after_its_time_a_model_only_ends_what_is_held(made: Path, tmp_path: Path) -> None:
    home = copied(made, tmp_path / "home")
    short = {"ALGOTRADE_TRAIN__EXPIRES_DAYS": "1"}
    cli(*TRAIN, "--seed", "9", home=home, env=short).well()
    with opened(home) as ws:
        trade(ws, TEN._replace(use_model=False, side=BUY, client_id="m"))
        advance_clock(ws)
    with opened(home) as ws:
        said = predict(ws, ["AAPL"])
        assert said.predictions[0].abstains == "expired"
        made_now = trade(ws, TEN._replace(quantity=20 * SHARE))[0].decision
        assert made_now is not None
        assert made_now.signal is not None
        told = (made_now.action, made_now.signal.abstains)
        up = said.predictions[0].value == 1
        assert told == ("hold" if up else "order", "expired")
        assert "expired" in made_now.reason
        assert verify_parity(ws).differing == ()


def test_drift_is_noted_once_alike_by_both_ways_and_stops_entries(
    made: Path, tmp_path: Path
) -> None:
    first, second = (copied(made, tmp_path / name) for name in ("one", "two"))
    with opened(first) as ws, opened(second) as other:
        card = load_model(ws).card
        newest = predict(ws, ["AAPL"]).predictions[0]
        plain = drift_now(ws, card, "AAPL", newest.ts, Crowd(ws), keep=True)
        assert (
            note_symbol(other, card, "AAPL", Crowd(other))
            == plain
            == drift_of(ws, card, "AAPL", newest.ts)
        )
        assert {*plain.indices} == {*card.names}
        with immediate(ws.db):
            assert not model_store.save_drift(
                ws.db, card.id, "AAPL", newest.ts, noted_at=0, indices={}
            )
        advance_clock(ws)
    with opened(first) as ws:
        later = predict(ws, ["AAPL"]).predictions[0]
        far = dict.fromkeys(card.names[:4], 99.0)
        with immediate(ws.db):
            model_store.save_drift(ws.db, card.id, "AAPL", later.ts, noted_at=0, indices=far)
        decided = trade(ws, TEN)[0].decision
        assert decided is not None
        assert decided.signal is not None
        assert decided.prediction is not None
        assert (decided.action, decided.signal.abstains) == ("hold", "drifted")
        assert dict(decided.prediction.drift) == far
        assert why(ws, "AAPL").decision == decided
        assert verify_parity(ws).differing == ()  # from what the decision kept


def test_a_shadow_speaks_once_a_bar_and_is_never_followed(ws: Workspace) -> None:
    older, newer = ids(ws)
    set_shadow(ws, older)
    alone = load_model(ws, older)
    asked = predict(ws, ["AAPL"])
    predict(ws, ["AAPL"])
    assert asked.model.card.id == newer
    (word,) = model_store.shadow_words(ws.db, older)
    assert (word.used, word.used_p) == (newer, asked.predictions[0].p_up)
    named = predict(ws, ["AAPL"], older)
    assert word.shadow_p == named.predictions[0].p_up
    assert len(model_store.shadow_words(ws.db, older)) == 1  # not beside itself
    assert compare_shadow(ws, alone.card)[0].waiting == 1
    advance_clock(ws, 2)
    decided = trade(ws, TEN)[0].decision
    assert decided is not None
    assert decided.prediction is not None
    assert decided.prediction.model_id == newer
    assert len(model_store.shadow_words(ws.db, older)) == 2


def test_a_shadow_that_is_spoilt_stops_nobody(ws: Workspace) -> None:
    older, _ = ids(ws)
    set_shadow(ws, older)
    (ws.settings.models / older / "scorer.json").write_bytes(b"{}")
    heard: list[str] = []
    predict(ws._replace(say=heard.append), ["AAPL"])
    assert any(line.startswith(f"shadow {older} said nothing") for line in heard)


def test_the_comparison_is_what_one_counts_by_hand(ws: Workspace) -> None:
    older, newer = ids(ws)
    card = load_model(ws, older).card
    rows = ws.db.execute(
        "SELECT ts_close, open FROM bars JOIN series USING (series_id)"
        " WHERE ts_close <= ? ORDER BY ts_close DESC LIMIT 9",
        (ws.clock.now(),),
    ).fetchall()[::-1]
    known = [(rows[t][0], int(rows[t + 6][1] > rows[t + 1][1])) for t in range(3)]
    spoken = [(0.7, 0.6), (0.4, 0.6), (0.55, 0.45)]
    with immediate(ws.db):
        for (ts, _), (mine, theirs) in zip([*known, rows[-1]], [*spoken, (0.5, 0.5)], strict=True):
            word = ShadowWord(older, newer, "AAPL", ts, ts, mine, theirs)
            model_store.save_word(ws.db, word)
    (found,) = compare_shadow(ws, card)
    outcomes = [y for _, y in known]
    right = [[(p > 0.5) == (y == 1) for p, y in zip(said, outcomes, strict=True)]
             for said in zip(*spoken, strict=True)]  # fmt: skip
    assert (found.bars, found.waiting) == (3, 1)
    assert found.accuracy == pytest.approx([sum(one) / 3 for one in right])
    losses = [-sum(math.log(p if y else 1 - p) for p, y in zip(said, outcomes, strict=True)) / 3
              for said in zip(*spoken, strict=True)]  # fmt: skip
    assert found.log_loss == pytest.approx(losses)
    assert found.difference == pytest.approx((0.1 - 0.2 + 0.1) / 3)
    assert found.agreement == pytest.approx(1 / 3)
