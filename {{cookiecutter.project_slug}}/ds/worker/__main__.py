"""`python -m ds.worker [JOB_PY]`: what a container runs. It is told everything by its environment,
and does the jobs of the given job.py, by default the one in the current folder.

Exit codes: 0 after SIGTERM, 2 where it cannot work (one line says why).
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path


def main() -> int:
    """Run a worker; returns its exit code."""
    for number in (signal.SIGTERM, signal.SIGINT):
        # Until there are jobs to care for. As a container's first process it has no default
        # for signals: it would not hear them.
        signal.signal(number, lambda *_: sys.exit(0))
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("ds").setLevel(logging.INFO)
    try:
        # Here, because they take a second to load.
        from ds.jobs.definition import load_job_definition
        from ds.jobs.environment import WorkerSettings
        from ds.jobs.problems import BadInput
        from ds.worker.service import CannotStart, serve
    except ImportError as error:
        sys.stderr.write(f"worker: cannot work: {error}; build the image again (make image)\n")
        return 2
    try:
        settings = WorkerSettings.read(os.environ)
        serve(settings, load_job_definition(Path(*sys.argv[1:2] or ["job.py"]), settings.program))
    except BadInput as error:
        sys.stderr.writelines(f"worker: {problem}\n" for problem in error.problems)
        return 2
    except CannotStart as error:
        said = " ".join(str(error).split())  # AWS may say it in several lines
        sys.stderr.write(f"worker: cannot work: {said}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
