"""The entry point of a container: `python -m ds.worker [JOB_PY]`.

The worker runs the jobs that the given job.py defines (default: job.py in the current folder). It
reads its settings from the environment. Exit codes: 0 after SIGTERM, 2 if the worker cannot work
(it prints the reason).
"""

import logging
import os
import signal
import sys
from pathlib import Path


def main() -> int:
    """Run a worker; return its exit code."""
    for number in (signal.SIGTERM, signal.SIGINT):
        # The first process of a container has no default handlers: without this one, a signal
        # that arrives before the worker has started would be ignored. The worker has no job yet,
        # so it can exit at once; the interrupted code could swallow an exception (sys.exit).
        signal.signal(number, lambda *_: os._exit(0))
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("ds").setLevel(logging.INFO)
    try:
        # Imported after the handlers are set, because this takes a second.
        from ds.jobs.definition import load_job_definition
        from ds.jobs.environment import WorkerSettings
        from ds.jobs.problems import BadInput
        from ds.worker.service import CannotWork, serve
    except ImportError as error:
        sys.stderr.write(f"worker: cannot work: {error}; build the image again (make image)\n")
        return 2
    try:
        settings = WorkerSettings.read(os.environ)
        serve(settings, load_job_definition(Path(*sys.argv[1:2] or ["job.py"]), settings.program))
    except BadInput as error:
        sys.stderr.writelines(f"worker: {problem}\n" for problem in error.problems)
        return 2
    except CannotWork as error:
        reason = " ".join(str(error).split())  # AWS's own text may have several lines
        sys.stderr.write(f"worker: cannot work: {reason}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
