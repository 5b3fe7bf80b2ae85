# Each target is one line a person could type; `make check` is what CI runs after the README.
BIN := .venv/bin

.PHONY: setup demo test whole lint types bench check

setup:  ## a .venv with everything for development
	python3 -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'

demo:  ## from nothing to a report, without a key or a network
	$(BIN)/algotrade demo

test:
	$(BIN)/python -m pytest -q

whole:  ## every branch of the arithmetic of risk, orders and ledger is walked by their own tests
	$(BIN)/python -m pytest -q --cov=algotrade --cov-branch --cov-report= tests/test_domain_*.py tests/test_trading_ri*.py tests/test_trading_rules.py tests/test_trading_losses.py tests/test_trading_outlook.py tests/test_order_life.py
	$(BIN)/coverage report -m --fail-under=100 --include='*/domain/r*.py,*/domain/orders.py,*/domain/ledger.py,*/trading/risk*.py,*/trading/losses.py,*/trading/outlook.py'

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

bench:  ## each prints its ratio against a named peer or floor
	failed=0; for script in bench/bench_*.py; do $(BIN)/python $$script || failed=1; done; exit $$failed

check: lint types test
