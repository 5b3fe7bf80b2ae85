"""The model card: everything a reader must know about a model, as strict JSON."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from algotrade.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    Metrics: TypeAlias = dict[str, float | int | None]
    Params: TypeAlias = dict[str, float | int | str | None]  # a bool is an int, too

CARD_FORMAT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldSummary:
    """One walk-forward fold: test block [test_first, test_last] (ts_close), rows on each side."""

    test_first: int
    test_last: int
    train_label_end: int
    train_rows: int
    test_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileHash:
    """Name, SHA-256 and size in bytes of a file that lies beside the card."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What the model is, what it was trained on, and what it scored out of sample.

    created, first_ts, last_ts, train_end: microseconds UTC; train_end is the end of the newest
    label the model has seen, so a decision before it is not out of sample.
    kind: a name such as rf, or an estimator's import path. scorer: the kind of its scorer;
    `estimator` means that it has no plain arrays and its pickle is asked.
    """

    id: str
    kind: str
    scorer: str
    created: int
    versions: dict[str, str]
    source: str
    symbols: tuple[str, ...]
    timeframe: str
    first_ts: int
    last_ts: int
    rows: int
    dropped: int
    fingerprint: str
    preset: str
    names: tuple[str, ...]
    lookback: int
    horizon: int
    threshold: float
    seed: int
    params: Params
    train_end: int
    folds: tuple[FoldSummary, ...]
    metrics: Metrics
    baselines: dict[str, Metrics]
    verdict: str
    files: tuple[FileHash, ...] = ()

    def to_json(self) -> bytes:
        """Give the card as JSON bytes; the same card always gives the same bytes."""
        return _dump({"format": CARD_FORMAT, **_plain(self)})

    def file(self, name: str) -> FileHash:
        """Give the hash of a file beside the card; raises ModelError where it lists none."""
        for entry in self.files:
            if entry.name == name:
                return entry
        raise ModelError(f"model {self.id}: the card does not list {name}")


def with_id(card: ModelCard, scorer: bytes, *, prefix: str) -> ModelCard:
    """Name a model by its content: prefix and 12 hex digits over the card and the scorer.

    When it was made does not count, nor do the estimator's bytes: pickles of equal models may
    differ, the scorer's plain arrays do not.
    """
    content = replace(card, id="", created=0, files=()).to_json()
    digest = hashlib.sha256(content + hashlib.sha256(scorer).digest()).hexdigest()
    return replace(card, id=f"{prefix}-{digest[:12]}")


def from_json(data: bytes) -> ModelCard:
    """Read a card strictly: every field once, of its type, nothing else; raises ModelError."""
    values = parse_object(data, "model card")
    if values.pop("format", None) != CARD_FORMAT:
        raise ModelError("model card: unknown format", hint="train again: algotrade train")
    card: ModelCard = _record(ModelCard, _CARD, values)
    return card


def parse_object(data: bytes, what: str) -> dict[str, Any]:
    """Parse JSON bytes into an object, refusing NaN, infinities and doubled keys."""
    try:
        values = json.loads(data, parse_constant=_refuse, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{what}: not valid JSON ({error})") from None
    if not isinstance(values, dict):
        raise ModelError(f"{what}: not a JSON object")
    return values


def _refuse(text: str) -> float:
    raise ValueError(f"{text} is not a number")


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key is given twice")
    return dict(pairs)


def _dump(values: dict[str, object]) -> bytes:
    return json.dumps(values, sort_keys=True, indent=1, allow_nan=False).encode() + b"\n"


def _plain(record: ModelCard | FoldSummary | FileHash) -> dict[str, object]:
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    for name in ("folds", "files"):
        if name in values:
            values[name] = [_plain(entry) for entry in values[name]]
    return values


def _record(kind: Callable[..., Any], readers: dict[str, Reader], values: object) -> Any:  # noqa: ANN401 - one reader for three records
    if not isinstance(values, dict) or set(values) != set(readers):
        raise ModelError("model card: fields are missing or unknown")
    read = {}
    for name, reader in readers.items():
        try:
            read[name] = reader(values[name])
        except (TypeError, ValueError, OverflowError) as error:
            raise ModelError(f"model card: field {name}: {error}") from None
    return kind(**read)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("not a whole number")
    return value


def _number(value: object) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise TypeError("not a number")
    return value


def _score(value: object) -> float | None:
    return None if value is None else _number(value)


def _param(value: object) -> float | str | None:
    return value if isinstance(value, (str, bool)) else _score(value)


def _many(reader: Reader) -> Reader:
    def read(value: object) -> tuple[object, ...]:
        if not isinstance(value, list):
            raise TypeError("not a list")
        return tuple(reader(entry) for entry in value)

    return read


def _named(reader: Reader) -> Reader:
    def read(value: object) -> dict[str, object]:
        if not isinstance(value, dict):
            raise TypeError("not an object")
        return {name: reader(entry) for name, entry in value.items()}

    return read


def _fold(value: object) -> object:
    return _record(FoldSummary, {field.name: _whole for field in fields(FoldSummary)}, value)


def _file(value: object) -> object:
    return _record(FileHash, {"name": _text, "sha256": _text, "size": _whole}, value)


if TYPE_CHECKING:
    Reader: TypeAlias = Callable[[object], object]

_CARD: dict[str, Reader] = {
    **dict.fromkeys(
        ("id", "kind", "scorer", "source", "timeframe", "fingerprint", "preset", "verdict"), _text
    ),
    **dict.fromkeys(
        (
            *("created", "first_ts", "last_ts", "train_end"),
            *("rows", "dropped", "lookback", "horizon", "seed"),
        ),
        _whole,
    ),
    "threshold": _number,
    "versions": _named(_text),
    "symbols": _many(_text),
    "names": _many(_text),
    "params": _named(_param),
    "folds": _many(_fold),
    "metrics": _named(_score),
    "baselines": _named(_named(_score)),
    "files": _many(_file),
}
