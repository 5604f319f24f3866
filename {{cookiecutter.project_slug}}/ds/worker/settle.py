"""How an attempt ended, and what happens then to its message and its log."""

import logging
from collections.abc import Callable, Mapping

from ds.jobs.message import InvalidMessage
from ds.jobs.problems import BadInput
from ds.jobs.record import Outcome
from ds.worker.lease import Lease
from ds.worker.s3 import TransferFailed
from ds.worker.sqs import JobQueue
from ds.worker.stop import Failed, Hopeless, Interrupted, Lost, NotStarted, SharedInputFailed

logger = logging.getLogger("ds.worker")

JOB_CODES = ("404", "NoSuchKey", "412", "PreconditionFailed")
"""Errors of S3 that are the fault of the job's input; an upstream process may still write it."""

HOPELESS_CODES = ("InvalidObjectState", "KeyTooLongError")
"""The object is archived; the key cannot exist."""

EITHER_CODES = ("403", "AccessDenied", "NoSuchBucket", "PermanentRedirect", "ENOSPC", "EDQUOT")
"""One job's input is forbidden or larger than the disk, or the worker has no rights or disk."""


def outcome_of(
    error: Exception, began: bool, blames_job: Callable[[], bool]
) -> tuple[Outcome, str]:
    """Return the outcome of an attempt that failed, and its reason.

    Before its command `began`, only what certainly is the job's own fault is a failure: a worker
    without disk, network or rights must not use up the attempts of jobs.
    """
    reason = str(error)
    if isinstance(error, InvalidMessage | BadInput):
        return "invalid", f"invalid message: {one_line(error)}"
    if isinstance(error, Lost):
        return "lost", reason
    if isinstance(error, Interrupted):
        return "interrupted", reason
    if isinstance(error, Hopeless):
        return "dead", reason
    if not isinstance(error, Failed):
        logger.error("the worker failed", exc_info=error)
        reason = f"the worker failed: {type(error).__name__}: {error}"
    if isinstance(error, NotStarted | SharedInputFailed):
        return "not_started", reason
    if not began and isinstance(error, TransferFailed):
        if error.code in HOPELESS_CODES:
            return "dead", reason
        job = error.code in JOB_CODES or (error.code in EITHER_CODES and blames_job())
        return ("failed" if job else "not_started"), reason
    return ("failed" if began or isinstance(error, Failed) else "not_started"), reason


def settle(
    outcome: Outcome,
    lease: Lease,
    queue: JobQueue,
    *,
    keep_log: Callable[[], None],
    attributes: Mapping[str, str],
    retry_seconds: float,
) -> None:
    """Delete, release or dead-letter (with `attributes`) a message; keep the log if it failed."""
    if outcome in ("failed", "dead", "not_started"):
        keep_log()
    receipt = lease.message.receipt
    if lease.held:  # otherwise SQS would change the visibility for the worker that has it by now
        match outcome:
            case "done" | "skipped":
                queue.delete(receipt)
            case "failed" | "not_started":
                queue.release(receipt, retry_seconds)
            case "dead" | "invalid":
                queue.dead_letter(lease.message, attributes)
            case "interrupted":
                queue.release(receipt, 0)
    if outcome == "interrupted":  # last, so that another worker need not wait
        keep_log()


def one_line(error: Exception) -> str:
    """Return an error's text; several problems become one line."""
    if isinstance(error, BadInput):
        return ", ".join(f"{problem.where} {problem.message}" for problem in error.problems)
    return str(error)
