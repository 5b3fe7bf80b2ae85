"""Fan out: the same work on many items, in processes of this machine or on a Dask cluster.

The only workflow that imports joblib. Items do not know of each other and results come back in
their order, so where the work is done changes no bit of them.
"""

from __future__ import annotations

import contextlib
from importlib import import_module
from typing import TYPE_CHECKING, Any

from algotrade import __version__
from algotrade.errors import InputError, ProviderError, SettingsError, shown
from algotrade.learning.pool import alone
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from algotrade.learning.pool import Item, Pool, Result, Shared

LOKY, DASK = "loky", "dask"
BACKENDS = (LOKY, DASK)
DEADLINE = 10  # seconds for a scheduler to answer and to show a worker
MOST_JOBS = 256


class Workers(NamedTuple):
    """Who does the work: `jobs` processes of this machine, or the workers of a scheduler."""

    jobs: int = 1
    scheduler: str | None = None


ALONE = Workers()


def read_workers(jobs: int | None, backend: str | None, scheduler: str | None) -> Workers:
    """Read what was typed; raises InputError where the flags contradict each other."""
    if backend is not None and backend not in BACKENDS:
        raise InputError(
            f"backend {shown(backend)} is unknown", hint=f"one of {', '.join(BACKENDS)}"
        )
    if backend != DASK:
        if scheduler is not None:
            raise InputError("--scheduler names a Dask scheduler", hint="--backend dask as well")
        if jobs is not None and not 1 <= jobs <= MOST_JOBS:
            raise InputError(f"--jobs {jobs} is not between 1 and {MOST_JOBS}", hint="--jobs 2")
        return Workers(jobs=jobs or 1)
    if not scheduler:
        raise InputError(
            "--backend dask needs the address of a running scheduler",
            hint="--scheduler tcp://127.0.0.1:8786",
        )
    if jobs is not None:
        raise InputError("a Dask cluster has the workers that it has", hint="leave out --jobs")
    return Workers(scheduler=scheduler)


@contextlib.contextmanager
def open_pool(workers: Workers = ALONE) -> Iterator[Pool]:
    """Give a pool; however it is left, its processes end and its files are gone.

    Raises InputError where Dask is not installed or the address is none, ProviderError where the
    scheduler or a worker is gone, SettingsError where workers have other versions.
    """
    if workers.scheduler is not None:
        with _cluster(workers.scheduler) as client, _told(DASK):
            yield _parallel(client=client)
    elif workers.jobs > 1:
        with _processes(), _told(LOKY):
            yield _parallel(jobs=workers.jobs)
    else:
        yield alone


def _parallel(*, jobs: int | None = None, client: Any = None) -> Pool:  # noqa: ANN401 - no types
    def pool(
        work: Callable[[Shared, Item], Result], shared: Shared, items: Sequence[Item]
    ) -> Iterator[Result]:
        from joblib import Parallel, delayed, parallel_config

        kept = _Kept(shared)
        if client is None:
            # one thread each: more would only fight for the cores that the processes have
            config = parallel_config(backend=LOKY, inner_max_num_threads=1)
        else:  # what is shared travels once
            config = parallel_config(
                backend=DASK, client=client, scatter=[kept], wait_for_workers_timeout=DEADLINE
            )
        with config, _deaf() if client is None else contextlib.nullcontext():
            parallel = Parallel(n_jobs=jobs, return_as="generator", batch_size=1)
            found: Iterator[Result] = parallel(delayed(_do)(kept, work, item) for item in items)
        return found

    return pool


class _Kept(NamedTuple):
    """What is shared, as an object of its own: Dask knows what it has sent by its identity."""

    shared: Any


def _do(kept: _Kept, work: Callable[[Any, Any], Any], item: Any) -> Any:  # noqa: ANN401 - any work
    return work(kept.shared, item)


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach: it reaches this one, which ends them in silence.

    What is ignored here stays ignored in them; for the moment of their start it is ignored here.
    """
    import signal
    import threading

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _processes() -> Iterator[None]:
    """End the worker processes at the end, also those that are in the middle of something."""
    from joblib.externals.loky import get_reusable_executor

    try:
        yield
    finally:
        get_reusable_executor(reuse=True).shutdown(wait=True, kill_workers=True)


@contextlib.contextmanager
def _told(backend: str) -> Iterator[None]:
    """Turn the end of a worker into our error."""
    try:
        yield
    except (RuntimeError, OSError, TimeoutError) as error:
        if type(error).__name__ not in _GONE:
            raise
        raise ProviderError(
            f"a {backend} worker is gone: {type(error).__name__}",
            hint="run again with fewer workers; it may have run out of memory",
        ) from error


_GONE = {
    "TerminatedWorkerError",
    "BrokenProcessPool",
    "KilledWorker",
    "CommClosedError",
    "FutureCancelledError",
}


@contextlib.contextmanager
def _cluster(address: str) -> Iterator[Any]:
    """Connect to a scheduler that is running; nothing is started and nothing listens."""
    try:
        distributed: Any = import_module("distributed")  # an extra, mostly without types
    except ImportError:
        raise InputError(
            "--backend dask needs the library distributed",
            hint="pip install 'algotrade[dask]'",
        ) from None
    _quiet()
    _check_scheduler(address)
    client = distributed.Client(address, timeout=DEADLINE, set_as_default=False)
    with contextlib.closing(client):
        _check_workers(client, address)
        yield client


def _check_scheduler(address: str) -> None:
    """Ask who is there, before a client that would try for long is made."""
    import asyncio

    comm, security = import_module("distributed.comm"), import_module("distributed.security")

    async def ask() -> None:
        secured = security.Security().get_connection_args("client")
        line = await comm.connect(address, timeout=DEADLINE, **secured)
        await line.write({"op": "identity", "reply": True})
        if (await line.read())["type"] != "Scheduler":
            raise OSError("something else answers")
        await line.close()

    try:
        comm.parse_address(address, strict=True)
    except ValueError as error:
        raise InputError(
            f"{shown(address)} is no address of a scheduler", hint="tcp://127.0.0.1:8786"
        ) from error
    try:
        asyncio.run(asyncio.wait_for(ask(), DEADLINE))
    except Exception as error:  # what is no scheduler may answer anything
        raise ProviderError(
            f"no Dask scheduler answers at {shown(address)} within {DEADLINE} seconds",
            hint="start one with `dask scheduler`, or name another --scheduler",
        ) from error


def _check_workers(client: Any, address: str) -> None:  # noqa: ANN401 - ships no types
    """Refuse a cluster without workers, and workers whose libraries would give other bits."""
    try:
        client.wait_for_workers(1, timeout=DEADLINE)
    except TimeoutError as error:
        raise ProviderError(
            f"the scheduler at {shown(address)} has no workers",
            hint=f"dask worker {address} --nthreads 1",
        ) from error
    mine = library_versions()
    try:  # the scheduler reads what is sent, too
        found = {"the scheduler": client.run_on_scheduler(library_versions)}
        found |= client.run(library_versions)
    except ImportError as error:
        raise SettingsError(
            f"the cluster cannot import what it is to do: {error}",
            hint="install the same algotrade on the scheduler and on every worker",
        ) from error
    for worker, theirs in found.items():
        wrong = [name for name in mine if theirs.get(name) != mine[name]]
        if wrong:
            name = wrong[0]
            raise SettingsError(
                f"{worker} has {name} {theirs.get(name)}, here it is {mine[name]}",
                hint="install the same versions on every worker",
            )


def library_versions() -> dict[str, str]:
    """Give the versions that the bits of a result depend on, of the process that is asked."""
    import sys
    from importlib.metadata import version

    found = {name: version(name) for name in ("numpy", "scipy", "scikit-learn")}
    return {"algotrade": __version__, "python": ".".join(map(str, sys.version_info[:3])), **found}


def _quiet() -> None:
    """Keep the library's log off the screen: what matters comes as an error."""
    import logging

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
