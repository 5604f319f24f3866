"""One implementation: its config.py and job.py together."""

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
    """An implementation, read and checked.

    Attributes:
        root: the folder.
        settings: the content of config.py.
        definition: the content of job.py.
    """

    root: Path
    settings: Settings
    definition: JobDefinition

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What is allowed but probably not intended."""
        return (*self.settings.warnings, *self.definition.warnings)

    def resolve(self, job: Job) -> ResolvedJob:
        """Resolve a job that is only shown, without real folders."""
        settings = self.settings
        return resolve_job(
            self.definition,
            settings.program,
            job,
            settings.AWS_BUCKET,
            cores=settings.CPUS_PER_JOB,
        )


def load_project(root: Path) -> Project:
    """Read the config.py and job.py of an implementation.

    Raises:
        BadInput: the problems of both.
    """
    settings, definition, problems = read_project(root)
    if settings is None or definition is None:
        raise BadInput(problem for problem in problems if not problem.warning)
    return Project(root, settings, definition)


def read_project(root: Path) -> tuple[Settings | None, JobDefinition | None, list[Problem]]:
    """Read what is valid of config.py and job.py, and the problems of both."""
    problems: list[Problem] = []
    config = root / "config.py"
    settings = definition = None
    found: dict[str, object] = {}
    try:
        found, lines = execute_config(config)
        settings = check_config(found, lines, config.name)
    except BadInput as error:
        problems += error.problems
        if not found:
            return None, None, problems  # job.py may use names of config.py
    program = program_names(found)
    try:
        definition = load_job_definition(root / "job.py", program)
    except BadInput as error:
        problems += error.problems
    return settings, definition, problems
