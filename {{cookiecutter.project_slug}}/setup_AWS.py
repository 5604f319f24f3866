"""Make the roles that runs on AWS need, once in an account: python setup_AWS.py --help."""

import sys
from pathlib import Path

# Read by old Pythons too, so that they say what is wrong.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("This needs Python 3.11 or newer. Nothing was done.")

try:
    from ds.control.cli import main_setup_aws
except ModuleNotFoundError as missing:
    if (missing.name or "").split(".")[0] == "ds":
        raise
    sys.stderr.write(
        f"The Python package '{missing.name}' is not installed here: use `make` (it lists what it "
        "can do), or first pip install -r requirements.txt\n"
    )
    sys.exit(2)
except KeyboardInterrupt:
    sys.exit(130)

if __name__ == "__main__":
    main_setup_aws(Path(__file__).resolve().parent)
