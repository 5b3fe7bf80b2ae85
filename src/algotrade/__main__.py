"""Where a run begins and ends: `algotrade`, or `python -m algotrade`."""

import gc


def main() -> None:
    """Run the command line.

    What is imported stays to the end, so looking through it for garbage, while it is made or at
    the exit, is time lost: a sixth of a short command.
    """
    gc.disable()
    from algotrade.cli.main import run

    gc.freeze()
    gc.enable()
    try:
        run()
    finally:
        gc.freeze()


if __name__ == "__main__":
    main()
