"""The life of a job in a worker: one attempt, from its message to its record.

check the message -> already done? -> fetch inputs -> run the command
-> check exit code and outputs -> upload -> delete the message
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from threading import Event

from ds.jobs.definition import JobDefinition
from ds.jobs.environment import WorkerSettings
from ds.jobs.message import InvalidMessage, Job, decode
from ds.jobs.outputs import OutputFile
from ds.jobs.problems import BadInput
from ds.jobs.record import Outcome, Record
from ds.jobs.resolve import Folders, Input, ResolvedJob, check_outputs, resolve_job
from ds.jobs.variables import control_character
from ds.worker.lease import Lease, clock
from ds.worker.logs import AttemptLog, WorkerLogs
from ds.worker.process import Finished, NotStarted, Stop, run
from ds.worker.resources import Cgroup, Pressure
from ds.worker.s3 import S3Object, SharedInputs, Storage, TransferFailed, Upload
from ds.worker.sqs import JobQueue

log = logging.getLogger("ds.worker")

LONGEST_SECONDS = (11 * 60 + 50) * 60
"""SQS hides a message for at most 12 h after its receive ("Amazon SQS visibility timeout")."""

SMALL_BYTES = 10_000_000
SMALL_FILES = 100
"""What a failed attempt may have written for it to be kept beside the logs."""


class Lost(Stop):
    """The message may be another worker's by now: nothing of this attempt may count."""

    def __init__(self) -> None:
        super().__init__("lost: the message could not be held, another worker does it", 0)


class Interrupted(Stop):
    """The worker was told to end."""

    def __init__(self) -> None:
        super().__init__("interrupted: the worker was told to end")


class Failed(Exception):
    """The attempt did not succeed; the text is the reason."""

    def __init__(self, reason: str, finished: Finished | None = None) -> None:
        super().__init__(reason)
        self.finished = finished


@dataclass(frozen=True)
class WorkerContext:
    """What all attempts of a worker share.

    Attributes:
        worker: its name in logs and records.
        stopping: set when the worker must end.
        scratch: each slot has a folder in it.
        cgroup: the container's.
        clock: monotonic seconds.
    """

    settings: WorkerSettings
    definition: JobDefinition
    queue: JobQueue
    storage: Storage
    shared_inputs: SharedInputs
    logs: WorkerLogs
    worker: str
    stopping: Event
    scratch: Path
    cgroup: Cgroup
    clock: Callable[[], float] = clock


def attempt(lease: Lease, slot: int, context: WorkerContext) -> Record:
    """Do one job. Whatever happens, its message is deleted, given back or buried.

    Args:
        lease: on the job's message.
        slot: which of the worker's slots does it.
        tools: the worker's.

    Returns:
        The attempt's record, already sent.
    """
    return _Attempt(lease, slot, context).perform()


class _Attempt:
    def __init__(self, lease: Lease, slot: int, context: WorkerContext) -> None:
        self._lease = lease
        self._message = lease.message
        self._slot = slot
        self._context = context
        self._settings = context.settings
        self._folder = context.scratch / f"slot-{slot}"
        self._started = context.clock()
        self._start = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._phase = "fetch"
        self._phase_started = self._started
        self._phases: dict[str, float] = {}
        self._job: Job | None = None
        self._resolved: ResolvedJob | None = None
        self._finished: Finished | None = None
        self._bytes_in = 0
        self._bytes_out = 0
        self._log: AttemptLog | None = None
        self._pressure = Pressure(context.scratch, context.cgroup, context.settings.DOCKER_CORES)

    def perform(self) -> Record:
        outcome: Outcome
        try:
            outcome, reason = self._work()
        except (InvalidMessage, BadInput) as error:
            outcome, reason = "invalid", f"invalid message: {_one_line(error)}"
        except Lost as stop:
            outcome, reason = "lost", stop.reason
            self._stopped(stop)
        except Interrupted as stop:
            outcome, reason = "interrupted", stop.reason
            self._stopped(stop)
        except Stop as stop:
            self._stopped(stop)
            outcome, reason = self._failed(stop.reason)
        except (Failed, TransferFailed) as error:
            outcome, reason = self._failed(str(error))
        except Exception as error:
            log.error("%s", traceback.format_exc())
            outcome, reason = self._failed(f"the worker failed: {type(error).__name__}: {error}")
        try:
            self._settle(outcome, reason)
        except Exception as error:
            # Not lost: SQS shows the message again when its visibility ends.
            log.error("could not settle a message as %s: %s", outcome, error)
        if self._log is not None:
            with contextlib.suppress(OSError):  # a full disk
                self._log.close()
        remove(self._folder)
        record = self._record(outcome, reason)
        self._context.logs.record(record)
        return record

    # The way of a job that succeeds.

    def _work(self) -> tuple[Outcome, str]:
        folders = self._fresh_folders()
        self._job = decode(self._message.body)
        self._resolved = resolved = resolve_job(
            self._context.definition,
            self._settings.program,
            self._job,
            self._settings.AWS_BUCKET,
            folders,
            self._settings.CPUS_PER_JOB,
        )
        if self._settings.CHECK_IF_DONE_BOOL and self._already_done(resolved):
            return "skipped", "its outputs are there already"
        self._log = AttemptLog(self._folder / "attempt.log", resolved.job_id, self._context.logs)
        self._say(f"attempt {self._message.attempt} on {self._context.worker} slot {self._slot}")
        with self._timed("fetch"):
            self._bytes_in = self._fetch(resolved)
        Path(folders.job_json).write_text(json.dumps(resolved.document, indent=1))
        with self._timed("run"):
            self._finished = self._run(resolved)
        with self._timed("check"):
            outputs = self._check(resolved)
        with self._timed("upload"):
            self._upload(resolved, outputs)
        self._check_stop()
        return "done", ""

    def _fresh_folders(self) -> Folders:
        remove(self._folder)
        for name in ("inputs", "work", "output", "tmp"):
            (self._folder / name).mkdir(parents=True)
        return Folders(
            inputs=str(self._folder / "inputs"),
            shared=str(self._context.scratch / "shared"),
            work=str(self._folder / "work"),
            output=str(self._folder / "output"),
            job_json=str(self._folder / "job.json"),
        )

    def _already_done(self, resolved: ResolvedJob) -> bool:
        prefix = f"{resolved.output_prefix}/"
        bucket = self._settings.AWS_BUCKET
        files = [
            OutputFile(item.key.removeprefix(prefix), item.size)
            for item in self._context.storage.listing(bucket, prefix)
        ]
        return self._settings.output_rule.already_done(files) and not self._context.storage.exists(
            bucket, self._uploading_key(resolved)
        )

    def _fetch(self, resolved: ResolvedJob) -> int:
        shared: list[tuple[S3Object, Path]] = []
        own: list[tuple[S3Object, Path]] = []
        for item in resolved.inputs:
            (shared if item.shared else own).extend(self._downloads(item))
        fetched = self._context.shared_inputs.fetch(shared, self._check_stop)
        self._context.storage.fetch(own, self._check_stop)
        fetched += sum(item.size for item, _ in own)
        self._say(f"{len(shared) + len(own)} input files, {fetched} bytes fetched")
        return fetched

    def _downloads(self, item: Input) -> list[tuple[S3Object, Path]]:
        self._check_stop()
        if not item.folder:
            return [(self._context.storage.head(item.bucket, item.key), Path(item.path))]
        Path(item.path).mkdir(parents=True, exist_ok=True)
        found = [
            # Not Path(folder, name): the rest of "a//b" below "a/" is "/b", another root.
            (entry, Path(f"{item.path}/{entry.key[len(item.key) :]}"))
            for entry in self._context.storage.listing(item.bucket, item.key)
            if item.takes(entry.key)
        ]
        if not found:
            raise Failed(f"s3://{item.bucket}/{item.key}{item.pattern}: no such objects")
        for entry, _ in found:
            if ".." in PurePosixPath(entry.key).parts:
                raise Failed(f"{entry.url}: a key with '..' cannot be a local file")
        return found

    def _run(self, resolved: ResolvedJob) -> Finished:
        assert self._log is not None
        self._say(f"runs {json.dumps(resolved.arguments, ensure_ascii=False)}")
        try:
            finished = run(
                resolved.arguments,
                folder=self._working_folder(),
                environment=self._environment(resolved),
                mark=f"{self._context.worker}-{self._slot}-{resolved.job_id}",
                results=str(self._folder / "output"),
                output=self._log.program,
                check_stop=self._check_stop,
            )
        except NotStarted as error:
            raise Failed(f"{resolved.arguments[:1]} cannot be started: {error}") from error
        self._say(f"exit code {finished.exit_code}, {finished.peak_memory_mb} MB")
        if finished.left_over:
            self._say(f"killed {finished.left_over} processes that it left behind")
        return finished

    def _working_folder(self) -> str:
        folder = self._settings.WORKING_FOLDER
        if not folder:
            return str(self._folder / "work")
        return str(Path.cwd()) if folder == "image" else folder

    def _environment(self, resolved: ResolvedJob) -> dict[str, str]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DS_", "SQS_"))
        }
        own_temporary = {"TMPDIR": str(self._folder / "tmp")}
        return inherited | resolved.environment | own_temporary

    def _check(self, resolved: ResolvedJob) -> list[tuple[Path, OutputFile]]:
        """The files to upload; raises Failed if the command did not succeed."""
        assert self._finished is not None
        assert self._log is not None
        if self._finished.exit_code != 0 or self._pressure.spoiled():
            raise Failed(_exit_reason(self._finished.exit_code, self._log.last_line))
        outputs = self._outputs()
        reason = self._settings.output_rule.missing(file for _, file in outputs)
        if reason is None:
            try:
                reason = check_outputs(self._context.definition, resolved.view)
            except BadInput as error:
                reason = _one_line(error)
        if reason is not None:
            raise Failed(reason)
        return outputs

    def _outputs(self) -> list[tuple[Path, OutputFile]]:
        """All that the program wrote; raises Failed where S3 could not hold it."""
        found = []
        for path in self._written():
            relative = path.relative_to(self._folder / "output").as_posix()
            if not path.is_file():
                raise Failed(f"output {relative!r} is no file (a link to elsewhere, a pipe?)")
            if control_character(relative) is not None:
                raise Failed(f"output {relative!r} has a name that S3 cannot hold")
            found.append((path, OutputFile(relative, path.stat().st_size)))
        return found

    def _written(self) -> list[Path]:
        """Files, and what is none: a link to a folder elsewhere is not walked into."""
        top = self._folder / "output"
        found = []
        for folder, folders, names in os.walk(top, onerror=_raise):
            links = [name for name in folders if _leads_out(Path(folder, name), top)]
            found += [Path(folder, name) for name in sorted(names + links)]
        return found

    def _upload(self, resolved: ResolvedJob, outputs: list[tuple[Path, OutputFile]]) -> None:
        """Upload outputs and the attempt's log.

        One object appears whole or not at all. Several do not, so that a worker which dies
        among them must not leave what passes for a job that is done: a marker says so.
        """
        bucket, storage = self._settings.AWS_BUCKET, self._context.storage
        uploads = [Upload(path, f"{resolved.output_prefix}/{file.path}") for path, file in outputs]
        self._bytes_out = sum(file.size for _, file in outputs)
        self._say(f"uploads {len(uploads)} files, {self._bytes_out} bytes")
        self._check_stop()
        marker = self._uploading_key(resolved)
        if len(uploads) > 1:
            storage.put(bucket, marker, b"")
        storage.upload(bucket, [*uploads, self._log_upload(resolved)], self._check_stop)
        left_by_others = self._message.attempt > 1 or self._settings.CHECK_IF_DONE_BOOL
        if len(uploads) > 1 or left_by_others:
            storage.delete(bucket, marker)

    # The other ways to end.

    def _stopped(self, stop: Stop) -> None:
        if self._finished is None:  # else the command had ended before
            self._finished = Finished(None, stop.peak_memory_mb, 0)

    def _failed(self, reason: str) -> tuple[Outcome, str]:
        dead = self._message.attempt >= self._settings.JOB_RETRIES
        exit_code = self._finished.exit_code if self._finished else None
        return ("dead" if dead else "failed"), self._pressure.explain(reason, exit_code)

    def _settle(self, outcome: Outcome, reason: str) -> None:
        """Make the message and what was written follow the outcome."""
        queue, message = self._context.queue, self._message
        if outcome == "interrupted":
            queue.release(message.receipt, 0)  # first: another worker may have it at once
        if outcome in ("failed", "dead", "interrupted") and self._log is not None:
            self._keep(f"{outcome}: {reason}", with_outputs=outcome != "interrupted")
        if outcome in ("done", "skipped"):
            queue.delete(message.receipt)
        elif outcome in ("dead", "invalid"):
            queue.dead_letter(message, self._dead_letter_attributes(reason))
        elif outcome == "failed":
            delays = self._settings.retry_delays
            queue.release(message.receipt, delays[min(message.attempt, len(delays)) - 1])

    def _keep(self, said: str, with_outputs: bool) -> None:
        """Upload the log, and what a failed program had written if it is small, never under
        the output prefix. It is help for a person; failing here changes nothing."""
        assert self._resolved is not None
        try:
            self._say(said)
            uploads = [self._log_upload(self._resolved)]
            if with_outputs:
                uploads += self._small_outputs(self._resolved)
            self._context.storage.upload(self._settings.AWS_BUCKET, uploads, _never_stop)
        except (TransferFailed, OSError) as error:
            log.warning("could not keep the log of %s: %s", self._resolved.job_id, error)

    def _small_outputs(self, resolved: ResolvedJob) -> list[Upload]:
        files = [path for path in self._written() if path.is_file()]
        if len(files) > SMALL_FILES or sum(path.stat().st_size for path in files) > SMALL_BYTES:
            return []
        base = f"{self._settings.log_prefix}/failed/{resolved.job_id}"
        names = [path.relative_to(self._folder / "output").as_posix() for path in files]
        return [
            Upload(path, f"{base}/{name}")
            for path, name in zip(files, names, strict=True)
            if control_character(name) is None
        ]

    def _dead_letter_attributes(self, reason: str) -> Mapping[str, str]:
        resolved, finished = self._resolved, self._finished
        exit_code = "" if finished is None or finished.exit_code is None else finished.exit_code
        return {
            "reason": reason,
            "exit_code": str(exit_code),
            "attempts": str(self._message.attempt),
            "log_key": self._log_key(resolved) if resolved and self._log else "",
            "job_id": self._job.job_id if self._job else "",
        }

    # Small things.

    def _check_stop(self) -> None:
        """Raise where this attempt must end: asked all the time, in every phase."""
        self._pressure.sample()
        if not self._lease.held:
            raise Lost
        if self._phase in ("fetch", "run") and self._context.stopping.is_set():
            raise Interrupted
        now = self._context.clock()
        minutes = self._settings.JOB_TIMEOUT_MINUTES
        if self._phase == "run" and now - self._phase_started > minutes * 60:
            raise Stop(f"took longer than JOB_TIMEOUT_MINUTES = {minutes:g}")
        if now - self._started > LONGEST_SECONDS:
            raise Stop("took longer than 11 h 50 min, the most that SQS allows")

    @contextlib.contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        self._phase = phase
        self._phase_started = self._context.clock()
        try:
            yield
        finally:
            self._phases[phase] = round(self._context.clock() - self._phase_started, 3)

    def _say(self, text: str) -> None:
        assert self._log is not None
        self._log.say(text)

    def _log_upload(self, resolved: ResolvedJob) -> Upload:
        if self._log is not None:
            self._log.flush()
        return Upload(self._folder / "attempt.log", self._log_key(resolved))

    def _log_key(self, resolved: ResolvedJob) -> str:
        return f"{self._settings.log_prefix}/{resolved.job_id}/{self._message.attempt}.log"

    def _uploading_key(self, resolved: ResolvedJob) -> str:
        return f"logs/{self._settings.APP_NAME}/uploading/{resolved.job_id}"

    def _record(self, outcome: Outcome, reason: str) -> Record:
        finished = self._finished
        return Record(
            job_id=self._job.job_id if self._job else "",
            group=self._job.group if self._job else {},
            attempt=self._message.attempt,
            start=self._start,
            outcome=outcome,
            worker=self._context.worker,
            slot=self._slot,
            seconds=round(self._context.clock() - self._started, 3),
            phases=self._phases,
            exit_code=finished.exit_code if finished else None,
            peak_memory_mb=finished.peak_memory_mb if finished else 0,
            bytes_in=self._bytes_in,
            bytes_out=self._bytes_out if outcome == "done" else 0,
            reason=reason,
        )


def _exit_reason(exit_code: int | None, last_line: str) -> str:
    if exit_code is not None and exit_code < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-exit_code).name}"
    said = f": {last_line[:200]}" if last_line else ""
    return f"exit code {exit_code}{said}"


def _one_line(error: Exception) -> str:
    if isinstance(error, BadInput):
        return ", ".join(f"{problem.where} {problem.message}" for problem in error.problems)
    return str(error)


def _never_stop() -> None:
    """For what is done after an attempt's end: nothing stops it."""


def _leads_out(path: Path, top: Path) -> bool:
    """Whether a folder is a link to one that is not below `top`."""
    return path.is_symlink() and not path.resolve().is_relative_to(top.resolve())


def _raise(error: OSError) -> None:
    raise error


def remove(folder: Path) -> None:
    """Remove a folder, if it is there, also where a program took away the right to."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        for parent, names, _ in os.walk(folder):
            for path in [Path(parent), *(Path(parent, name) for name in names)]:
                if not path.is_symlink():
                    with contextlib.suppress(OSError):
                        path.chmod(0o700)  # before it is walked into
        shutil.rmtree(folder, ignore_errors=True)
