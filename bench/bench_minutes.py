"""A year of minute bars of ten symbols through the program: memory, speed, and a kill.

    python bench/bench_minutes.py [SYMBOLS] [SESSIONS]

The server is a process of its own on loopback, so that the peak of memory is that of `algotrade
fetch --timeframe 1m` alone. The seconds are the whole program's, its start and the server's work
among them. Then a second home is fetched into, killed with SIGKILL at two fifths, and resumed: it
must end with the very same rows, and between the two every month must be there whole or not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

BUDGET_MB = 300
LAST = "2026-11-20"
NOW = f"{LAST}T21:05:00Z"
KEY = "test-key-9f3b2c"
PROGRAM = str(Path(sys.executable).with_name("algotrade"))
ROWS = (
    "SELECT symbol, ts_close, seconds, open, high, low, close, volume, known_at"
    " FROM bars JOIN series USING (series_id) ORDER BY symbol, ts_close"
)
MONTHS = (
    "SELECT symbol, strftime('%Y-%m', ts_close / 1000000, 'unixepoch'), count(*)"
    " FROM bars JOIN series USING (series_id) GROUP BY 1, 2"
)


@dataclass(frozen=True, kw_only=True)
class Ran:
    """How a run of the program went."""

    code: int
    seconds: float
    peak_mb: float


def serve(symbols: int, sessions: int) -> None:
    """Generate, serve and tell where, until the other side of stdin goes away."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    import polygon_server

    minutes = {
        f"M{chr(65 + n)}": polygon_server.plausible_minutes(sessions, seed=n)
        for n in range(symbols)
    }
    with polygon_server.PolygonServer(minutes=minutes, page_size=50_000) as server:
        first = minutes["MA"][0]["t"]
        print(server.base, first, ",".join(minutes), flush=True)
        for line in sys.stdin:  # each line asks how many calls came so far
            print(len(server.calls), line.strip(), flush=True)


def fetch(base: str, home: Path, *arguments: str, kill_after: float | None = None) -> Ran:
    """Run the program, to its end or to ours."""
    env = {
        "PATH": "/usr/bin:/bin",
        "HOME": "/nonexistent",
        "ALGOTRADE_HOME": str(home),
        "ALGOTRADE_API_BASE": base,
        "ALGOTRADE_RATE": "0",
        "ALGOTRADE_NOW": NOW,
        "POLYGON_API_KEY": KEY,
    }
    command = [PROGRAM, "fetch", *arguments, "--timeframe", "1m", "-q"]
    began = time.perf_counter()
    child = subprocess.Popen(command, env=env)
    if kill_after is not None:
        time.sleep(kill_after)
        child.send_signal(signal.SIGKILL)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    return Ran(code=child.returncode, seconds=seconds, peak_mb=usage.ru_maxrss / 1024)


def ask(home: Path, query: str) -> list[tuple[object, ...]]:
    """Read the store behind the program's back."""
    with contextlib.closing(sqlite3.connect(home / "data" / "algotrade.db")) as db:
        return db.execute(query).fetchall()


def digest(home: Path) -> tuple[int, str]:
    """Count all rows, and give a digest of them."""
    found, count = hashlib.sha256(), 0
    with contextlib.closing(sqlite3.connect(home / "data" / "algotrade.db")) as db:
        for row in db.execute(ROWS):
            found.update(repr(row).encode())
            count += 1
    return count, found.hexdigest()


def measure(server: subprocess.Popen[str], folder: Path) -> bool:
    """Measure and print; tell whether everything held."""
    if server.stdout is None or server.stdin is None:
        return False
    base, first, names = server.stdout.readline().split()
    start = time.strftime("%Y-%m-%d", time.gmtime(int(first) / 1000))
    arguments = (names, "--from", start)

    def calls() -> int:
        server.stdin.write("calls\n")  # type: ignore[union-attr]
        server.stdin.flush()  # type: ignore[union-attr]
        return int(server.stdout.readline().split()[0])  # type: ignore[union-attr]

    whole = fetch(base, folder / "whole", *arguments)
    rows, expected = digest(folder / "whole")
    asked = calls()
    again = fetch(base, folder / "whole", *arguments)
    second = calls() - asked
    size = (folder / "whole" / "data" / "algotrade.db").stat().st_size
    cut = fetch(base, folder / "cut", *arguments, kill_after=0.4 * whole.seconds)
    months = {row[:2]: row[2] for row in ask(folder / "whole", MONTHS)}
    kept = {row[:2]: row[2] for row in ask(folder / "cut", MONTHS)}
    torn = [month for month, count in kept.items() if months[month] != count]
    resumed = fetch(base, folder / "cut", *arguments)
    print(f"{rows:,} minute bars of {len(names.split(','))} symbols from {start} to {LAST}")
    print(f"whole fetch      {whole.seconds:6.1f} s, {rows / whole.seconds:,.0f} rows/s", end="")
    print(f", {asked} calls, peak {whole.peak_mb:.0f} MB (budget {BUDGET_MB})")
    print(f"second fetch     {again.seconds:6.1f} s, {second} calls, peak {again.peak_mb:.0f} MB")
    print(f"store            {size / rows:6.1f} bytes a bar")
    print(
        f"killed after     {cut.seconds:6.1f} s: {len(kept)} of {len(months)} months kept", end=""
    )
    print(f", {len(torn)} of them torn")
    print(f"resumed          {resumed.seconds:6.1f} s, peak {resumed.peak_mb:.0f} MB", end="")
    same = digest(folder / "cut") == (rows, expected)
    print(f", rows {'equal, hash for hash' if same else 'DIFFER'}")
    codes = (whole.code, again.code, cut.code, resumed.code)
    peak = max(whole.peak_mb, again.peak_mb, resumed.peak_mb)
    return codes == (0, 0, -signal.SIGKILL, 0) and same and not torn and peak <= BUDGET_MB


def main() -> None:
    """Start the server, measure, and end both."""
    numbers = [int(text) for text in sys.argv[1:] if text.isdigit()]
    symbols, sessions = (numbers + [10, 257][len(numbers) :])[:2]
    if "--serve" in sys.argv:
        serve(symbols, sessions)
        return
    folder = Path(tempfile.mkdtemp(prefix="bench_minutes"))
    command = [sys.executable, __file__, str(symbols), str(sessions), "--serve"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            held = measure(server, folder)
        finally:
            shutil.rmtree(folder)
            server.terminate()
    sys.exit(not held)


if __name__ == "__main__":
    main()
