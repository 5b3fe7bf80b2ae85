"""Rebuild what a power loss would leave on the disk; no commit that was told may be missing.

python tests/campaigns/power_loss.py --trials 5000 --seed 1 --out power_loss.json

A process opens a store, commits, says so, closes, again and again; `strace` writes down every call
that changes a file. A trial takes a moment in that list and builds the disk of then: what was
synced is there, of what was written since a random part, torn at 512 bytes; renames and removals
since the last sync up to a random one. The image is opened as the next command would: seals, chain
and file must hold, no older than its note, with every commit that had been told.

The controls are the same process with synchronous NORMAL and OFF: both must lose commits.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

import ledger_world
from algotrade.errors import AlgotradeError
from algotrade.store import heads
from algotrade.store.database import open_store, sqlite_errors
from algotrade.store.ledger_check import check_store
from campaigns.verdicts import tell

if TYPE_CHECKING:
    from collections.abc import Iterator

SECTOR = 512
NAME = "algotrade.db"
CALLS = "pwrite64,write,fsync,fdatasync,ftruncate,unlink,unlinkat,rename,openat"
# pid, name, the rest; -y writes the path of a descriptor in angle brackets behind it
_LINE = re.compile(r"^\d+ +(\w+)\((.*)\) += (-?\d+)")
_BY_NAME = ("unlink", "unlinkat", "rename", "openat")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass(frozen=True, slots=True)
class Op:
    """One call: what it does to which file; data and place of a write, the new name of a rename."""

    kind: str
    name: str
    data: bytes = b""
    at: int = 0
    to: str = ""


@dataclass(kw_only=True)
class Result:
    """What a campaign did and saw."""

    synchronous: str
    images: int = 0
    commits: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def told(self) -> dict[str, Any]:
        return {
            "synchronous": self.synchronous,
            "images": self.images,
            "commits_told": self.commits,
            "calls": dict(self.calls),
            "wrong": len(self.wrong),
            "first_wrong": self.wrong[:5],
            "seconds": round(self.seconds, 1),
        }


class Disk:
    """The files of a folder: what is synced, and what is not yet."""

    def __init__(self, folder: Path) -> None:
        self.synced = {path.name: path.read_bytes() for path in folder.iterdir()}
        self.pending: list[Op] = []

    def take(self, op: Op) -> None:
        """Let a call happen."""
        if op.kind != "sync":
            self.pending.append(op)
            return
        # what concerns this file is on the disk now; so is every change of names before it
        done = [one for one in self.pending if one.name == op.name or one.kind in _NAMES]
        self.pending = [one for one in self.pending if one not in done]
        apply(self.synced, done)

    def image(self, chance: random.Random) -> dict[str, bytes]:
        """Give the files as a power loss would leave them now."""
        files = dict(self.synced)
        mode = chance.choice(("none", "all", "some", "some", "torn", "torn"))
        names_left = chance.randint(0, sum(one.kind in _NAMES for one in self.pending))
        kept: list[Op] = []
        for one in self.pending:
            if one.kind in _NAMES:
                names_left -= 1
                if names_left >= 0:
                    kept.append(one)
            elif mode == "all" or (mode != "none" and chance.random() < 0.5):
                kept += torn(one, chance) if mode == "torn" and one.kind == "write" else [one]
        apply(files, kept)
        return files


_NAMES = ("unlink", "rename")


def torn(op: Op, chance: random.Random) -> Iterator[Op]:
    """Give the sectors of a write that reached the disk."""
    for start in range(0, len(op.data), SECTOR):
        if chance.random() < 0.5:
            yield Op("write", op.name, op.data[start : start + SECTOR], op.at + start)


def apply(files: dict[str, bytes], ops: list[Op]) -> None:
    """Change files as these calls do."""
    work = {name: bytearray(raw) for name, raw in files.items()}
    for op in ops:
        match op.kind:
            case "write":
                raw = work.setdefault(op.name, bytearray())
                raw.extend(bytes(max(0, op.at + len(op.data) - len(raw))))
                raw[op.at : op.at + len(op.data)] = op.data
            case "truncate":
                raw = work.setdefault(op.name, bytearray())
                del raw[op.at :]
                raw.extend(bytes(op.at - len(raw)))
            case "unlink":
                work.pop(op.name, None)
            case "rename":
                work[op.to] = work.pop(op.name, bytearray())
    files.clear()
    files.update({name: bytes(raw) for name, raw in work.items()})


def record(folder: Path, synchronous: str, rounds: int) -> list[Op]:
    """Run the process under strace; give what it did to the files, and what it told (kind told)."""
    log = folder / "calls.txt"
    command = ["strace", "-f", "-y", "-xx", "-s", "100000", "-e", f"trace={CALLS}", "-o", str(log)]
    child = [sys.executable, str(Path(__file__)), "--commit", str(folder / "data"), synchronous]
    done = subprocess.run(
        [*command, *child, str(rounds)], capture_output=True, check=False, timeout=600
    )
    if done.returncode:
        sys.exit(f"the process that commits failed: {done.stderr.decode()[-500:]}")
    return list(parsed(log, folder / "data"))


def parsed(log: Path, data: Path) -> Iterator[Op]:
    """Read the calls that concern the folder; plain writes know their place by counting."""
    places: dict[str, int] = {}
    with log.open(encoding="ascii") as lines:
        for line in lines:
            found = _LINE.match(line)
            if found is None or found[3].startswith("-"):
                continue
            call, rest = found[1], found[2]
            texts = [bytes.fromhex(text.replace("\\x", "")) for text in _TEXT.findall(rest)]
            if call == "write" and rest.startswith("1<"):
                yield Op("told", "", texts[-1])
                continue
            place = Path(texts[0].decode() if call in _BY_NAME else _path_of(rest))
            if place.parent == data and place.suffix != ".lock" and "-shm" not in place.name:
                made = _op(call, place.name, rest, texts, places)
                yield from [made] if made else []


def _op(call: str, name: str, rest: str, texts: list[bytes], places: dict[str, int]) -> Op | None:
    """Give one call as what it does; `places` is where plain writes go on."""
    number = rest.rpartition(", ")[2]
    match call:
        case "pwrite64":
            return Op("write", name, texts[-1], int(number))
        case "write":
            at = places.get(name, 0)
            places[name] = at + len(texts[-1])
            return Op("write", name, texts[-1], at)
        case "openat":
            places[name] = 0
            return Op("truncate", name) if "O_TRUNC" in rest else None
        case "ftruncate":
            return Op("truncate", name, at=int(number))
        case "rename":
            return Op("rename", name, to=Path(texts[1].decode()).name)
    return Op("unlink" if call.startswith("unlink") else "sync", name)


def _path_of(rest: str) -> str:
    """Give the path of the first descriptor; strace writes it as hex escapes, too."""
    inside = rest[rest.find("<") + 1 : rest.find(">")]
    if inside.startswith("\\x"):
        return bytes.fromhex(inside.replace("\\x", "")).decode()
    return inside


def judge(image: dict[str, bytes], place: Path, told: int) -> str | None:
    """Open an image as the next command would; give what is wrong."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for name, raw in image.items():
        if not name.endswith(".part"):
            (place / name).write_bytes(raw)
    store = place / NAME
    try:
        with sqlite_errors(store), contextlib.closing(open_store(store)) as db:
            db.execute("PRAGMA synchronous = OFF")  # of the judge: it is not what is judged
            with heads.watched(db, store, say=lambda _: None):
                list(check_store(db))
                found = ledger_world.size(db)
    except (AlgotradeError, sqlite3.Error) as error:
        return f"{type(error).__name__}: {error}"
    return None if found >= told else f"{told} commits were told, {found} are there"


def campaign(synchronous: str, images: int, rounds: int, seed: int, folder: Path) -> Result:
    """Record once; build and judge so many images, in the order of their moments."""
    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "data"
    ledger_world.built(data / NAME, 0)
    disk = Disk(data)
    ops = record(folder, synchronous, rounds)
    result = Result(synchronous=synchronous, calls=Counter(op.kind for op in ops))
    chance = random.Random(seed)  # noqa: S311 -- moments, not secrets
    moments = Counter(chance.randint(1, len(ops)) for _ in range(images))
    for number, op in enumerate(ops, 1):
        if op.kind == "told":
            result.commits = int(op.data)
        else:
            disk.take(op)
        for _ in range(moments[number]):
            wrong = judge(disk.image(chance), folder / "image", result.commits)
            result.images += 1
            if wrong:
                result.wrong.append(f"after call {number}: {wrong}")
    result.seconds = time.monotonic() - began
    return result


def commit_and_tell(data: Path, synchronous: str, rounds: int) -> None:
    """Be the process that is watched: every commit as a command of its own."""
    store = data / NAME
    for number in range(rounds):
        with contextlib.closing(open_store(store)) as db:
            db.execute(f"PRAGMA synchronous = {synchronous}")
            db.execute("PRAGMA wal_autocheckpoint = 20")
            with heads.watched(db, store, say=lambda _: None):
                for commit in range(ledger_world.COMMITS):
                    ledger_world.step(db, number, commit)
                    told = number * ledger_world.COMMITS + commit + 1
                    sys.stdout.write(f"{told}\n")
                    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--control-trials", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--commit", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """Run the campaign and its controls; tell what came out."""
    given = _arguments()
    if given.commit:
        data, synchronous, rounds = given.commit
        commit_and_tell(Path(data), synchronous, int(rounds))
        return 0
    with tempfile.TemporaryDirectory(prefix="power_loss") as place:
        ours, *controls = (
            campaign(mode, count, given.rounds, given.seed, Path(place) / mode)
            for mode, count in (
                ("FULL", given.trials),
                ("NORMAL", given.control_trials),
                ("OFF", given.control_trials),
            )
        )
    good = not ours.wrong and all(control.wrong for control in controls)
    seen = {
        "campaign": ours.told(),
        "controls": [control.told() | {"must": "fail"} for control in controls],
    }
    return tell(given.seed, seen, good=good, out=given.out)


if __name__ == "__main__":
    raise SystemExit(main())
