"""The settings of a run, defined once: name, type, default, limits and meaning of each.

config.py is checked against them (`ds.control.files.config_file`), docs/settings.md is generated
from them, and workers read those of `JobSettings` from the environment (`ds.jobs.environment`).
"""

import re
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, fields
from typing import Any

from ds.jobs.outputs import OutputRule
from ds.jobs.problems import Problem
from ds.jobs.variables import Value

LONGEST_JOB_MINUTES = 660
"""SQS hides a message for at most 12 hours ("Amazon SQS visibility timeout"), so a longer job would
start a second time."""

MACHINE_TYPE_PATTERN = r"[a-z][a-z0-9-]*\.[a-z0-9-]+"

_PATH = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
IMAGE_NAME = re.compile(
    rf"(?:[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]+)?/)?{_PATH}(?:/{_PATH})*"
    r"(?P<tag>:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?P<digest>@sha256:[0-9a-f]{64})?"
)
"""The name of an image, at most 255 characters long ("Docker image reference grammar")."""


def setting(default: Any, doc: str, *, unit: str = "", **limits: Any) -> Any:
    """Declare a setting; use `...` as the default if config.py must set it.

    `doc` is its line in docs/settings.md. `limits` are arguments of pydantic's `Field`: ge, gt, le,
    pattern, min_length.
    """
    metadata = {"doc": doc, "unit": unit, "limits": limits}
    if default is ...:
        return field(metadata=metadata)
    if isinstance(default, list | dict):
        return field(default_factory=lambda: copy(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class JobSettings:
    """The settings that a worker needs; `program` has all other upper-case names in config.py."""

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
        """The log group for the records."""
        return f"{self.LOG_GROUP_NAME}_records"

    @property
    def output_rule(self) -> OutputRule:
        """The rule that decides whether a job's outputs are complete."""
        return OutputRule(
            self.EXPECTED_NUMBER_FILES, self.MIN_FILE_SIZE_BYTES, self.NECESSARY_STRING
        )


@dataclass(frozen=True, kw_only=True)
class Settings(JobSettings):
    """All settings of a run, and `warnings` about values that are probably not intended."""

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
    MAX_HOURS: float = setting(72, "Maximum lifetime of each machine", unit="hours", gt=0, le=8760)
    MEMORY: int = setting(4000, "Memory of the container", unit="MB", ge=6, le=25_000_000)
    GPUS: int = setting(0, "GPUs of the container", ge=0, le=16)
    SECRETS: Mapping[str, str] = setting(
        {}, "Secrets of the program: environment variable and its ARN in Secrets Manager or SSM"
    )

    warnings: tuple[Problem, ...] = ()


SETTINGS = {item.name: item for item in fields(Settings) if item.name.isupper()}
"""The settings by name."""

NEEDLESS = {
    "SQS_MESSAGE_VISIBILITY": "the worker extends the visibility timeout while a job runs",
    "SECONDS_TO_START": "all jobs of a container start at once; use sleep in the command if needed",
    "SQS_QUEUE_NAME": "queues are named after APP_NAME",
    "SQS_DEAD_LETTER_QUEUE": "queues are named after APP_NAME",
    "ECS_CLUSTER": "every run has its own cluster",
    "CPU_SHARES": "it is computed from DOCKER_CORES and CPUS_PER_JOB",
    "SSH_KEY_NAME": "use key_name in files/exampleFleet.json, without .pem",
    "ASSIGN_IP": "use public_address in files/exampleFleet.json",
    "AUTO_MONITOR": "every run is monitored until everything is deleted",
    "CREATE_DASHBOARD": "DS does not create dashboards",
    "CLEAN_DASHBOARD": "DS does not create dashboards",
}
"""Settings of Distributed-Something that have no effect in DS, each with the reason."""

INSTEAD = {
    "SOURCE_BUCKET": "inputs are keys in AWS_BUCKET, or s3://bucket/key, in the job file",
    "WORKSPACE_BUCKET": "inputs are keys in AWS_BUCKET, or s3://bucket/key, in the job file",
    "DESTINATION_BUCKET": "outputs are uploaded to AWS_BUCKET",
    "UPLOAD_FLAGS": "outputs are uploaded without flags",
    "DOWNLOAD_FILES": "inputs are always downloaded",
    "SCRIPT_DOWNLOAD_URL": "a script is a shared variable of type file, or part of the image",
}
"""Settings of individual Distributed-Something implementations, and what DS does instead."""

SETTING_NAMES = (*SETTINGS, *NEEDLESS)
"""All names that the program's settings cannot have."""


def limits_of(name: str) -> Mapping[str, Any]:
    """Return the limits of a setting, as passed to `setting`."""
    limits: Mapping[str, Any] = SETTINGS[name].metadata["limits"]
    return limits
