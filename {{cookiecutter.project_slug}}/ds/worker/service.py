"""A worker: receives and runs jobs for all its slots until SIGTERM."""

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
from ds.worker.attempt import Attempt, WorkerContext
from ds.worker.identity import host_identity
from ds.worker.inputs import SharedInputs
from ds.worker.lease import Lease, Leases
from ds.worker.logs import WorkerLogs
from ds.worker.process import adopt_orphans
from ds.worker.program import remove_folder
from ds.worker.resources import Cgroup, monitored
from ds.worker.s3 import THREADS, Storage
from ds.worker.sqs import BATCH, JobQueue
from ds.worker.stop import StopFlag

logger = logging.getLogger("ds.worker")

ENDING_SECONDS = 90
"""Time after SIGTERM for attempts to finish checks and uploads; ECS sends SIGKILL after 120 s."""

QUEUE_GONE = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")


class CannotWork(Exception):
    """The worker cannot run any job."""


def serve(settings: WorkerSettings, definition: JobDefinition) -> None:
    """Run jobs until SIGTERM or SIGINT; raise CannotWork if that is not possible."""
    adopt_orphans()
    where = host_identity(os.environ)
    name = f"{where.machine or socket.gethostname()}-{where.task[:12] or os.getpid()}"
    config = Config(
        region_name=os.environ.get("AWS_REGION"),
        retries={"mode": "standard", "max_attempts": 10},
        max_pool_connections=THREADS + settings.DOCKER_CORES + 4,
    )
    jobs, held = _open_queues(settings, config)
    _start(definition)
    stopping = StopFlag()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    scratch = _create_scratch(settings.scratch)
    storage = Storage(boto3.client("s3", config=config))
    logs = WorkerLogs(
        boto3.client("logs", config=config),
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
        cgroup=Cgroup(),
    )
    kind = f" on {where.machine_type}" if where.machine_type else ""
    logger.info("worker %s%s started with %d slots", name, kind, settings.DOCKER_CORES)
    try:
        with monitored(scratch, partial(logs.line, "machine"), context.cgroup):
            Slots(context, Leases(held, settings.visibility_seconds, context.clock)).serve()
    finally:
        logs.close()
        storage.close()
        remove_folder(scratch)
    logger.info("worker %s ended", name)


def _create_scratch(parent: str) -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="ds-", dir=parent or None))
    except OSError as error:
        hint = "set DS_SCRATCH to a folder that this user can write to"
        raise CannotWork(f"cannot create a folder for its files: {error}; {hint}") from error


def _open_queues(settings: WorkerSettings, config: Config) -> tuple[JobQueue, JobQueue]:
    """Return two clients of the queues: one to settle messages, one to receive and renew them. The
    second client's requests time out long before the visibility timeout, and are soon repeated."""
    quick = Config(
        connect_timeout=5,
        read_timeout=settings.poll_seconds + 5,
        retries={"mode": "standard", "max_attempts": 2},
    )
    urls = (settings.queue_url, settings.dead_letter_url)
    try:
        jobs = JobQueue(boto3.client("sqs", config=config), *urls)
        jobs.probe()
        return jobs, JobQueue(boto3.client("sqs", config=config.merge(quick)), *urls)
    except (BotoCoreError, ClientError) as error:
        hint = "check that the run still exists, and the rights of its task role"
        raise CannotWork(f"the queues cannot be used: {error}; {hint}") from error


def _start(definition: JobDefinition) -> None:
    try:
        definition.functions.get("on_start", lambda: None)()
    except Exception as error:
        problem = f"fails: {type(error).__name__}: {error}; correct it"
        raise CannotWork(f"job.py, on_start(): {problem}") from error


class Slots:
    """The slots of a worker; one poll and one renewal serve all of them."""

    def __init__(self, context: WorkerContext, leases: Leases) -> None:
        self._context = context
        self._stopping = context.stopping
        self._leases = leases
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(context.settings.DOCKER_CORES):
            self._free.put(slot)
        self._poll_seconds = context.settings.poll_seconds
        self._pool = ThreadPoolExecutor(context.settings.DOCKER_CORES)
        self._running: set[Future[Record]] = set()
        self._trouble: str | None = None

    def serve(self) -> None:
        renewer = threading.Thread(target=self._leases.keep_renewing, daemon=True)
        renewer.start()
        poller = threading.Thread(target=self._poll, daemon=True)
        poller.start()
        self._stopping.wait()
        poller.join(self._poll_seconds + 2)
        unfinished = wait(self._running.copy(), timeout=ENDING_SECONDS).not_done
        self._leases.end()
        self._pool.shutdown(wait=False)
        if unfinished:
            logger.error("%d attempts did not end in %d s", len(unfinished), ENDING_SECONDS)
            logging.shutdown()
            os._exit(1)
        if self._trouble:
            raise CannotWork(self._trouble)

    def _poll(self) -> None:
        pause = 1.0
        while slots := self._free_slots():
            try:
                leases = self._leases.receive(len(slots), self._poll_seconds)
                pause = 1.0
            except (BotoCoreError, ClientError) as error:
                leases = []
                if isinstance(error, ClientError) and error.response["Error"]["Code"] in QUEUE_GONE:
                    self._trouble = f"the queue no longer exists: {error}"
                    self._stopping.set()
                else:
                    logger.warning("cannot receive; next try in %d s: %s", pause, error)
                    self._stopping.wait(pause)
                    pause = min(2 * pause, 30)
            for slot in slots[len(leases) :]:
                self._free.put(slot)
            for lease, slot in zip(leases, slots, strict=False):
                self._begin(lease, slot)

    def _free_slots(self) -> list[int]:
        """Wait for a free slot and return all free slots; none if the worker must stop."""
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
        threading.current_thread().name = f"slot-{slot}"  # the name of its log stream
        try:
            record = Attempt(lease, slot, self._context).perform()
        finally:
            self._leases.drop(lease)
            self._free.put(slot)
        logger.info(
            "%s attempt %d: %s %s", record.job_id, record.attempt, record.outcome, record.reason
        )
        return record
