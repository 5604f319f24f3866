"""The outcome of an attempt, and what then happens to its message and log."""

import logging
from collections.abc import Callable, Mapping, Sequence

from ds.jobs.message import InvalidMessage
from ds.jobs.problems import BadInput
from ds.jobs.record import Outcome
from ds.worker.sqs import JobQueue, Received
from ds.worker.stop import Failed, Interrupted, Lost

logger = logging.getLogger("ds.worker")


def outcome_of(error: Exception, attempt: int, retries: int) -> tuple[Outcome, str]:
    """Return the outcome and the reason of attempt number `attempt` of at most `retries`."""
    reason = str(error)
    if isinstance(error, InvalidMessage | BadInput):
        return "invalid", f"invalid message: {one_line(error)}"
    if isinstance(error, Lost):
        return "lost", reason
    if isinstance(error, Interrupted):
        return "interrupted", reason
    if not isinstance(error, Failed):
        logger.error("the worker failed", exc_info=error)
        reason = f"the worker failed: {type(error).__name__}: {error}"
    return ("dead" if attempt >= retries else "failed"), reason


def settle(
    outcome: Outcome,
    message: Received,
    queue: JobQueue,
    *,
    keep_log: Callable[[], None],
    attributes: Mapping[str, str],
    retry_delays: Sequence[float],
) -> None:
    """Delete, release or dead-letter (with `attributes`) a message; keep the log of an attempt that
    did not succeed."""
    match outcome:
        case "done" | "skipped":
            queue.delete(message.receipt)
        case "failed":
            keep_log()
            delay = retry_delays[min(message.attempt, len(retry_delays)) - 1]
            queue.release(message.receipt, delay)
        case "dead":
            keep_log()
            queue.dead_letter(message, attributes)
        case "invalid":
            queue.dead_letter(message, attributes)
        case "interrupted":
            queue.release(message.receipt, 0)  # first, so that another worker does not have to wait
            keep_log()
        case "lost":
            pass  # the message and the log may belong to another worker now


def one_line(error: Exception) -> str:
    """Return an error's text; join several problems on one line."""
    if isinstance(error, BadInput):
        return ", ".join(f"{problem.where} {problem.message}" for problem in error.problems)
    return str(error)
