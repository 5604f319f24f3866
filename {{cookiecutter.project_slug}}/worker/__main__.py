"""`python -m worker`: what a container runs. It is told everything by its environment.

Exit codes: 0 after SIGTERM, 2 where it cannot work (one line says why).
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from worker.definition import load
from worker.problems import BadInput
from worker.settings import WorkerSettings
from worker.slots import CannotStart, serve


def main() -> int:
    """Run a worker; returns its exit code."""
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("ds").setLevel(logging.INFO)
    try:
        settings = WorkerSettings.read(os.environ)
        serve(settings, load(Path("job.py"), settings.config))
    except BadInput as error:
        sys.stderr.writelines(f"worker: {problem}\n" for problem in error.problems)
        return 2
    except CannotStart as error:
        sys.stderr.write(f"worker: cannot work: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
