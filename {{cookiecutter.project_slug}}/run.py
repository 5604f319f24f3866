"""Run the jobs of this implementation: python run.py COMMAND (python run.py --help lists them)."""

import sys
from pathlib import Path

# Old versions of Python must be able to parse this file, so that they report this.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("Python 3.11 or newer is required.")


def start(program: str) -> None:
    """Run the command line of this process; report a package that is not installed."""
    try:
        from ds.control.cli import main

        main(Path(__file__).resolve().parent, program)
    except ModuleNotFoundError as missing:
        if (missing.name or "").split(".")[0] == "ds":
            raise
        sys.stderr.write(
            f"The Python package '{missing.name}' is not installed; use `make`, which installs "
            "it, or run pip install -r requirements.txt\n"
        )
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    start("run.py")
