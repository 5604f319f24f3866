"""The owner's files together: config.py and job.py of one implementation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ds.control.files import config_file as settings_of_config
from ds.jobs import definition as definition_of_job
from ds.jobs.definition import JobDefinition
from ds.jobs.message import Job
from ds.jobs.problems import BadInput, Problem
from ds.jobs.resolve import ResolvedJob, resolve
from ds.jobs.settings import Settings


@dataclass(frozen=True)
class Project:
    """An implementation, read and checked.

    Attributes:
        root: its folder.
        settings: of config.py.
        definition: of job.py.
    """

    root: Path
    settings: Settings
    definition: JobDefinition

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What is allowed but probably not meant."""
        return (*self.settings.warnings, *self.definition.warnings)

    def resolve(self, job: Job) -> ResolvedJob:
        """What a job would do, with folders that are only for looking at."""
        settings = self.settings
        return resolve(
            self.definition,
            settings.program,
            job,
            settings.AWS_BUCKET,
            cores=settings.CPUS_PER_JOB,
        )


def load(root: Path) -> Project:
    """Read an implementation's config.py and job.py.

    Args:
        root: its folder.

    Raises:
        BadInput: with the problems of both.
    """
    settings, definition, problems = read(root)
    if settings is None or definition is None:
        raise BadInput(problem for problem in problems if not problem.warning)
    return Project(root, settings, definition)


def read(root: Path) -> tuple[Settings | None, JobDefinition | None, list[Problem]]:
    """Read what can be read of config.py and job.py; None where there are problems."""
    problems: list[Problem] = []
    config = root / "config.py"
    settings = definition = None
    found: dict[str, object] = {}
    try:
        found, lines = settings_of_config.execute(config)
        settings = settings_of_config.check(found, lines, config.name)
    except BadInput as error:
        problems += error.problems
        if not found:
            return None, None, problems  # job.py may name what config.py would have told
    program = settings_of_config.program_names(found)
    try:
        definition = definition_of_job.load(root / "job.py", program)
    except BadInput as error:
        problems += error.problems
    return settings, definition, problems
