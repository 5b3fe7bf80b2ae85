"""Fan-out: the same bits from any workers, errors that arrive, and nothing left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from algotrade.errors import AlgotradeError, DataError, InputError, ProviderError
from algotrade.learning.labels import LabelSpec
from algotrade.learning.presets import PRESETS
from algotrade.learning.search import search
from algotrade.learning.training import Plan
from algotrade.learning.walkforward import walk_forward_forecast
from algotrade.store.runs import list_runs
from algotrade.workflows import fan_out
from algotrade.workflows.fan_out import ALONE, Workers, open_pool, read_workers
from algotrade.workflows.search import read_grid
from algotrade.workflows.sweep import sweep, sweep_plans
from backtest_world import plan_of
from cli_helpers import cli, copied, one_clear_line
from learning_markets import market, planted
from verify_world import opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from algotrade.learning.card import Params
    from algotrade.learning.search import Searched

TWO = Workers(jobs=2)
POINTS: tuple[Params, ...] = ({"C": 0.05}, {"C": 0.5})
TESTS = Path(__file__).parent
NO_DASK = pytest.mark.skipif(find_spec("distributed") is None, reason="needs algotrade[dask]")


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a home with the bars of one symbol."""
    home = tmp_path_factory.mktemp("sampled") / "home"
    cli("fetch", "AAPL", home=home).well()
    return home


def _times(shared: int, item: int) -> tuple[int, int]:
    return shared * item, os.getpid()


def _fails(_shared: None, item: int) -> int:
    if item == 2:
        raise DataError("item 2 is spoiled", hint="another item")
    return item


def _dies(_shared: None, item: int) -> int:
    if item == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def found(workers: Workers) -> Searched:
    with open_pool(workers) as pool:
        return search(
            market(edge=0.008, count=700, symbols="AB"),
            Plan(model="logit"),
            POINTS,
            seed=1,
            pool=pool,
        )


def same(one: Searched, other: Searched) -> bool:
    return (
        one[:4] == other[:4]
        and one.walked.outcome.p.tobytes() == other.walked.outcome.p.tobytes()
        and [x.p.tobytes() for x in one.outcomes] == [x.p.tobytes() for x in other.outcomes]
    )


# ---- what is typed


def test_flags_are_read() -> None:
    assert read_workers(None, None, None) == Workers(1)
    assert read_workers(3, "loky", None) == Workers(3)
    assert read_workers(None, "dask", "tcp://x:1") == Workers(1, "tcp://x:1")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ((0, None, None), "--jobs 0"),
        ((10_000, None, None), "--jobs 10000"),
        ((None, "ray", None), "ray"),
        ((None, None, "tcp://x:1"), "--scheduler"),
        ((2, "loky", "tcp://x:1"), "--scheduler"),
        ((None, "dask", None), "address"),
        ((2, "dask", "tcp://x:1"), "cluster"),
    ],
)
def test_flags_that_make_no_sense_are_refused(flags: tuple[Any, Any, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_workers(*flags)


def test_a_grid_is_read() -> None:
    assert read_grid(["C=0.1,1", "max_iter=100"]) == {"C": (0.1, 1), "max_iter": (100,)}
    assert read_grid(None) is None
    for wrong in ("C", "C=", "=1", "C=1,,2", "C=1 D=2"):
        with pytest.raises(InputError):
            read_grid([wrong])
    for twice in (["C=1", "C=2"], ["C=1,1"], ["C=0.5,0.50"]):
        with pytest.raises(InputError, match="twice"):
            read_grid(twice)


# ---- processes


def test_results_come_in_order_from_other_processes() -> None:
    with open_pool(TWO) as pool:
        results = list(pool(_times, 3, range(7)))
    assert [value for value, _ in results] == [0, 3, 6, 9, 12, 15, 18]
    assert os.getpid() not in {process for _, process in results}
    with open_pool() as pool:
        assert {process for _, process in pool(_times, 3, range(3))} == {os.getpid()}


def test_what_a_worker_raises_arrives_whole() -> None:
    for workers in (Workers(), TWO):
        with (
            pytest.raises(DataError, match="item 2 is spoiled") as caught,
            open_pool(workers) as pool,
        ):
            list(pool(_fails, None, range(4)))
        assert caught.value.hint == "another item"


def test_the_end_of_a_worker_is_told() -> None:
    with pytest.raises(ProviderError, match="worker is gone"), open_pool(TWO) as pool:
        list(pool(_dies, None, range(4)))


@pytest.mark.slow
def test_a_search_is_the_same_with_two_workers() -> None:
    assert same(found(Workers()), found(TWO))


@pytest.mark.slow
def test_refits_on_the_way_are_the_same_with_two_workers() -> None:
    bars = [planted(name, seed, 700, edge=0.004) for seed, name in enumerate("AB")]
    spec, labels, plan = PRESETS["seed"], LabelSpec(horizon=1), Plan(model="logit")
    found = []
    for workers in (ALONE, TWO):
        with open_pool(workers) as pool:
            found.append(
                walk_forward_forecast(
                    bars, spec, labels, plan, seed=3, from_ts=0, every=120, pool=pool
                )
            )
    one, two = found
    assert len(one.refits) > 2
    assert one.refits == two.refits
    assert repr(one.signals) == repr(two.signals)  # where nothing is said p(up) is not a number


def test_a_sweep_keeps_the_same_runs_with_two_workers(sampled: Path, tmp_path: Path) -> None:
    plans = sweep_plans(
        plan_of("AAPL", params=(("fast", "5,10"), ("slow", "20,30")), first="2011-01-03")
    )
    kept = []
    for number, workers in enumerate((Workers(), TWO)):
        with opened(copied(sampled, tmp_path / str(number))) as ws:
            made = sweep(ws, plans, workers=workers, progress=lambda *_: None)
            assert len(list_runs(ws.db)) == 4
            kept.append([record._replace(created_at=0) for record in made])
    assert kept[0] == kept[1]


INTERRUPTED = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started us may ignore it
sys.path.insert(0, sys.argv[1])
from algotrade.workflows.fan_out import Workers, open_pool
import numpy as np

def sleep(shared, item):
    if item:
        time.sleep(600)
    return item

if __name__ == "__main__":
    try:
        with open_pool(Workers(jobs=2)) as pool:
            for done in pool(sleep, np.zeros(1_000_000), range(4)):
                print(done, flush=True)
    except KeyboardInterrupt:
        sys.exit(130)
"""


def children(group: int) -> list[str]:
    """Give the processes of a process group that are alive."""
    alive = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:  # it ended meanwhile
            continue
        if int(its) == group and state != "Z":
            alive.append(path.parent.name)
    return alive


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_an_interrupt_ends_the_workers(tmp_path: Path) -> None:
    script = tmp_path / "work.py"
    script.write_text(INTERRUPTED)
    process = subprocess.Popen(
        [sys.executable, str(script), str(TESTS)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "JOBLIB_TEMP_FOLDER": str(tmp_path / "shared")},
    )
    (tmp_path / "shared").mkdir()
    assert process.stdout is not None
    assert process.stdout.readline() == "0\n"  # both workers are at it
    assert len(children(process.pid)) >= 3
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    deadline = time.monotonic() + 20
    while children(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)  # the tracker of shared memory ends by itself
    assert children(process.pid) == []
    assert list((tmp_path / "shared").iterdir()) == []


# ---- the command


def test_the_command_refuses_flags_that_contradict(tmp_path: Path) -> None:
    for words in (
        ("train", "--search", "--backend", "dask"),
        ("backtest", "--strategy", "sma-state", "--scheduler", "tcp://x:1"),
        ("train", "--grid", "C"),
    ):
        ran = cli(*words, home=tmp_path / "none")
        one_clear_line(ran, 2)


def test_dask_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(InputError, match="distributed") as caught,
        open_pool(Workers(scheduler="tcp://127.0.0.1:1")),
    ):
        pass
    assert caught.value.hint == "pip install 'algotrade[dask]'"


# ---- a cluster


@NO_DASK
@pytest.mark.slow
def test_a_scheduler_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fan_out, "DEADLINE", 1)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with (
            pytest.raises(ProviderError, match="no Dask scheduler"),
            open_pool(Workers(scheduler=address)),
        ):
            pass
    for wrong in ("nonsense", "127.0.0.1:8786"):
        with pytest.raises(InputError, match="no address"), open_pool(Workers(scheduler=wrong)):
            pass


@NO_DASK
@pytest.mark.slow
def test_a_cluster_without_workers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = import_module("distributed").LocalCluster(
        n_workers=0, processes=False, protocol="tcp://", host="127.0.0.1", dashboard_address=None
    )
    with closing(cluster):
        monkeypatch.setattr(fan_out, "DEADLINE", 1)
        with (
            pytest.raises(ProviderError, match="has no workers") as caught,
            open_pool(Workers(scheduler=cluster.scheduler_address)),
        ):
            pass
    assert caught.value.hint == f"dask worker {cluster.scheduler_address} --nthreads 1"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a scheduler and two workers on loopback."""
    folder = tmp_path_factory.mktemp("dask")
    log = (folder / "log").open("w")
    started: list[subprocess.Popen[bytes]] = []
    environment = {**os.environ, "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}"}

    def start(*words: str) -> None:
        command = [sys.executable, "-m", "distributed.cli." + words[0], *words[1:]]
        started.append(
            subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment)
        )

    told = folder / "scheduler.json"
    start(
        "dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
        "--scheduler-file", str(told),
    )  # fmt: skip
    for _ in range(2):
        start(
            "dask_worker", "--scheduler-file", str(told), "--host", "127.0.0.1",
            "--nthreads", "1", "--no-dashboard", "--local-directory", str(folder),
        )  # fmt: skip
    try:
        import json

        deadline = time.monotonic() + 60
        while not (told.exists() and told.read_text()):
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.1)
        address: str = json.loads(told.read_text())["address"]
        with import_module("distributed").Client(address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
        yield address
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(timeout=30)
        log.close()


@NO_DASK
@pytest.mark.slow
def test_a_cluster_gives_the_same_bits(cluster: str) -> None:
    workers = Workers(scheduler=cluster)
    with open_pool(workers) as pool:
        results = list(pool(_times, 3, range(40)))
    assert [value for value, _ in results] == [3 * item for item in range(40)]
    assert os.getpid() not in {process for _, process in results}
    assert same(found(Workers()), found(workers))
    with pytest.raises(AlgotradeError, match="spoiled"), open_pool(workers) as pool:
        list(pool(_fails, None, range(4)))


@NO_DASK
@pytest.mark.slow
def test_a_cluster_of_other_versions_is_refused(
    cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fan_out, "__version__", "9.9.9")
    with (
        pytest.raises(AlgotradeError, match=r"here it is 9\.9\.9") as caught,
        open_pool(Workers(scheduler=cluster)),
    ):
        pass
    assert caught.value.exit_code == 12
