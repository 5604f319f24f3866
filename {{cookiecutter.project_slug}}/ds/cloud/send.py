"""Sending of jobs as messages: in batches, from several threads, with little memory."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from ds.cloud.errors import CommandError
from ds.jobs.message import Job

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient
    from types_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef as Entry

BATCH_MESSAGES = 10
BATCH_BYTES = 1024 * 1024
"""Limits of one SendMessageBatch request ("Amazon SQS message quotas")."""

WAITS = (0.5, 1, 2, 4, 8, 16, 30)
"""Seconds to wait before each resend of the messages that SQS refused."""


def batches(jobs: Iterable[Job]) -> Iterator[list[str]]:
    """Yield the bodies of the messages, in the largest batches that one request may contain."""
    batch: list[str] = []
    size = 0
    for job in jobs:
        body = job.body()
        if batch and (len(batch) == BATCH_MESSAGES or size + len(body) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(body)
        size += len(body)
    if batch:
        yield batch


def send(
    jobs: Iterable[Job],
    queue_url: str,
    sqs: SQSClient,
    threads: int = 8,
    on_sent: Callable[[int], None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
    on_batch: Callable[[int, int], None] | None = None,
) -> int:
    """Send every job; return the number of jobs.

    Args:
        jobs: only a few batches of them are in memory at a time.
        queue_url: the URL of the queue.
        sqs: a client with at least as many connections as `threads`.
        threads: number of concurrent requests.
        on_sent: called after each batch with the number of jobs sent, in the order of `jobs`.
        sleep: waits for a number of seconds.
        on_batch: called with the index in `jobs` of a batch's first job and the batch's size, as
            soon as SQS has the whole batch: from several threads, in any order, and even after an
            error in another batch.

    Raises:
        CommandError: SQS refused messages permanently.
    """
    sent = begun = 0
    window: deque[tuple[int, Future[None]]] = deque()

    def settle() -> None:
        nonlocal sent
        size, future = window.popleft()
        future.result()
        sent += size
        if on_sent:
            on_sent(sent)

    def one(batch: list[str], first: int) -> None:
        _send(batch, queue_url, sqs, sleep)
        if on_batch:
            on_batch(first, len(batch))

    with ThreadPoolExecutor(threads) as pool:
        try:
            for batch in batches(jobs):
                window.append((len(batch), pool.submit(one, batch, begun)))
                begun += len(batch)
                if len(window) >= 2 * threads:
                    settle()
            while window:
                settle()
        finally:
            for _, future in window:
                future.cancel()
    return sent


def _send(
    bodies: list[str], queue_url: str, sqs: SQSClient, sleep: Callable[[float], None]
) -> None:
    """Send one batch, then resend only the messages that SQS refused."""
    entries: list[Entry] = [
        {"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies)
    ]
    for wait in (*WAITS, None):
        answer = sqs.send_message_batch(QueueUrl=queue_url, Entries=entries)
        failed = {failure["Id"]: failure for failure in answer.get("Failed", [])}
        if not failed:
            return
        entries = [entry for entry in entries if entry["Id"] in failed]
        worst = max(failed.values(), key=lambda failure: failure["SenderFault"])
        if worst["SenderFault"] or wait is None:
            reason = f"{worst['Code']}: {worst.get('Message', '')}".rstrip(": ")
            raise CommandError(
                f"SQS refused {len(entries)} of {len(bodies)} messages: {reason}; fix that, then "
                "run the same command again"
            )
        sleep(wait)
