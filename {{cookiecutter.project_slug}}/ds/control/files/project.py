"""An implementation: its config.py and job.py together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ds.control.files.config_file import check_config, execute_config, program_names
from ds.jobs.definition import JobDefinition, load_job_definition
from ds.jobs.message import Job
from ds.jobs.problems import BadInput, Problem
from ds.jobs.resolve import ResolvedJob, resolve_job
from ds.jobs.settings import Settings


@dataclass(frozen=True)
class Project:
    """An implementation: its folder, and the content of config.py and job.py."""

    root: Path
    settings: Settings
    definition: JobDefinition

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Problems that are allowed but probably not intended."""
        return (*self.settings.warnings, *self.definition.warnings)

    def resolve(self, job: Job) -> ResolvedJob:
        """Resolve a job that is only shown, without real folders."""
        program, bucket = self.settings.program, self.settings.AWS_BUCKET
        cores = self.settings.CPUS_PER_JOB
        return resolve_job(self.definition, program, job, bucket, cores=cores)


def load_project(root: Path) -> Project:
    """Read config.py and job.py; raise BadInput with the problems of both."""
    settings, definition, problems = read_project(root)
    if settings is None or definition is None:
        raise BadInput(problem for problem in problems if not problem.warning)
    return Project(root, settings, definition)


def read_project(root: Path) -> tuple[Settings | None, JobDefinition | None, list[Problem]]:
    """Read config.py and job.py; return the valid content, and the problems of both."""
    problems: list[Problem] = []
    settings = definition = None
    try:
        found, lines = execute_config(root / "config.py")
    except BadInput as error:
        return None, None, list(error.problems)  # job.py can use names from config.py
    try:
        settings = check_config(found, lines)
    except BadInput as error:
        problems += error.problems
    try:
        definition = load_job_definition(root / "job.py", program_names(found))
    except BadInput as error:
        problems += error.problems
    return settings, definition, problems
