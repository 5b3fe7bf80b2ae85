# Each target is one line a person could type; `make check` is what CI runs after the README.
BIN := .venv/bin

.PHONY: setup demo test lint types bench check

setup:  ## a .venv with everything for development
	python3 -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'

demo:  ## from nothing to a report, without a key or a network
	$(BIN)/algotrade demo

test:
	$(BIN)/python -m pytest -q

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

bench:  ## each prints its ratio against a named peer or floor
	failed=0; for script in bench/bench_*.py; do $(BIN)/python $$script || failed=1; done; exit $$failed

check: lint types test
