"""Run the jobs of this repository: python run.py COMMAND (python run.py --help lists them)."""

import sys
from pathlib import Path

if sys.version_info < (3, 11):
    sys.exit("This needs Python 3.11 or newer; `make` finds or says so. Nothing was done.")

try:
    from control.cli import main
except ModuleNotFoundError as missing:
    if (missing.name or "").split(".")[0] in ("control", "worker"):
        raise
    print(
        f"The Python package '{missing.name}' is not installed here; use `make local`, `make show`, "
        "..., or first: pip install -r requirements.txt",
        file=sys.stderr,
    )
    sys.exit(2)

if __name__ == "__main__":
    main(Path(__file__).resolve().parent)
