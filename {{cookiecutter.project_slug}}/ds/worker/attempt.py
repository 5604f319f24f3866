"""One attempt of a job, from its message to its record.

decode the message -> already done? -> fetch inputs -> run the command
-> check exit code and outputs -> upload -> settle the message -> record
"""

import contextlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from ds.jobs.definition import JobDefinition
from ds.jobs.environment import WorkerSettings
from ds.jobs.message import decode
from ds.jobs.outputs import OutputFile
from ds.jobs.problems import BadInput
from ds.jobs.record import Outcome, Record
from ds.jobs.resolve import Folders, ResolvedJob, check_outputs, resolve_job
from ds.jobs.variables import Value
from ds.worker import program
from ds.worker.inputs import SharedInputs, fetch_inputs
from ds.worker.lease import Lease, clock
from ds.worker.logs import AttemptLog, WorkerLogs
from ds.worker.outputs import OutputStore, find_outputs
from ds.worker.process import Finished, run
from ds.worker.resources import Cgroup, Pressure
from ds.worker.s3 import Storage, TransferFailed
from ds.worker.settle import one_line, outcome_of, settle
from ds.worker.sqs import JobQueue
from ds.worker.stop import Failed, Phases, StopFlag, reason_to_stop

logger = logging.getLogger("ds.worker")


@dataclass(frozen=True)
class WorkerContext:
    """The objects that all attempts of a worker share.

    Attributes:
        worker: the worker's name in logs and records.
        stopping: set when the worker must stop.
        scratch: the folder that contains the folders of all attempts.
    """

    settings: WorkerSettings
    definition: JobDefinition
    queue: JobQueue
    storage: Storage
    shared_inputs: SharedInputs
    logs: WorkerLogs
    worker: str
    stopping: StopFlag
    scratch: Path
    cgroup: Cgroup
    run: Callable[..., Finished] = run
    clock: Callable[[], float] = clock


class Attempt:
    """One attempt of a job in a slot of the worker, with its results so far."""

    def __init__(self, lease: Lease, slot: int, context: WorkerContext) -> None:
        self._lease = lease
        self._message = lease.message
        self._slot = slot
        self._context = context
        self._settings = context.settings
        self._folder = context.scratch / f"slot-{slot}"
        self._start = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._phases = Phases(context.clock)
        self._pressure = Pressure(context.scratch, context.cgroup, context.settings.DOCKER_CORES)
        self._job_id = ""
        self._group: Mapping[str, Value] = {}
        self._log: AttemptLog | None = None
        self._store: OutputStore | None = None
        self._finished = Finished(exit_code=None, peak_memory_mb=0, left_over=0)
        self._bytes_in = 0
        self._bytes_out = 0

    def perform(self) -> Record:
        """Run the job; whatever the outcome, settle its message, and send and return its record."""
        outcome: Outcome
        try:
            outcome, reason = self._work()
        except Exception as error:
            attempt, retries = self._message.attempt, self._settings.JOB_RETRIES
            outcome, reason = outcome_of(error, attempt, retries)
            if outcome in ("failed", "dead"):
                reason = self._pressure.explain(reason, self._finished.exit_code)
        self._settle(outcome, reason)
        if self._log:
            with contextlib.suppress(OSError):  # a full disk
                self._log.close()
        program.remove_folder(self._folder)
        record = self._record(outcome, reason)
        self._context.logs.record(record)
        return record

    def _work(self) -> tuple[Outcome, str]:
        context, settings, attempt = self._context, self._settings, self._message.attempt
        job = decode(self._message.body)
        self._job_id, self._group = job.job_id, job.group
        folders = program.create_folders(self._folder, context.scratch / "shared")
        bucket, cores = settings.AWS_BUCKET, settings.CPUS_PER_JOB
        resolved = resolve_job(context.definition, settings.program, job, bucket, folders, cores)
        self._store = store = OutputStore(context.storage, settings, resolved, attempt)
        if settings.CHECK_IF_DONE_BOOL and store.already_done():
            return "skipped", "its outputs already exist"
        self._log = log = AttemptLog(self._folder / "attempt.log", job.job_id, context.logs)
        log.report(f"attempt {attempt} on {context.worker} slot {self._slot}")
        with self._phases.enter("fetch"):
            inputs, shared = resolved.inputs, context.shared_inputs
            self._bytes_in = fetch_inputs(
                inputs, context.storage, shared, self._check_stop, log.report
            )
        Path(folders.job_json).write_text(json.dumps(resolved.document, indent=1))
        with self._phases.enter("run"):
            self._run(resolved, folders, log)
        with self._phases.enter("check"):
            outputs = self._check(resolved, folders, log)
        with self._phases.enter("upload"):
            self._bytes_out = sum(file.size for file in outputs)
            log.report(f"uploading {len(outputs)} files, {self._bytes_out} bytes")
            log.flush()
            store.upload(Path(folders.output), outputs, log.path, self._check_stop)
        self._check_stop()
        return "done", ""

    def _run(self, resolved: ResolvedJob, folders: Folders, log: AttemptLog) -> None:
        log.report(f"running {json.dumps(resolved.arguments, ensure_ascii=False)}")
        tmp = str(self._folder / "tmp")
        self._finished = finished = self._context.run(
            resolved.arguments,
            folder=program.working_folder(self._settings.WORKING_FOLDER, folders.work),
            environment=program.environment(os.environ, resolved.environment, tmp),
            mark=f"{self._context.worker}-{self._slot}-{resolved.job_id}",
            results=folders.output,
            output=log.program,
            check_stop=self._check_stop,
        )
        if finished.stop:
            raise finished.stop
        log.report(f"exit code {finished.exit_code}, peak memory {finished.peak_memory_mb} MB")
        if finished.left_over:
            log.report(f"killed {finished.left_over} processes that the command left behind")

    def _check(self, resolved: ResolvedJob, folders: Folders, log: AttemptLog) -> list[OutputFile]:
        """Return the outputs; raise Failed if the command failed or its outputs are incomplete."""
        if self._finished.exit_code != 0 or self._pressure.spoiled():
            raise Failed(program.exit_reason(self._finished.exit_code, log.last_line))
        outputs = find_outputs(Path(folders.output))
        try:
            reason = self._settings.output_rule.missing(outputs) or check_outputs(
                self._context.definition, resolved.view
            )
        except BadInput as error:
            reason = one_line(error)
        if reason:
            raise Failed(reason)
        return outputs

    def _check_stop(self) -> None:
        """Raise Stop if this attempt must stop; every phase calls this method regularly."""
        self._pressure.sample()
        stop = reason_to_stop(
            self._phases,
            held=self._lease.held,
            stopping=self._context.stopping.is_set(),
            timeout_minutes=self._settings.JOB_TIMEOUT_MINUTES,
        )
        if stop:
            raise stop

    def _settle(self, outcome: Outcome, reason: str) -> None:
        exit_code = self._finished.exit_code
        attributes = {
            "reason": reason,
            "exit_code": "" if exit_code is None else str(exit_code),
            "attempts": str(self._message.attempt),
            "log_key": self._store.log_key if self._store and self._log else "",
            "job_id": self._job_id,
        }
        try:
            settle(
                outcome,
                self._message,
                self._context.queue,
                keep_log=partial(self._keep_log, outcome, reason),
                attributes=attributes,
                retry_delays=self._settings.retry_delays,
            )
        except Exception as error:
            # The job is not lost: its message becomes visible again after the visibility timeout.
            logger.error("could not settle a message as %s: %s", outcome, error)

    def _keep_log(self, outcome: Outcome, reason: str) -> None:
        """Upload the log and, unless the attempt was interrupted, the files that its program
        wrote, for debugging. If the upload fails, the outcome does not change."""
        if self._log and self._store:
            try:
                self._log.report(f"{outcome}: {reason}")
                self._log.flush()
                outputs = None if outcome == "interrupted" else self._folder / "output"
                self._store.keep(self._log.path, outputs)
            except (TransferFailed, OSError) as error:
                logger.warning("could not keep the log of %s: %s", self._job_id, error)

    def _record(self, outcome: Outcome, reason: str) -> Record:
        return Record(
            job_id=self._job_id,
            group=self._group,
            attempt=self._message.attempt,
            start=self._start,
            outcome=outcome,
            worker=self._context.worker,
            slot=self._slot,
            seconds=round(self._phases.total_seconds, 3),
            phases=self._phases.seconds,
            exit_code=self._finished.exit_code,
            peak_memory_mb=self._finished.peak_memory_mb,
            bytes_in=self._bytes_in,
            bytes_out=self._bytes_out if outcome == "done" else 0,
            reason=reason,
        )
