"""The registry: one folder per model, written at once, and nothing read that was not hashed.

`<models_dir>/<model_id>/` holds `card.json`, `scorer.json` and `estimator.joblib`. The card lists
the hashes of the other two; the store keeps the hash of the card. Files are read once and parsed
from the bytes that were hashed, so nothing can change in between.

Refused before a byte is parsed or unpickled, with ModelError: another hash or size; a link instead
of a folder or file; a file or folder that its group or others can write, or that belongs neither
to the user who runs this nor to root. Other files in the folder are never opened.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from algotrade.errors import DiskError, ModelError, shown
from algotrade.learning.card import FileHash, from_json, same_model
from algotrade.learning.scorer_files import read_scorer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from algotrade.learning.card import ModelCard
    from algotrade.learning.scorers import Scorer
    from algotrade.learning.training import TrainedModel

CARD, SCORER, ESTIMATOR = "card.json", "scorer.json", "estimator.joblib"
LARGEST_CARD = 4 * 1024 * 1024
_MODEL_ID = re.compile(r"[a-z]{1,16}-[0-9a-f]{12}", re.ASCII)
_TRAIN_AGAIN = "train again: algotrade train"
ESTIMATOR_KIND = "estimator"


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedModel:
    """Where a model lies, and the hash of its card for the store to keep."""

    model_id: str
    card_sha256: str
    path: Path


def load_card(models_dir: Path, model_id: str, expected_sha256: str) -> ModelCard:
    """Read the card whose hash the store kept; raises ModelError on anything else."""
    data = _read(models_dir, model_id, CARD, LARGEST_CARD)
    _check_hash(model_id, CARD, data, expected_sha256)
    card = from_json(data)
    if card.id != model_id:
        raise ModelError(
            f"model {model_id}: its card is that of {shown(card.id)}", hint=_TRAIN_AGAIN
        )
    return card


def load_scorer(models_dir: Path, card: ModelCard) -> Scorer:
    """Read the scorer the card lists; standard library only; raises ModelError.

    Where the card says that the scorer is the estimator, that one is loaded, too: as
    `load_estimator` does, with its libraries.
    """
    scorer = read_scorer(_read_listed(models_dir, card, SCORER))
    if scorer.kind != card.scorer:
        raise ModelError(
            f"model {card.id}: its scorer is {scorer.kind}, not {shown(card.scorer)}",
            hint=_TRAIN_AGAIN,
        )
    if scorer.kind == ESTIMATOR_KIND:
        from algotrade.learning.scorer_estimator import EstimatorScorer

        if isinstance(scorer, EstimatorScorer):
            return scorer.asking(load_estimator(models_dir, card))
    return scorer


def load_estimator(models_dir: Path, card: ModelCard) -> Any:  # noqa: ANN401 - scikit-learn ships no types
    """Unpickle the estimator the card lists, after its hash; raises ModelError.

    An estimator of another scikit-learn (major.minor) is refused: its pickle may load and score
    differently; so is one of another version of the library that its class comes from. Scorers
    made of plain arrays have no such limit.
    """
    data = _read_listed(models_dir, card, ESTIMATOR)
    import io
    import warnings

    import joblib
    import sklearn
    from sklearn.exceptions import InconsistentVersionWarning

    _check_version(card, "scikit-learn", sklearn.__version__)
    for library, version in _library_version(card).items():
        _check_version(card, library, version)
    with warnings.catch_warnings():
        # a patch release apart is allowed above
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        try:
            return joblib.load(io.BytesIO(data))
        except Exception as error:  # the bytes are ours, so the libraries are not: anything goes
            raise ModelError(
                f"model {card.id}: {ESTIMATOR} cannot be read by these libraries: {error}",
                hint=_TRAIN_AGAIN,
            ) from error


def _library_version(card: ModelCard) -> dict[str, str]:
    """Import the library of an import path, before unpickling does, to see which one it is."""
    from algotrade.learning.models import library_version

    try:
        return library_version(card.kind)
    except Exception as error:  # its top-level code may raise anything
        raise ModelError(
            f"model {card.id} needs {shown(card.kind)}, which cannot be imported: {error}",
            hint="install it beside algotrade, or put its folder on PYTHONPATH",
        ) from error


def _check_version(card: ModelCard, library: str, runs: str) -> None:
    wrote = card.versions.get(library, "unknown")
    if wrote.split(".")[:2] != runs.split(".")[:2]:
        raise ModelError(
            f"model {card.id} was saved by {library} {wrote}, this is {runs}", hint=_TRAIN_AGAIN
        )


def verify_files(models_dir: Path, model_id: str, expected_sha256: str) -> ModelCard:
    """Hash every file of a model and give its card; nothing is parsed but the card."""
    card = load_card(models_dir, model_id, expected_sha256)
    for entry in card.files:
        _read_listed(models_dir, card, entry.name)
    return card


def remove_files(models_dir: Path, model_id: str) -> None:
    """Remove a model's folder: gone at once, then deleted; raises DiskError."""
    import shutil
    import tempfile
    from pathlib import Path

    if not _MODEL_ID.fullmatch(model_id):
        raise ModelError(f"{shown(model_id)} is not a model id", hint="such as rf-0123456789ab")
    target = models_dir / model_id
    if not os.path.lexists(target):
        return
    try:
        aside = Path(tempfile.mkdtemp(prefix=".gone-", dir=models_dir))
        target.rename(aside / model_id)
        _flush(models_dir)
        shutil.rmtree(aside)  # a link in it is removed, not followed
    except OSError as error:
        raise DiskError(f"model {model_id} cannot be removed: {error.strerror}") from error


def save_model(models_dir: Path, trained: TrainedModel) -> SavedModel:
    """Write the model's folder at once; saving the same model again changes nothing.

    Raises ModelError where a folder of that id holds something else, DiskError where the disk
    fails.
    """
    contents = _contents(trained)
    model_id = trained.card.id
    target = models_dir / model_id
    try:
        models_dir.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            _write_folder(models_dir, target, contents)
    except OSError as error:
        raise DiskError(f"model {model_id} cannot be saved: {error}") from error
    data = _same_or_refuse(models_dir, model_id, contents)
    return SavedModel(model_id=model_id, card_sha256=_sha256(data), path=target)


def _contents(trained: TrainedModel) -> dict[str, bytes]:
    parts = {SCORER: trained.scorer.to_json(), ESTIMATOR: _pickled(trained.estimator)}
    files = tuple(
        FileHash(name=name, sha256=_sha256(data), size=len(data)) for name, data in parts.items()
    )
    return parts | {CARD: replace(trained.card, files=files).to_json()}


def _pickled(estimator: Any) -> bytes:  # noqa: ANN401 - scikit-learn ships no types
    """Pickle so that joblib reads it, and so that equal estimators have equal bytes.

    Texts and bytes in full: pickle writes one once and then points at it, where both are the same
    object, and which equal texts are one depends on what ran before. Arrays as they lie in memory:
    joblib copies those of trees field by field, and what lay between the fields is left to chance.
    """
    import io
    from pickle import _Pickler

    class Pickler(_Pickler):
        def memoize(self, obj: object) -> None:
            if not isinstance(obj, (str, bytes)):  # there is one empty bytes for all arrays
                super().memoize(obj)  # type: ignore[misc] # its stubs lack it

    buffer = io.BytesIO()
    Pickler(buffer, protocol=5).dump(estimator)
    return buffer.getvalue()


def _same_or_refuse(models_dir: Path, model_id: str, contents: dict[str, bytes]) -> bytes:
    """Give the card that lies there; when it was made and how it was judged may differ from ours.

    Without this, saving again would bless a folder that somebody changed.
    """
    data = _read(models_dir, model_id, CARD, LARGEST_CARD)
    there, ours = from_json(data), from_json(contents[CARD])
    same = same_model(there, ours) and all(
        _read(models_dir, model_id, name, len(contents[name])) == contents[name]
        for name in (SCORER, ESTIMATOR)
    )
    if not same:
        raise ModelError(
            f"model {model_id}: its folder holds something else",
            hint=f"look at {models_dir / model_id}, move it away and train again",
        )
    return data


def _write_folder(models_dir: Path, target: Path, contents: dict[str, bytes]) -> None:
    """Write aside, flush, then rename: a crash leaves no half-written model."""
    import shutil
    import tempfile
    from pathlib import Path

    aside = Path(tempfile.mkdtemp(prefix=".new-", dir=models_dir))
    try:
        for name, data in contents.items():
            _write_file(aside / name, data)
        _flush(aside)
        try:
            aside.replace(target)
        except OSError:
            if not target.exists():  # else another run saved the same model first
                raise
        _flush(models_dir)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _write_file(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_listed(models_dir: Path, card: ModelCard, name: str) -> bytes:
    listed = card.file(name)
    data = _read(models_dir, card.id, name, listed.size)
    if len(data) != listed.size:
        raise ModelError(
            f"model {card.id}: {name} has {len(data)} bytes, its card says {listed.size}",
            hint=_TRAIN_AGAIN,
        )
    _check_hash(card.id, name, data, listed.sha256)
    return data


def _check_hash(model_id: str, name: str, data: bytes, expected: str) -> None:
    if _sha256(data) != expected:
        raise ModelError(
            f"model {model_id}: {name} is not the file that was saved (its SHA-256 differs)",
            hint=_TRAIN_AGAIN,
        )


def _read(models_dir: Path, model_id: str, name: str, largest: int) -> bytes:
    """Read a whole file of a model's folder, following no link; raises ModelError."""
    if not _MODEL_ID.fullmatch(model_id):
        raise ModelError(f"{shown(model_id)} is not a model id", hint="such as rf-0123456789ab")
    try:
        _check_shared(models_dir)
        with _opened(models_dir / model_id, os.O_DIRECTORY) as folder:
            _check_private(model_id, model_id, folder)
            with _opened(name, os.O_NONBLOCK, folder=folder) as file:
                return _read_file(model_id, name, file, largest)
    except FileNotFoundError:
        raise ModelError(f"model {model_id}: {name} is missing", hint=_TRAIN_AGAIN) from None
    except OSError as error:
        raise ModelError(
            f"model {model_id}: {name} cannot be read ({error.strerror})", hint=_TRAIN_AGAIN
        ) from None


def _read_file(model_id: str, name: str, file: int, largest: int) -> bytes:
    _check_private(model_id, name, file)
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode):
        raise ModelError(f"model {model_id}: {name} is not a plain file", hint=_TRAIN_AGAIN)
    if status.st_size > largest:
        raise ModelError(
            f"model {model_id}: {name} is larger than it was when saved", hint=_TRAIN_AGAIN
        )
    with os.fdopen(os.dup(file), "rb") as reader:
        return reader.read(largest + 1)


def _check_shared(models_dir: Path) -> None:
    """Refuse a home of models in which anybody can rename them."""
    mode = models_dir.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise ModelError(
            f"{models_dir} can be written by everybody", hint=f"chmod o-w {models_dir}"
        )


def _check_private(model_id: str, name: str, descriptor: int) -> None:
    status, look = os.fstat(descriptor), "look at what it holds, then:"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ModelError(
            f"model {model_id}: {name} can be written by others",
            hint=f"{look} chmod -R go-w models/{model_id}",
        )
    if status.st_uid not in {os.geteuid(), 0}:
        raise ModelError(
            f"model {model_id}: {name} belongs to user {status.st_uid}, not to {os.geteuid()}",
            hint=f"run as its owner, or {look} chown -R $(id -un) models/{model_id}",
        )


@contextmanager
def _opened(path: Path | str, flags: int, *, folder: int | None = None) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
