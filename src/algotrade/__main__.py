"""Run the command line with `python -m algotrade`."""

from algotrade.cli.main import run

run()
