"""The settings of a run: name, type, default, limits and meaning of each, written once.

config.py is checked against them (`ds.control.files.config_file`), docs/settings.md is made from
them, and a worker is told those of `JobSettings` by its environment (`ds.jobs.environment`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any

from ds.jobs.outputs import OutputRule
from ds.jobs.problems import Problem
from ds.jobs.variables import Value

LONGEST_JOB_MINUTES = 660
"""SQS hides a message for at most 12 hours ("Amazon SQS visibility timeout"); a longer job would be
started a second time."""


def setting(default: Any, doc: str, *, unit: str = "", **limits: Any) -> Any:
    """Declare a setting.

    Args:
        default: `...` if the setting must be given.
        doc: its meaning, one line for docs/settings.md.
        unit: of a number.
        limits: as pydantic's `Field` takes them: ge, gt, le, pattern, min_length.
    """
    metadata = {"doc": doc, "unit": unit, "limits": limits}
    if default is ...:
        return field(metadata=metadata)
    if isinstance(default, list | dict):
        return field(default_factory=lambda: copy(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class JobSettings:
    """The settings that a worker needs, too; named as in config.py.

    Attributes:
        program: the program's own settings: every other upper-case name in config.py.
    """

    APP_NAME: str = setting(
        ..., "Name of the run and of everything it creates", pattern=r"^[A-Za-z][A-Za-z0-9-]{0,39}$"
    )
    AWS_BUCKET: str = setting(
        "your-bucket-name",
        "Bucket of the inputs, outputs and logs",
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
    )
    LOG_GROUP_NAME: str = setting(
        "", "CloudWatch log group; APP_NAME if empty", pattern=r"^[A-Za-z0-9_/.#-]{0,500}$"
    )

    DOCKER_CORES: int = setting(1, "Jobs that run at a time in one container", ge=1, le=256)
    CPUS_PER_JOB: int = setting(1, "CPU cores of each job", ge=1, le=192)
    WORKING_FOLDER: str = setting(
        "",
        "Working directory of the command: '' for a new one, 'image' for the image's, or a path",
        pattern=r"^(|image|/.*)$",
    )

    JOB_TIMEOUT_MINUTES: float = setting(
        60, "Maximum duration of the command", unit="minutes", gt=0, le=LONGEST_JOB_MINUTES
    )
    JOB_RETRIES: int = setting(3, "Attempts before a failing job is dead", ge=1, le=100)
    CHECK_IF_DONE_BOOL: bool = setting(False, "Skip jobs whose outputs already exist")
    EXPECTED_NUMBER_FILES: int = setting(
        1, "Minimum number of output files per job (fewer = failed)", ge=0
    )
    MIN_FILE_SIZE_BYTES: int = setting(1, "Smaller files do not count", unit="bytes", ge=0)
    NECESSARY_STRING: str = setting("", "Only files with this text in their name count")

    program: Mapping[str, Value] = field(
        default_factory=dict, metadata={"variable": "DS_CONFIG_VARIABLES"}
    )

    @property
    def record_group(self) -> str:
        """The log group of the records."""
        return f"{self.LOG_GROUP_NAME}_records"

    @property
    def output_rule(self) -> OutputRule:
        """When a job's outputs are complete."""
        return OutputRule(
            self.EXPECTED_NUMBER_FILES, self.MIN_FILE_SIZE_BYTES, self.NECESSARY_STRING
        )


@dataclass(frozen=True, kw_only=True)
class Settings(JobSettings):
    """All settings of a run.

    Attributes:
        warnings: what is allowed but probably not meant.
    """

    DOCKERHUB_TAG: str = setting("", "Image of the program with the worker", pattern=r"^\S*$")

    AWS_REGION: str = setting(
        "us-east-1", "AWS region for everything", pattern=r"^[a-z]{2}(-[a-z]+)+-\d$"
    )
    AWS_PROFILE: str = setting("default", "Your AWS CLI profile")

    CLUSTER_MACHINES: int = setting(1, "Number of machines", ge=1, le=10_000)
    TASKS_PER_MACHINE: int = setting(1, "Containers on each machine", ge=1, le=100)
    MACHINE_TYPE: Sequence[str] = setting(
        ["m6i.large", "m6a.large", "m5.large"],
        "EC2 instance types to choose from; more types mean fewer interruptions",
        min_length=1,
    )
    MACHINE_PRICE: float | None = setting(
        None,
        "Maximum spot price per machine; None caps it at the on-demand price",
        unit="$/hour",
        gt=0,
    )
    EBS_VOL_SIZE: int = setting(40, "Disk of each machine", unit="GB", ge=8, le=16_384)
    MAX_HOURS: float = setting(
        72, "Every machine ends after this time, whatever happens", unit="hours", gt=0, le=8760
    )
    MEMORY: int = setting(4000, "Memory of the container", unit="MB", ge=6, le=25_000_000)
    GPUS: int = setting(0, "GPUs of the container", ge=0, le=16)
    SECRETS: Mapping[str, str] = setting(
        {},
        "Secrets of the program: environment variable and its ARN in Secrets Manager or SSM",
    )

    warnings: tuple[Problem, ...] = ()
