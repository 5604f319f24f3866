"""A local run, from the job file to the table.

It sends jobs and runs workers with the same code as on AWS. It never leaves a process running.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from ds.cloud.errors import CommandError
from ds.cloud.read import dead_letters, message_counts, records
from ds.control import docker
from ds.control.files.job_file import JobFile, read_job_file
from ds.control.files.project import Project
from ds.control.local import emulator
from ds.control.local.aws import LocalAws
from ds.control.local.data import files_below, found, inputs, owner
from ds.control.local.feed import Feeder
from ds.control.local.workers import Workers
from ds.control.progress import Progress
from ds.control.results import Result, Summary, print_table, results, suggestion
from ds.jobs.message import Job
from ds.jobs.resolve import SHOWN, ResolvedJob

POLL_SECONDS = 0.3

MOST_WARNINGS = 5

HIDDEN_SECONDS = 3600
"""How long dead letters stay hidden once read; the queue exists only during the run."""


@dataclass(frozen=True)
class Options:
    """The options of `local`; if `only` is empty, all groups run."""

    data: Path
    output: Path
    workers: int = 1
    only: Sequence[int] = ()
    docker: bool = False


def local(project: Project, path: Path, options: Options, console: Console) -> Summary:
    """Run the jobs of a job file on this machine; after an interruption, return the results so far.

    Raises:
        BadInput: settings or job file are not valid.
        CommandError: nothing could be started.
    """
    jobs = _chosen(read_job_file(path, project.definition, project.settings.program), options.only)
    resolved_jobs = {number: project.resolve(job) for number, job in jobs.items()}
    if options.docker:
        for problem in docker.inspect(project):
            console.print(f"warning: {problem}", markup=False, soft_wrap=True)
    else:
        _require_programs(resolved_jobs.values())
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(
            f"{options.output}: the folder cannot be created: {error.strerror}; choose another "
            "--output"
        ) from None
    folder = Path(tempfile.mkdtemp(prefix="ds-local-")).resolve()
    try:
        with emulator.running(folder, project.settings.AWS_REGION):
            aws = LocalAws(project, resolved_jobs.values(), time.strftime("local-%Y%m%dT%H%M%S"))
            return _Run(project, jobs, resolved_jobs, options, folder, console, aws).go()
    except (BotoCoreError, ClientError) as error:
        raise CommandError(
            f"The AWS emulator refused a request: {error}; run the same command again"
        ) from error
    finally:
        emulator.sweep(folder)


@dataclass(frozen=True)
class _Run:
    """A local run with a running emulator."""

    project: Project
    jobs: Mapping[int, Job]
    resolved_jobs: Mapping[int, ResolvedJob]
    options: Options
    folder: Path
    console: Console
    aws: LocalAws

    def go(self) -> Summary:
        """Run from the first upload to the table."""
        began = time.monotonic()
        self._load()
        finished = False
        feeder = Feeder(self.aws, self.jobs.values())
        options, settings = self.options, self.aws.settings
        workers = Workers(self.project, settings, options.workers, options.docker, self.folder)
        self._report_start()
        try:
            with workers, feeder, Progress(self.console, len(self.jobs)) as progress:
                self._wait(feeder, workers, progress)
                finished = True
        except KeyboardInterrupt:
            self.console.print(
                "Interrupted: the workers have ended, and the results of finished jobs are kept. "
                "Set CHECK_IF_DONE_BOOL = True in config.py to skip finished jobs next time.",
                soft_wrap=True,
            )
        summary = Summary(self._results(finished), time.monotonic() - began, finished)
        self._report(summary)
        return summary

    def _load(self) -> None:
        """Upload the files in --data that jobs refer to."""
        options, bucket = self.options, self.aws.settings.AWS_BUCKET
        wanted, missing = inputs(self.resolved_jobs, options.data, bucket)
        for text in missing[:MOST_WARNINGS]:
            self.console.print(f"warning: {text}", markup=False, soft_wrap=True)
        if len(missing) > MOST_WARNINGS:
            self.console.print(f"warning: {len(missing) - MOST_WARNINGS} more do not exist")
        if self.aws.settings.CHECK_IF_DONE_BOOL:
            prefixes = [resolved.output_prefix for resolved in self.resolved_jobs.values()]
            wanted.setdefault(bucket, {}).update(files_below(options.output, prefixes))
        for name, files in wanted.items():
            self.aws.upload(name, files)

    def _report_start(self) -> None:
        count, workers = len(self.jobs), self.options.workers
        settings = self.project.settings
        slots = settings.DOCKER_CORES
        where = f", in containers of {settings.DOCKERHUB_TAG}" if self.options.docker else ""
        self.console.print(
            f"{count} job{'s' * (count != 1)}, {workers} worker{'s' * (workers != 1)}, "
            f"{slots} at a time in each{where}"
        )

    def _wait(self, feeder: Feeder, workers: Workers, progress: Progress) -> None:
        """Wait until every job has left the queue."""
        aws = self.aws
        empty = 0
        # A message can move between the two counts while SQS counts, so require zero twice.
        while empty < 2:
            time.sleep(POLL_SECONDS)
            workers.tend()
            sent = feeder.sent()
            queue = message_counts(aws.sqs, aws.settings.queue_url)
            dead = message_counts(aws.sqs, aws.settings.dead_letter_url).total
            note = f"{queue.in_flight} running" + (f", {dead} dead" if dead else "")
            progress.show(max(0, sent - queue.total), note)
            empty = empty + 1 if feeder.ended and queue.total == 0 else 0

    def _results(self, finished: bool) -> list[Result]:
        """Read the result of each job, and download outputs and the logs of dead jobs."""
        aws, output = self.aws, self.options.output
        jobs = [(number, resolved.job_id) for number, resolved in self.resolved_jobs.items()]
        dead = dead_letters(aws.sqs, aws.settings.dead_letter_url, HIDDEN_SECONDS)
        ended = results(jobs, records(aws.logs, aws.settings.record_group), dead, finished)
        for job_id in sorted(dead.keys() & {result.job_id for result in ended}):
            for area in ("", "failed/"):
                prefix = f"{aws.settings.log_prefix}/{area}{job_id}/"
                aws.download(aws.listing(prefix), output)
        good = {
            self.resolved_jobs[result.group].output_prefix: result.group
            for result in ended
            if result.state in ("done", "skipped")
        }
        # List once for all jobs: a listing for each job would take longer than the jobs.
        owned = [
            (good[prefix], item)
            for item in (aws.listing(os.path.commonpath(good)) if good else [])
            if (prefix := owner(item.key, good))
        ]
        aws.download([item for _, item in owned], output)
        files: dict[int, list[str]] = {}
        for number, item in owned:
            files.setdefault(number, []).append(item.key)
        return [replace(result, outputs=files.get(result.group, [])) for result in ended]

    def _report(self, summary: Summary) -> None:
        console, output = self.console, self.options.output
        print_table(console, summary, self.jobs)
        unfinished = summary.count("unfinished")
        more = f"{unfinished} unfinished, " if unfinished else ""
        console.print(
            f"{summary.count('done')} done, {summary.count('skipped')} skipped, "
            f"{summary.count('dead')} dead, {more}in {summary.seconds:.0f} s; results in {output}",
            markup=False,
            soft_wrap=True,
        )
        if summary.count("dead"):
            logs = output / self.aws.settings.log_prefix
            console.print(f"logs of dead jobs in {logs}", markup=False, soft_wrap=True)
        if line := suggestion(summary.results, self.aws.settings.DOCKER_CORES):
            console.print(line, markup=False, soft_wrap=True)


def _chosen(jobs: JobFile, only: Sequence[int]) -> dict[int, Job]:
    """Return the jobs to run by group number. The file can be large, so it is read only once."""
    wanted = set(only) or range(1, jobs.count + 1)
    chosen = {number: job for number, job in enumerate(jobs.jobs(), 1) if number in wanted}
    for number in sorted(set(only) - chosen.keys()):
        jobs.job(number)  # raises BadInput, because the group does not exist
    return chosen


def _require_programs(resolved_jobs: Iterable[ResolvedJob]) -> None:
    """Refuse a run whose program is not on this machine, before the first job."""
    programs = dict.fromkeys(job.arguments[0] for job in resolved_jobs if job.arguments)
    missing = [name for name in programs if not _can_start(name)]
    if missing:
        raise CommandError(
            f"{', '.join(missing)}: not found on PATH; install it on this machine, or use the one "
            "in the image with --docker"
        )


def _can_start(program: str) -> bool:
    """Return whether a program can be started: it is on PATH, or a job may create it."""
    comes_later = program.startswith((SHOWN.inputs, SHOWN.shared, SHOWN.work, SHOWN.output))
    relative = "/" in program and not program.startswith("/")
    return comes_later or relative or shutil.which(program) is not None


def prepared(
    project: Project, path: Path, number: int, data: Path
) -> tuple[ResolvedJob, dict[str, Path]]:
    """Resolve the job of a group; return it, and its files in `data` by path in the job."""
    jobs = read_job_file(path, project.definition, project.settings.program)
    resolved = project.resolve(jobs.job(number))
    files = {}
    for item in resolved.inputs:
        top = data if item.bucket == project.settings.AWS_BUCKET else data / item.bucket
        for key, file in found(item, top):
            files[f"{item.path}/{key[len(item.key) :]}" if item.folder else item.path] = file
    return resolved, files
