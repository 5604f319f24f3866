"""A worker: does as many jobs at a time as it has slots, until it is told to end."""

from __future__ import annotations

import logging
import os
import queue
import signal
import socket
import tempfile
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from ds.jobs.definition import JobDefinition
from ds.jobs.environment import WorkerSettings
from ds.jobs.record import Record
from ds.worker.attempt import WorkerContext, attempt, remove
from ds.worker.lease import Lease, Leases
from ds.worker.logs import WorkerLogs
from ds.worker.process import adopt_orphans
from ds.worker.resources import Cgroup, ResourceMonitor, host_identity
from ds.worker.s3 import THREADS, SharedInputs, Storage
from ds.worker.sqs import BATCH, JobQueue

log = logging.getLogger("ds.worker")

ENDING_SECONDS = 90
"""What attempts that check or upload may take after SIGTERM; ECS kills after 120."""

QUEUE_GONE = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")


class CannotStart(Exception):
    """The worker cannot do its work; the text says why."""


def serve(settings: WorkerSettings, definition: JobDefinition) -> None:
    """Do jobs until SIGTERM or SIGINT.

    Args:
        settings: from the environment.
        definition: of job.py.

    Raises:
        CannotStart: AWS refused the queue, or job.py's `on_start` failed, or there is no place
            for files, or the queue vanished.
    """
    adopt_orphans()
    try:
        scratch = Path(tempfile.mkdtemp(prefix="ds-", dir=settings.scratch or None))
    except OSError as error:
        todo = "let DS_SCRATCH name a folder that this user may write to"
        raise CannotStart(f"no place for its files: {error}; {todo}") from error
    where = host_identity(os.environ)
    name = f"{where.machine or socket.gethostname()}-{where.task[:12] or os.getpid()}"
    region = os.environ.get("AWS_REGION")
    config = Config(
        retries={"mode": "standard", "max_attempts": 10},
        max_pool_connections=THREADS + settings.DOCKER_CORES + 4,
    )
    # For receiving and renewing: one request that hangs must not take as long as a message is
    # hidden, and both are asked again soon by themselves.
    quick = config.merge(
        Config(
            connect_timeout=5,
            read_timeout=settings.poll_seconds + 5,
            retries={"mode": "standard", "max_attempts": 2},
        )
    )
    queues = (settings.queue_url, settings.dead_letter_url)
    try:
        jobs = JobQueue(boto3.client("sqs", region_name=region, config=config), *queues)
        held = JobQueue(boto3.client("sqs", region_name=region, config=quick), *queues)
        jobs.probe()
        if "on_start" in definition.functions:
            definition.functions["on_start"]()
    except (BotoCoreError, ClientError) as error:
        raise CannotStart(f"its queues cannot be used: {error}") from error
    except Exception as error:
        raise CannotStart(f"job.py, on_start() fails: {type(error).__name__}: {error}") from error
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    cgroup = Cgroup()
    storage = Storage(boto3.client("s3", region_name=region, config=config))
    logs = WorkerLogs(
        boto3.client("logs", region_name=region, config=config),
        settings.LOG_GROUP_NAME,
        settings.record_group,
        name,
        settings.DOCKER_CORES,
    )
    context = WorkerContext(
        settings=settings,
        definition=definition,
        queue=jobs,
        storage=storage,
        shared_inputs=SharedInputs(storage),
        logs=logs,
        worker=name,
        stopping=stopping,
        scratch=scratch,
        cgroup=cgroup,
    )
    kind = f" on {where.machine_type}" if where.machine_type else ""
    log.info("worker %s%s, %d slots, begins", name, kind, settings.DOCKER_CORES)
    try:
        with ResourceMonitor(scratch, partial(logs.line, "machine"), cgroup):
            _Slots(context, Leases(held, settings.visibility_seconds, context.clock)).serve()
    finally:
        logs.close()
        storage.close()
        remove(scratch)
    log.info("worker %s has ended", name)


class _Slots:
    """Fills free slots with messages; one poll and one renewal serve all slots."""

    def __init__(self, context: WorkerContext, leases: Leases) -> None:
        self._context = context
        self._stopping = context.stopping
        self._leases = leases
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(context.settings.DOCKER_CORES):
            self._free.put(slot)
        # A part of the visibility, because a lease counts from the request's beginning.
        longest = int(context.settings.visibility_seconds / 4)
        self._wait_seconds = max(1, min(context.settings.poll_seconds, longest))
        self._pool = ThreadPoolExecutor(context.settings.DOCKER_CORES)
        self._running: set[Future[Record]] = set()
        self._trouble: str | None = None

    def serve(self) -> None:
        heart = threading.Thread(target=self._leases.keep_renewing, daemon=True)
        heart.start()
        poller = threading.Thread(target=self._poll, daemon=True)
        poller.start()
        self._stopping.wait()
        poller.join(self._wait_seconds + 2)
        unfinished = wait(self._running.copy(), timeout=ENDING_SECONDS).not_done
        self._leases.end()
        self._pool.shutdown(wait=False)
        if unfinished:
            log.error("%d attempts did not end in %d s", len(unfinished), ENDING_SECONDS)
            logging.shutdown()
            os._exit(1)
        if self._trouble:
            raise CannotStart(self._trouble)

    def _poll(self) -> None:
        pause = 1.0
        while slots := self._free_slots():
            try:
                leases = self._leases.receive(len(slots), self._wait_seconds)
                pause = 1.0
            except (BotoCoreError, ClientError) as error:
                leases = []
                if isinstance(error, ClientError) and _code(error) in QUEUE_GONE:
                    self._trouble = f"its queue is gone: {error}"
                    self._stopping.set()
                else:
                    log.warning("could not receive, again in %d s: %s", pause, error)
                    self._stopping.wait(pause)
                    pause = min(2 * pause, 30)
            for slot in slots[len(leases) :]:
                self._free.put(slot)
            for lease, slot in zip(leases, slots, strict=False):
                self._begin(lease, slot)

    def _free_slots(self) -> list[int]:
        """At least one free slot, as soon as there is one; none when the worker must end."""
        while not self._stopping.is_set():
            try:
                slots = [self._free.get(timeout=0.5)]
            except queue.Empty:
                continue
            while len(slots) < BATCH and not self._free.empty():
                slots.append(self._free.get())
            return slots
        return []

    def _begin(self, lease: Lease, slot: int) -> None:
        if self._stopping.is_set():
            self._leases.drop(lease)
            self._context.queue.release(lease.message.receipt, 0)
            return
        future = self._pool.submit(self._attempt, lease, slot)
        self._running.add(future)
        future.add_done_callback(self._running.discard)

    def _attempt(self, lease: Lease, slot: int) -> Record:
        threading.current_thread().name = f"slot-{slot}"  # which names its log stream
        try:
            record = attempt(lease, slot, self._context)
        finally:
            self._leases.drop(lease)
            self._free.put(slot)
        log.info(
            "%s attempt %d: %s %s", record.job_id, record.attempt, record.outcome, record.reason
        )
        return record


def _code(error: ClientError) -> str:
    return error.response["Error"]["Code"]
