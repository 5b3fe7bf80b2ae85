"""Damage saved models at random; every one must be refused, and nothing of it unpickled.

python tests/campaigns/corrupt_models.py --trials 10000 --seed 1 --out corrupt_models.json

A trial takes one of five saved models (two forests, logistic regression, boosting, a blend), does
one thing to its files or folder, and loads it as a workflow does: card, scorer, estimator, with the
hash of the card that the store would hold. Passed is a trial that ends in a ModelError (exit 6)
which names the model, the folder or the file and comes with a remedy. `joblib.load` is replaced by
a counter, so that it is seen whether a byte would have been unpickled.

The control is the same with the registry's hash check switched off: if no damage got through then,
the harness would prove nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

import joblib

from algotrade.errors import ModelError
from algotrade.learning import registry
from algotrade.learning.registry import CARD, ESTIMATOR, SCORER
from algotrade.learning.training import Plan, train
from learning_markets import market

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from algotrade.learning.registry import SavedModel

FILES = (CARD, SCORER, ESTIMATOR)
PLANS = (
    (Plan(model="rf", folds=1, params={"n_estimators": 8}), 1),
    (Plan(model="rf", folds=1, params={"n_estimators": 8}), 2),
    (Plan(model="logit", folds=1), 1),
    (Plan(model="hgb", folds=1, params={"max_iter": 20}), 1),
    (Plan(model="blend", folds=1, params={"hgb__max_iter": 10}), 1),
)
ACCEPTED = "accepted"
HOSTILE = b"cos\nsystem\n(S'exit 66'\ntR."  # a pickle that runs a command


@dataclass(kw_only=True)
class Result:
    """What a campaign did and saw."""

    refused: Counter[str] = field(default_factory=Counter)
    files: Counter[str] = field(default_factory=Counter)
    unpickled: int = 0
    accepted: int = 0
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def told(self) -> dict[str, Any]:
        return {
            "refused": sum(self.refused.values()),
            "refused_by_damage": dict(sorted(self.refused.items())),
            "damaged": dict(sorted(self.files.items())),
            "unpickled": self.unpickled,
            "accepted": self.accepted,
            "not_refused": len(self.wrong),
            "first_not_refused": self.wrong[:5],
            "seconds": round(self.seconds, 1),
        }


class Scene(NamedTuple):
    """One trial: the model's folder and name of a file to damage, and another model's folder."""

    chance: random.Random
    folder: Path
    name: str
    other: Path

    @property
    def file(self) -> Path:
        return self.folder / self.name


def flip_a_bit(scene: Scene) -> None:
    data = bytearray(scene.file.read_bytes())
    data[scene.chance.randrange(len(data))] ^= 1 << scene.chance.randrange(8)
    scene.file.write_bytes(data)


def flip_many_bits(scene: Scene) -> None:
    data = bytearray(scene.file.read_bytes())
    for place in scene.chance.sample(range(len(data)), scene.chance.randint(2, 64)):
        data[place] ^= 1 << scene.chance.randrange(8)
    scene.file.write_bytes(data)


def overwrite_a_run(scene: Scene) -> None:
    data = bytearray(scene.file.read_bytes())
    start = scene.chance.randrange(len(data))
    stop = min(len(data), start + scene.chance.randint(1, 512))
    noise = bytes(byte ^ scene.chance.randint(1, 255) for byte in data[start:stop])
    data[start:stop] = noise
    scene.file.write_bytes(data)


def truncate(scene: Scene) -> None:
    size = scene.file.stat().st_size
    os.truncate(scene.file, scene.chance.choice((0, size - 1, scene.chance.randrange(size))))


def append(scene: Scene) -> None:
    with scene.file.open("ab") as file:
        file.write(scene.chance.randbytes(scene.chance.randint(1, 64)))


def delete(scene: Scene) -> None:
    scene.file.unlink()


def take_anothers_file(scene: Scene) -> None:
    shutil.copyfile(scene.other / scene.name, scene.file)


def swap_two_files(scene: Scene) -> None:
    second = scene.folder / scene.chance.choice([name for name in FILES if name != scene.name])
    first, other = scene.file.read_bytes(), second.read_bytes()
    scene.file.write_bytes(other)
    second.write_bytes(first)


def take_anothers_folder(scene: Scene) -> None:
    for name in FILES:
        shutil.copyfile(scene.other / name, scene.folder / name)


def plant_a_pickle(scene: Scene) -> None:
    size = (scene.folder / ESTIMATOR).stat().st_size
    (scene.folder / ESTIMATOR).write_bytes(scene.chance.choice((HOSTILE, HOSTILE.ljust(size))))


def link_the_file(scene: Scene) -> None:
    copy = scene.folder / "copy"
    scene.file.rename(copy)
    if scene.chance.random() < 0.5:
        scene.file.symlink_to(copy)
    else:
        scene.file.symlink_to("copy")


def link_the_folder(scene: Scene) -> None:
    elsewhere = scene.folder.with_name("elsewhere")
    scene.folder.rename(elsewhere)
    scene.folder.symlink_to(elsewhere)


def open_the_file(scene: Scene) -> None:
    scene.file.chmod(0o600 | scene.chance.choice((0o020, 0o002, 0o022, 0o066, 0o077)))


def open_the_folder(scene: Scene) -> None:
    scene.folder.chmod(0o700 | scene.chance.choice((0o020, 0o002, 0o022, 0o077)))


def open_all_models(scene: Scene) -> None:
    scene.folder.parent.chmod(0o777)


def no_plain_file(scene: Scene) -> None:
    scene.file.unlink()
    if scene.chance.random() < 0.5:
        scene.file.mkdir()
    else:
        os.mkfifo(scene.file)


# bits, cuts and swaps are most of it; the others are fewer and each finds its own gate
DAMAGES: tuple[tuple[Callable[[Scene], None], int], ...] = (
    (flip_a_bit, 30),
    (flip_many_bits, 8),
    (overwrite_a_run, 8),
    (truncate, 16),
    (append, 4),
    (delete, 2),
    (take_anothers_file, 12),
    (swap_two_files, 4),
    (take_anothers_folder, 4),
    (plant_a_pickle, 3),
    (link_the_file, 2),
    (link_the_folder, 1),
    (open_the_file, 2),
    (open_the_folder, 1),
    (open_all_models, 1),
    (no_plain_file, 2),
)


def save_models(folder: Path) -> list[SavedModel]:
    """Train and save the models that are going to suffer."""
    folder.mkdir(mode=0o700, parents=True)
    data = market(edge=0.008, count=700, symbols="AB")
    return [registry.save_model(folder, train(data, plan, seed=s, now=5)) for plan, s in PLANS]


def load(models: Path, saved: SavedModel) -> None:
    """Load as a workflow does."""
    card = registry.load_card(models, saved.model_id, saved.card_sha256)
    registry.load_scorer(models, card)
    registry.load_estimator(models, card)


def trial(chance: random.Random, whole: Path, models: Path, saved: list[SavedModel]) -> Scene:
    """Lay out two models as they were saved and choose what to damage."""
    shutil.rmtree(models, ignore_errors=True)
    models.mkdir(mode=0o700)
    chosen, other = chance.sample(saved, 2)
    for one in (chosen, other):
        shutil.copytree(whole / one.model_id, models / one.model_id)
    return Scene(chance, models / chosen.model_id, chance.choice(FILES), models / other.model_id)


def campaign(folder: Path, *, trials: int, seed: int, hashes: bool = True) -> Result:
    """Damage so many models; without `hashes` the registry looks at none."""
    chance, result, began = random.Random(seed), Result(), time.monotonic()  # noqa: S311 - no secrets
    whole, models = folder / "whole", folder / "models"
    saved = save_models(whole)
    by_id = {one.model_id: one for one in saved}
    for one in saved:  # what nobody damaged is accepted
        load(whole, one)
    with hooked(result, hashes=hashes):
        for number in range(trials):
            scene = trial(chance, whole, models, saved)
            (damage,) = chance.choices(*zip(*DAMAGES, strict=True))
            damage(scene)
            told = attempt(models, by_id[scene.folder.name])
            if told is None:
                result.refused[damage.__name__] += 1
                result.files[scene.name] += 1
            else:
                result.accepted += told == ACCEPTED
                result.wrong.append(f"{number}: {damage.__name__} of {scene.name}: {told}")
    result.seconds = time.monotonic() - began
    return result


def attempt(models: Path, saved: SavedModel) -> str | None:
    """Load; None where it was refused as it must be, else what happened instead."""
    try:
        load(models, saved)
    except ModelError as error:
        if error.exit_code != 6 or not error.hint:
            return f"refused without exit 6 or a remedy: {error}"
        if saved.model_id not in error.message and str(models) not in error.message:
            return f"refused without a name: {error}"
        return None
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what this looks for
        return repr(error)
    return ACCEPTED


@contextlib.contextmanager
def hooked(result: Result, *, hashes: bool) -> Iterator[None]:
    """Count what would be unpickled, instead of doing so; leave hashes unchecked if so asked."""
    loader, check = joblib.load, registry._check_hash

    def count(_: object) -> None:
        result.unpickled += 1

    joblib.load = count
    if not hashes:
        registry._check_hash = lambda *_: None
    try:
        yield
    finally:
        joblib.load, registry._check_hash = loader, check


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--control-trials", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def main() -> int:
    """Run the campaign and its control; tell what came out."""
    import numpy as np
    import sklearn

    from algotrade import __version__

    given = _arguments()
    with tempfile.TemporaryDirectory(prefix="corrupt_models") as folder:
        ours = campaign(Path(folder) / "ours", trials=given.trials, seed=given.seed)
        control = campaign(
            Path(folder) / "control", trials=given.control_trials, seed=given.seed, hashes=False
        )
    passed = not ours.wrong and not ours.unpickled and bool(control.accepted and control.unpickled)
    report = {
        "seed": given.seed,
        "trials": given.trials,
        "algotrade": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
        "joblib": joblib.__version__,
        "system": platform.platform(),
        "campaign": ours.told(),
        "control": control.told() | {"must": "accept some, without hashes"},
        "result": "pass" if passed else "FAIL",
    }
    text = json.dumps(report, indent=2)
    sys.stdout.write(text + "\n")
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
