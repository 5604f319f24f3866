"""Run the jobs of this implementation: python run.py COMMAND (python run.py --help lists them)."""

import sys
from pathlib import Path

# Old versions of Python read this file too, so that they can report their version.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("Python 3.11 or newer is required; nothing was done.")

if __name__ == "__main__":
    try:
        from ds.control.cli import main

        main(Path(__file__).resolve().parent)
    except ModuleNotFoundError as missing:
        if (missing.name or "").split(".")[0] == "ds":
            raise
        sys.stderr.write(
            f"The Python package '{missing.name}' is not installed; use `make`, which lists its "
            "targets, or run pip install -r requirements.txt\n"
        )
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
