"""Training as a whole: what it counts, what it leaves alone, what it leaves behind."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import numpy as np
import pytest

from algotrade.domain.times import session_date
from algotrade.errors import InputError, ModelError
from algotrade.learning.card import from_json, plan_hash
from algotrade.learning.dataset import build_dataset
from algotrade.learning.labels import LabelSpec
from algotrade.store import records, trials
from algotrade.values import read_params, read_window
from algotrade.workflows import train as train_workflow
from algotrade.workflows.trials import trials_of
from cli_helpers import cli, contents, copied, files, one_clear_line, query
from planted_markets import noise, planted
from train_world import CSV, opened, store, trained

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from numpy.typing import NDArray

    from algotrade.learning.card import ModelCard

    Numbers = NDArray[np.int64]
    Mask = NDArray[np.bool_]

AFTER = "2002-12-02T12:00:00Z"  # the morning after the last bar
COUNT = 760  # bars: enough dates for a hold-out, no more
OWN = """
import pandas as pd
from algotrade import features

@features(lookback=20)
def build(bars: pd.DataFrame) -> pd.DataFrame:
    close = bars["close"]
    return pd.DataFrame({"away": close / close.rolling(20).mean() - 1})
"""
PEEKING = OWN.replace("- 1}", '- 1, "tomorrow": close.shift(-1) / close}')


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a home with two symbols of noise, and no model."""
    home = tmp_path_factory.mktemp("noise") / "home"
    store(home, noise("walk", 3, symbols=2, count=COUNT))
    return home


@pytest.fixture
def home(stored: Path, tmp_path: Path) -> Path:
    return copied(stored, tmp_path / "home")


def kept(home: Path) -> dict[str, str]:
    """Give a digest of every table but the columnar copy of the bars, which readers rebuild."""
    found = contents(home)
    del found["bar_chunks"]
    return found


def names(home: Path) -> list[str]:
    return [name for (name,) in query(home, "SELECT symbol FROM series ORDER BY symbol")]


# ---- the plan, read from settings


def test_parameters_are_read_by_their_form() -> None:
    told = "a=3 b=0.5 c=none d=True e=sqrt f=-2 g=1e-3 h=inf"
    assert read_params(told) == {
        "a": 3, "b": 0.5, "c": None, "d": True, "e": "sqrt", "f": -2, "g": 0.001, "h": "inf",
    }  # fmt: skip
    assert read_params("") == {}
    for wrong in ("a", "=3", "a=", "a=1 a=2"):
        with pytest.raises(InputError):
            read_params(wrong)


def test_windows_are_read() -> None:
    assert [read_window(text) for text in ("expanding", "rolling", "rolling:250")] == [
        None,
        756,
        250,
    ]
    for wrong in ("rolling:0", "rolling:-1", "rolling:x", "sliding", ""):
        with pytest.raises(InputError):
            read_window(wrong)


# ---- the same training


def test_the_same_training_gives_the_same_model_and_one_trial(home: Path) -> None:
    first = trained(home)
    before = files(home / "models")
    again = trained(home)
    assert again.card == first.card
    assert files(home / "models") == before
    assert query(home, "SELECT plan, model_id, what FROM trials") == [
        (plan_hash(first.card), first.card.id, "train")
    ]
    assert len(query(home, "SELECT * FROM trainings")) == 2
    assert again.trials.count == 1


def test_the_card_keeps_the_whole_report(home: Path) -> None:
    card = trained(home).card
    assert {*card.tables} == {"calibration", "years", "folds", "symbols", "importance"}
    assert {*card.tables["importance"]} == {*card.names}
    assert [*card.tables["symbols"]] == names(home)
    for name in ("permutation_p", "net_return", "hold_return", "excess_psr", "ece", "ic", "mcc"):
        assert card.metrics[name] is not None
    assert card.judgement is not None
    assert card.judgement.audit == dict.fromkeys(("A1", "A1b", "A4", "A5", "A7"), "passed")
    assert card.judgement.numbers["trials"] == 1
    assert from_json(card.to_json()) == card
    assert session_date(card.expires).toordinal() - session_date(card.last_ts).toordinal() == 91


def test_ranges_are_those_of_the_rows_that_were_fitted(home: Path) -> None:
    card = trained(home, train__window="rolling:300").card
    with opened(home) as ws:
        histories = train_workflow.load_histories(ws, train_workflow.TrainRequest())
    data = build_dataset([one.bars for one in histories], labels=LabelSpec(horizon=5))
    days = np.unique(data.ts)[-(300 - 6) :]  # six bars at the end have no label yet
    rows = data.x[data.ts >= days[0]]
    assert card.rows == len(rows)
    for place, name in enumerate(card.names):
        found, column = card.ranges[name], rows[:, place]
        assert (found.low, found.high) == (column.min(), column.max())
        assert found.mean == pytest.approx(column.mean(), abs=1e-12)
        assert found.sd == pytest.approx(column.std(), abs=1e-12)
        wanted = [0.01, *(n / 10 for n in range(1, 10)), 0.99]
        for edge, share in zip((found.p01, *found.deciles, found.p99), wanted, strict=True):
            assert (column < edge).mean() <= share + 2 / len(rows)
            assert (column <= edge).mean() >= share - 2 / len(rows)


def test_an_edge_is_seen_and_noise_is_not(home: Path, tmp_path: Path) -> None:
    store(tmp_path / "edge", planted("momentum", 1, count=1_500).bars)
    seen = trained(tmp_path / "edge", train__horizon="1")
    assert seen.verdict.promoted, seen.verdict
    assert seen.card.judgement is not None
    assert seen.card.judgement.promoted
    assert seen.card.verdict.startswith("a weak edge")
    refused = trained(home)
    assert not refused.verdict.promoted
    assert refused.verdict.reasons


# ---- trials


def test_every_other_plan_on_the_same_dates_is_a_trial(home: Path) -> None:
    one, other = names(home)
    assert trained(home).trials.count == 1
    assert trained(home, train__seed="8").trials.count == 2
    assert trained(home, train__params="C=0.1").trials.count == 3
    assert trained(home, one).trials.count == 4  # shares a symbol with the first three
    alone = trained(home, other)
    assert alone.trials.count == 4  # the plan on the other symbol alone shares nothing
    assert alone.trials.variance > 0
    last = trained(home, train__folds="4")
    assert last.trials.count == 6
    assert last.verdict.numbers["permutation_limit"] == pytest.approx(1 - 0.95 ** (1 / 6))
    assert (last.card.metrics["permutation_shifts"] or 0) >= 20 * 6
    # judged again, the first knows of all six
    first = trained(home)
    assert first.trials.count == 6
    with opened(home) as ws:
        assert trials_of(ws, first.card).count == 6


def test_a_kept_backtest_is_a_trial_and_a_refit_of_the_plan_is_none(home: Path) -> None:
    with opened(home) as ws:
        first = train_workflow.load_histories(ws, train_workflow.TrainRequest())[0].bars
    assert trained(home, as_of=first.ts_close[-6]).trials.count == 1
    assert trained(home).trials.count == 1  # five sessions later: the same plan
    assert len(query(home, "SELECT DISTINCT plan FROM trials")) == 1
    assert len(query(home, "SELECT * FROM trials")) == 2
    cli("backtest", names(home)[0], "--strategy", "sma-state", home=home, env=CSV).well()
    assert trained(home).trials.count == 2


def test_more_trials_move_nothing_but_the_judgement(home: Path) -> None:
    first = trained(home)
    for seed in range(10, 13):
        trained(home, train__seed=str(seed))
    again = trained(home)
    assert again.card.id == first.card.id
    assert again.trials.count == 4
    assert again.card.judgement is not None
    assert again.card.judgement.numbers["trials"] == 4
    on_disk = from_json((home / "models" / first.card.id / "card.json").read_bytes())
    assert on_disk.judgement == first.card.judgement


# ---- the hold-out


def test_the_report_leaves_the_hold_out_alone(home: Path) -> None:
    card = trained(home).card
    with opened(home) as ws:
        histories = train_workflow.load_histories(ws, train_workflow.TrainRequest())
    data = build_dataset([one.bars for one in histories], labels=LabelSpec(horizon=5))
    dates = np.unique(data.ts)
    start = dates[len(dates) - len(dates) * 15 // 100]
    assert card.folds[-1].test_last < start
    assert card.train_end == data.label_end.max()  # but the model that is kept has seen it


def test_a_hold_out_is_touched_once(home: Path) -> None:
    first = trained(home, final=True)
    spent = first.holdout
    assert spent is not None
    assert spent.plan == plan_hash(first.card)
    assert spent.figures["metrics"]["net_return"] is not None
    assert spent.first_ts > first.card.folds[-1].test_last
    assert query(home, "SELECT plan, first_ts, last_ts FROM holdouts") == [
        (spent.plan, spent.first_ts, spent.last_ts)
    ]
    before = kept(home), files(home / "models")
    for seed in ("7", "9"):
        with pytest.raises(InputError, match=f"touched at .* by plan {spent.plan}"):
            trained(home, final=True, train__seed=seed)
    with pytest.raises(InputError, match="touched"):
        trained(home, names(home)[0], final=True)
    assert (kept(home), files(home / "models")) == before
    assert trained(home).card.id == first.card.id


def test_the_hold_out_is_judged_by_a_model_that_had_not_seen_it(home: Path) -> None:
    """The prices of the hold-out are replaced; what its first rows are said to be is the same."""
    found = trained(home, final=True, train__horizon="1").holdout
    assert found is not None
    with opened(home, train__horizon="1") as ws:
        histories = train_workflow.load_histories(ws, train_workflow.TrainRequest())
        data = build_dataset([one.bars for one in histories], labels=LabelSpec(horizon=1))
    ends = data.label_end[data.label_end < found.first_ts]
    assert found.figures["train_rows"] == len(ends)


def test_a_short_history_has_no_hold_out(home: Path) -> None:
    with opened(home) as ws:
        first = train_workflow.load_histories(ws, train_workflow.TrainRequest())[0].bars
    with pytest.raises(InputError, match="too few to keep a hold-out"):
        trained(home, as_of=first.ts_close[-100], final=True)


def test_another_runs_hold_out_is_seen_at_the_last_moment(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(home, final=True)
    before = files(home / "models"), kept(home)
    monkeypatch.setattr(train_workflow, "check_untouched", lambda *_: None)
    with pytest.raises(InputError, match="touched"):
        trained(home, final=True, train__seed="9")
    assert (files(home / "models"), kept(home)) == before


# ---- interrupted


@pytest.mark.parametrize("step", [1, 5, 6, 9, 11, 12, 13])
def test_ctrl_c_leaves_nothing(home: Path, step: int) -> None:
    before = kept(home)
    seen: list[str] = []

    def told(what: str, done: int, total: int) -> None:
        assert total == 13
        seen.append(what)
        if done == step:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        trained(home, progress=told)
    assert seen
    assert kept(home) == before
    assert files(home / "models") == {}


@pytest.mark.parametrize("late", ["save_training", "save_trial", "COMMIT"])
def test_ctrl_c_while_it_is_saved_leaves_nothing(
    home: Path, late: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = kept(home)

    def interrupted(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    if late == "save_training":
        monkeypatch.setattr(records, late, interrupted)
    elif late == "save_trial":
        monkeypatch.setattr(trials, late, interrupted)
    else:  # at the end of the transaction
        real = records.save_training

        def then(db: sqlite3.Connection, record: records.TrainingRecord) -> None:
            real(db, record)
            interrupted()

        monkeypatch.setattr(records, "save_training", then)
    with pytest.raises(KeyboardInterrupt):
        trained(home)
    monkeypatch.undo()
    assert kept(home) == before
    assert not [name for name in files(home) if name.startswith("models")]
    assert trained(home).card.id.startswith("logit-")


def test_an_interrupt_keeps_a_model_that_was_there(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(home)
    before = files(home / "models")
    monkeypatch.setattr(records, "save_training", lambda *_: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        trained(home)
    assert files(home / "models") == before


# ---- your own features, other models


def _own(home: Path, text: str) -> str:
    path = home.parent / "mine.py"
    path.write_text(text, encoding="utf-8")
    return f"{path}:build"


def test_your_own_features_train_predict_trade_and_backtest(home: Path) -> None:
    one, name = names(home)[0], _own(home, OWN)
    env = {**CSV, "ALGOTRADE_TRAIN__MODEL": "logit", "ALGOTRADE_NOW": AFTER}
    told = cli("train", one, "--features", name, "--json", home=home, env=env).well().data
    assert told["features"]["names"] == ["away"]
    said = cli("predict", one, "--json", home=home, env=env).well().data
    assert "away" in json.dumps(said)
    trade = ("trade", "--symbol", one, "--qty", "5")
    decided = cli(*trade, "--dry-run", "--json", home=home, env=env)
    assert decided.code == 0, decided
    assert told["model"] in decided.out
    walking = ("backtest", one, "--walk-forward", "--every", "40", "--json")
    spoken = {**env, "ALGOTRADE_TRAIN__FEATURES": name}
    run = cli(*walking, home=home, env=spoken).well().data
    spec = query(home, "SELECT spec FROM runs")[0][0]
    assert json.loads(spec)["training"]["features"].startswith(name)
    assert run
    _own(home, OWN.replace("20).mean()", "19).mean()"))
    changed = one_clear_line(cli("predict", one, home=home, env=env), 6)
    assert "mine.py" in changed
    one_clear_line(cli(*trade, home=home, env=env), 6)


def test_features_that_peek_train_nothing(home: Path) -> None:
    before = kept(home)
    ran = cli("train", "--features", _own(home, PEEKING), home=home, env=CSV)
    told = one_clear_line(ran, 6)
    assert "A1" in told
    assert "tomorrow" in told
    assert "looks 1 bar ahead" in told
    assert kept(home) == before
    assert files(home / "models") == {}


def test_any_classifier_by_its_import_path(home: Path) -> None:
    path = "sklearn.ensemble:ExtraTreesClassifier"
    plan = ("--model", path, "--param", "n_estimators=10", "--param", "max_depth=3")
    ran = cli("train", *plan, "--json", home=home, env=CSV).well()
    assert ran.data["kind"] == path
    assert ran.data["overrides"] == {"n_estimators": 10, "max_depth": 3}
    assert not ran.envelope["warnings"][1:], ran.err
    one = names(home)[0]
    assert cli("predict", one, "--json", home=home, env=CSV).well().data
    assert cli("predict", one, home=home, env={**CSV, "ALGOTRADE_TRAIN__MODEL": path}).code == 0


def test_a_model_without_plain_arrays_says_so(home: Path) -> None:
    ran = cli("train", "--model", "sklearn.neighbors:KNeighborsClassifier", home=home, env=CSV)
    assert ran.code == 0, ran
    assert "its pickled estimator is asked" in ran.err, ran.err


@pytest.mark.parametrize(
    ("plan", "code"),
    [
        (("--model", "sklearn.ensemble:Nothing"), 2),
        (("--model", "no_such_library:Model"), 2),
        (("--param", "max_depth"), 2),
        (("--model", "logit", "--param", "depth=3"), 2),
        (("--features", "nothing"), 2),
        (("--folds", "0"), 2),
        (("--window", "rolling:0"), 2),
        (("--window", "rolling:5"), 2),
    ],
)
def test_a_plan_that_cannot_be_used(home: Path, plan: tuple[str, ...], code: int) -> None:
    before = kept(home)
    one_clear_line(cli("train", *plan, home=home, env=CSV), code)
    assert kept(home) == before
    assert files(home / "models") == {}


def test_a_failing_audit_is_a_model_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other failing tests, by a split of ours that is sabotaged."""
    from algotrade.learning import splits

    real = splits.train_mask

    def late(ts: Numbers, label_end: Numbers, test: Mask) -> Mask:
        del label_end
        return real(ts, ts, test)

    monkeypatch.setattr(splits, "train_mask", late)
    with pytest.raises(ModelError, match="the audit failed, test A4"):
        trained(home)


# ---- the screen


def test_the_screen_is_one_screen(home: Path) -> None:
    ran = cli("train", "--final", "--format", "table", home=home, env=CSV).well()
    lines = ran.out.splitlines()
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 80
    for block in (
        "sample ",
        "skill ",
        "signal ",
        "money ",
        "luck ",
        "verdict ",
        "gate ",
        "hold-out",
    ):
        assert any(line.startswith(block) for line in lines), block


def test_json_holds_every_figure_of_the_card(home: Path) -> None:
    ran = cli("train", "--json", home=home, env=CSV).well()
    assert ran.envelope["schema"] == "algotrade.train/1"
    card = _card(home, ran.data["model"])
    assert ran.data["metrics"] == card.metrics
    assert ran.data["tables"] == card.tables
    assert ran.data["baselines"] == card.baselines
    assert card.judgement is not None
    assert ran.data["gate"]["reasons"] == list(card.judgement.reasons)
    assert ran.data["holdout"] is None


def _card(home: Path, model_id: str) -> ModelCard:
    return from_json((home / "models" / model_id / "card.json").read_bytes())


def test_silent_in_cron(home: Path) -> None:
    ran = cli("train", "-q", home=home, env=CSV).well()
    assert (ran.out, ran.err) == ("", "")


def test_symbols_and_their_order_do_not_make_another_model(home: Path) -> None:
    one, other = names(home)
    assert trained(home, one, other).card == trained(home, other, one).card
