"""The model card: everything a reader must know about a model, as strict JSON."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

from algotrade.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeAlias

    Metrics: TypeAlias = dict[str, float | int | None]
    Tables: TypeAlias = dict[str, dict[str, Metrics]]
    Params: TypeAlias = dict[str, float | int | str | None]  # a bool is an int, too

CARD_FORMAT = 3
OLDER_FORMAT = 2  # has no SINCE_3 fields; read with their defaults, so that old decisions replay


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
class FeatureRange:
    """What a feature was like in the rows that were fitted.

    deciles: the nine inner edges. usual: the largest stability index of any 63 rows in a row of one
    symbol among them (see `familiar.py`), 0 where there are too few.
    """

    mean: float
    sd: float
    low: float
    high: float
    p01: float
    p99: float
    deciles: tuple[float, ...]
    usual: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What audit and gate said when the model was made, with the trials there were by then.

    No part of the id: the same model may be judged again when more has been tried. audit: passed,
    failed or n/a by test. numbers: what the gate compared; `trials` and `trials_variance` are N
    and V.
    """

    promoted: bool
    direction_only: bool
    reasons: tuple[str, ...]
    numbers: Metrics
    audit: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What the model is, what it was trained on, and what it scored out of sample.

    created, first_ts, last_ts, train_end, expires: microseconds UTC; train_end is the end of the
    newest label the model has seen, so a decision before it is not out of sample; expires: 0 for
    never. kind: a name such as rf, or an estimator's import path. scorer: the kind of its scorer;
    `estimator` means that it has no plain arrays and its pickle is asked.
    params: all that were set; overrides: those that were asked for. window: sessions that train,
    0 for all before. blocks: test blocks asked for. tables: figures by table and row.
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
    overrides: Params = field(default_factory=dict)
    window: int = 0
    blocks: int = 5
    tables: Tables = field(default_factory=dict)
    ranges: dict[str, FeatureRange] = field(default_factory=dict)
    expires: int = 0
    judgement: Judgement | None = None
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

    When it was made does not count, nor how it was judged, nor the permutation test, which grows
    with the number of trials; nor do the estimator's bytes: pickles of equal models may differ,
    the scorer's plain arrays do not.
    """
    lasting = {
        name: value for name, value in card.metrics.items() if not name.startswith("permutation")
    }
    bare = replace(card, id="", created=0, files=(), metrics=lasting, judgement=None)
    content = bare.to_json()
    digest = hashlib.sha256(content + hashlib.sha256(scorer).digest()).hexdigest()
    return replace(card, id=f"{prefix}-{digest[:12]}")


def same_model(one: ModelCard, other: ModelCard) -> bool:
    """Tell whether two cards differ in nothing but when they were made and how they were judged."""
    lasting = [
        replace(card, created=0, judgement=None, metrics={**card.metrics, **_NO_PERMUTATION})
        for card in (one, other)
    ]
    return lasting[0] == lasting[1]


def plan_hash(card: ModelCard) -> str:
    """Name the plan of a model; the same plan on later bars has the same name."""
    return hash_plan(
        source=card.source,
        symbols=card.symbols,
        kind=card.kind,
        overrides=card.overrides,
        features=(card.preset, card.names, card.lookback),
        horizon=card.horizon,
        threshold=card.threshold,
        window=card.window,
        blocks=card.blocks,
        seed=card.seed,
    )


def hash_plan(
    *,
    source: str,
    symbols: Sequence[str],
    kind: str,
    overrides: Params,
    features: tuple[str, Sequence[str], int],
    horizon: int,
    threshold: float,
    window: int,
    blocks: int,
    seed: int,
) -> str:
    """Give the SHA-256 of everything that somebody chose, in 16 hex digits.

    The seed is part of it: another one is another try. features: preset, names, look-back.
    """
    preset, names, lookback = features
    chosen = [
        *(source, sorted(symbols), kind, overrides, preset, list(names), lookback),
        *(horizon, threshold, window, blocks, seed),
    ]
    text = json.dumps(chosen, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def from_json(data: bytes) -> ModelCard:
    """Read a card strictly: every field once, of its type, nothing else; raises ModelError."""
    values = parse_object(data, "model card")
    found = values.pop("format", None)
    if found not in (CARD_FORMAT, OLDER_FORMAT):
        raise ModelError("model card: unknown format", hint="train again: algotrade train")
    readers = _CARD if found == CARD_FORMAT else _OLDER
    card: ModelCard = _record(ModelCard, readers, values)
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


def _plain(record: Record) -> dict[str, object]:
    return {one.name: _simple(getattr(record, one.name)) for one in fields(record)}


def _simple(value: object) -> object:
    if isinstance(value, (FoldSummary, FileHash, FeatureRange, Judgement)):
        return _plain(value)
    if isinstance(value, tuple):
        return [_simple(one) for one in value]
    if isinstance(value, dict):
        return {name: _simple(one) for name, one in value.items()}
    return value


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
    return _record(FoldSummary, {one.name: _whole for one in fields(FoldSummary)}, value)


def _range(value: object) -> object:
    readers = {one.name: _number for one in fields(FeatureRange)}
    return _record(FeatureRange, {**readers, "deciles": _many(_number)}, value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("neither true nor false")
    return value


def _judgement(value: object) -> object:
    if value is None:
        return None
    readers: dict[str, Reader] = {
        "promoted": _flag,
        "direction_only": _flag,
        "reasons": _many(_text),
        "numbers": _named(_score),
        "audit": _named(_text),
    }
    return _record(Judgement, readers, value)


def _file(value: object) -> object:
    return _record(FileHash, {"name": _text, "sha256": _text, "size": _whole}, value)


if TYPE_CHECKING:
    Reader: TypeAlias = Callable[[object], object]
    Record: TypeAlias = ModelCard | FoldSummary | FileHash | FeatureRange | Judgement

_NO_PERMUTATION: Metrics = dict.fromkeys(
    f"permutation_{name}" for name in ("p", "counted", "shifts", "independent")
)
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
    "overrides": _named(_param),
    "window": _whole,
    "blocks": _whole,
    "tables": _named(_named(_named(_score))),
    "ranges": _named(_range),
    "expires": _whole,
    "judgement": _judgement,
    "files": _many(_file),
}
SINCE_3 = ("overrides", "window", "blocks", "tables", "ranges", "expires", "judgement")
_OLDER = {name: reader for name, reader in _CARD.items() if name not in SINCE_3}
