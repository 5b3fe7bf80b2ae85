"""The registry: atomic, repeatable, and deaf to anything that is not what was saved."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from algotrade.bars import COLUMNS
from algotrade.errors import DiskError, ModelError
from algotrade.learning.predictor import predict_row
from algotrade.learning.registry import load_card, load_estimator, load_scorer, save_model
from learning_markets import market, planted, trained

if TYPE_CHECKING:
    from pathlib import Path

    from algotrade.learning.registry import SavedModel

FILES = ("card.json", "scorer.json", "estimator.joblib")


@pytest.fixture
def saved(tmp_path: Path) -> SavedModel:
    return save_model(tmp_path / "models", trained("rf"))


def load_all(saved: SavedModel) -> None:
    folder = saved.path.parent
    card = load_card(folder, saved.model_id, saved.card_sha256)
    load_scorer(folder, card)
    load_estimator(folder, card)


def test_what_was_saved_is_loaded(saved: SavedModel) -> None:
    made, folder = trained("rf"), saved.path.parent
    card = load_card(folder, saved.model_id, saved.card_sha256)
    assert saved.path.name == saved.model_id == made.card.id
    assert replace(card, files=()) == made.card
    assert [entry.name for entry in card.files] == ["scorer.json", "estimator.joblib"]
    assert load_scorer(folder, card) == made.scorer
    x = market(edge=0.008).x[:50]
    estimator = load_estimator(folder, card)
    assert np.array_equal(estimator.predict_proba(x), made.estimator.predict_proba(x))


def test_saving_again_changes_nothing(saved: SavedModel) -> None:
    before = {name: (saved.path / name).stat() for name in FILES}
    later = trained("rf")
    again = save_model(saved.path.parent, replace(later, card=replace(later.card, created=99)))
    assert again == saved
    assert {name: (saved.path / name).stat() for name in FILES} == before
    assert [entry.name for entry in saved.path.parent.iterdir()] == [saved.model_id]


@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_is_refused(saved: SavedModel, name: str) -> None:
    data = bytearray((saved.path / name).read_bytes())
    data[len(data) // 2] ^= 1
    (saved.path / name).write_bytes(data)
    with pytest.raises(ModelError):
        load_all(saved)
    with pytest.raises(ModelError):  # and saving again does not bless it
        save_model(saved.path.parent, trained("rf"))


@pytest.mark.parametrize("name", FILES)
def test_a_grown_cut_missing_or_linked_file_is_refused(saved: SavedModel, name: str) -> None:
    path = saved.path / name
    whole = path.read_bytes()
    for changed in (whole + b" ", whole[:-1], b""):
        path.write_bytes(changed)
        with pytest.raises(ModelError):
            load_all(saved)
    path.unlink()
    with pytest.raises(ModelError, match="missing"):
        load_all(saved)
    copy = saved.path.parent.parent / name
    copy.write_bytes(whole)
    path.symlink_to(copy)
    with pytest.raises(ModelError, match="cannot be read"):
        load_all(saved)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ModelError, match="not a plain file"):
        load_all(saved)


@pytest.mark.parametrize("mode", [0o620, 0o602])
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_others_can_write_is_refused(saved: SavedModel, name: str, mode: int) -> None:
    (saved.path / name).chmod(mode)
    with pytest.raises(ModelError, match="written by others"):
        load_all(saved)


def test_a_folder_that_others_can_write_or_that_is_a_link_is_refused(saved: SavedModel) -> None:
    saved.path.chmod(0o770)
    with pytest.raises(ModelError, match="written by others"):
        load_all(saved)
    saved.path.chmod(0o700)
    elsewhere = saved.path.parent.parent / "elsewhere"
    saved.path.rename(elsewhere)
    saved.path.symlink_to(elsewhere)
    with pytest.raises(ModelError, match="cannot be read"):
        load_all(saved)


def test_models_that_everybody_can_rename_are_refused(saved: SavedModel) -> None:
    models = saved.path.parent
    models.chmod(0o777)
    with pytest.raises(ModelError, match="can be written by everybody") as caught:
        load_all(saved)
    assert caught.value.hint == f"chmod o-w {models}"
    for harmless in (0o1777, 0o775, 0o700):
        models.chmod(harmless)
        load_all(saved)


def test_what_belongs_to_somebody_else_is_refused(
    saved: SavedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = saved.path.stat().st_uid
    monkeypatch.setattr("os.geteuid", lambda: owner + 1)
    if owner == 0:  # what root owns is not in question
        load_all(saved)
        os.chown(saved.path / FILES[1], 4321, -1)
        owner = 4321
    with pytest.raises(ModelError, match=f"belongs to user {owner}") as caught:
        load_all(saved)
    assert "chown" in str(caught.value.hint)


def test_other_files_in_the_folder_are_not_looked_at(saved: SavedModel) -> None:
    (saved.path / "estimator.pkl").write_bytes(b"\x00")
    (saved.path / "notes.txt").symlink_to("/dev/zero")
    load_all(saved)


def test_a_huge_file_is_not_read(saved: SavedModel) -> None:
    for name in FILES:
        whole = (saved.path / name).read_bytes()
        os.truncate(saved.path / name, 2**40)  # sparse
        with pytest.raises(ModelError, match="larger than it was"):
            load_all(saved)
        (saved.path / name).write_bytes(whole)


def test_card_and_scorer_must_speak_of_the_same_kind(tmp_path: Path) -> None:
    made = trained("logit")
    saved = save_model(tmp_path, replace(made, card=replace(made.card, scorer="forest")))
    card = load_card(tmp_path, saved.model_id, saved.card_sha256)
    with pytest.raises(ModelError, match="its scorer is linear, not 'forest'"):
        load_scorer(tmp_path, card)


@pytest.mark.parametrize("name", ["", "..", "rf-../../../../x", "rf-0123456789AB", "/etc/passwd"])
def test_an_odd_model_id_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match="is not a model id"):
        load_card(tmp_path, name, "0" * 64)


def test_a_missing_model_is_exit_6_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is missing") as caught:
        load_card(tmp_path, "rf-0123456789ab", "0" * 64)
    assert (caught.value.exit_code, caught.value.hint) == (6, "train again: algotrade train")


def test_the_card_of_another_model_is_refused(saved: SavedModel) -> None:
    other = saved.path.parent / "rf-0123456789ab"
    saved.path.rename(other)
    with pytest.raises(ModelError, match="its card is that of"):
        load_card(saved.path.parent, other.name, saved.card_sha256)


def test_an_estimator_of_another_scikit_learn_is_refused_but_its_scorer_is_not(
    tmp_path: Path,
) -> None:
    made = trained("logit")
    old = replace(made.card, versions=made.card.versions | {"scikit-learn": "1.5.2"})
    saved = save_model(tmp_path, replace(made, card=old))
    card = load_card(tmp_path, saved.model_id, saved.card_sha256)
    with pytest.raises(ModelError, match=r"saved by scikit-learn 1\.5\.2"):
        load_estimator(tmp_path, card)
    assert load_scorer(tmp_path, card) == made.scorer


def test_nothing_is_unpickled_before_its_hash(
    saved: SavedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = load_card(saved.path.parent, saved.model_id, saved.card_sha256)
    (saved.path / "estimator.joblib").write_bytes(b"x" * card.file("estimator.joblib").size)
    monkeypatch.setattr("joblib.load", lambda _: pytest.fail("unpickled"))
    with pytest.raises(ModelError, match="SHA-256"):
        load_estimator(saved.path.parent, card)


def test_a_failing_disk_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DiskError, match="No space left"):
        save_model(tmp_path, trained("logit"))
    assert list(tmp_path.iterdir()) == []


def test_a_prediction_from_disk_loads_no_heavy_library(saved: SavedModel, tmp_path: Path) -> None:
    bars = planted("A", 7, 200, edge=0)
    columns = {name: bars.column(name).tolist() for name in COLUMNS}
    code = f"""
import sys
from array import array
from pathlib import Path
from algotrade.bars import Bars
from algotrade.learning.predictor import predict_row
from algotrade.learning.registry import load_card, load_scorer
models = Path({str(saved.path.parent)!r})
card = load_card(models, {saved.model_id!r}, {saved.card_sha256!r})
columns = {{name: array('q', values) for name, values in {columns!r}.items()}}
bars = Bars(source='sample', symbol='A', timeframe='1d', **columns)
print(repr(predict_row(card, load_scorer(models, card), bars).p_up))
heavy = {{'numpy', 'pandas', 'sklearn', 'joblib', 'scipy'}} & set(sys.modules)
assert not heavy, heavy
"""
    script = tmp_path / "light.py"
    script.write_text(code)
    run = subprocess.run([sys.executable, script], check=True, capture_output=True, text=True)
    made = trained("rf")
    assert float(run.stdout) == predict_row(made.card, made.scorer, bars).p_up
