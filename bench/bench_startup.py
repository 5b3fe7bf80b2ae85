"""Start-up of whole processes, as ratios to `python -c "import typer"` in the same run.

    python bench/bench_startup.py [ROUNDS]

Makes a scratch home on the built-in sample, then takes the commands in turn, round by round, so
that a machine that slows down slows all of them; prints the median of the per-round ratios.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PYTHON = sys.executable
PROGRAM = str(Path(PYTHON).with_name("algotrade"))
REFERENCE = [PYTHON, "-c", "import typer"]
BUDGETS = {  # ratio that must hold, and the one to aim for
    "--help": (2.2, 1.3),
    "portfolio": (1.8, 1.3),
    "risk": (1.8, 1.3),
    "risk check": (1.8, 1.3),
    "predict AAPL": (3.0, 1.3),
    "trade --symbol AAPL --qty 10 --dry-run": (3.0, 1.3),
}


def seconds(command: list[str], env: dict[str, str]) -> float:
    """Give the wall time of one process."""
    began = time.perf_counter()
    subprocess.run(command, env=env, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    with tempfile.TemporaryDirectory() as home:
        env = {"PATH": os.environ["PATH"], "HOME": home, "ALGOTRADE_HOME": home}
        for line in ("fetch AAPL", "train", "trade --symbol AAPL --qty 10"):
            subprocess.run([PROGRAM, *line.split(), "-q"], env=env, check=True)
        commands = {name: [PROGRAM, *name.split()] for name in BUDGETS}
        ratios: dict[str, list[float]] = {name: [] for name in BUDGETS}
        seconds(REFERENCE, env)
        for _ in range(rounds):
            reference = (seconds(REFERENCE, env) + seconds(REFERENCE, env)) / 2
            for name, command in commands.items():
                ratios[name].append(seconds(command, env) / reference)
    over = False
    for name, found in ratios.items():
        budget, aim = BUDGETS[name]
        ratio = statistics.median(found)
        over |= ratio > budget
        print(f"{name:<42} {ratio:5.2f} x import typer (budget {budget}, aim {aim})")
    sys.exit(over)


if __name__ == "__main__":
    main()
