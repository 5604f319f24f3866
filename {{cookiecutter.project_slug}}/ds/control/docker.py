"""The image with the program and the worker on this machine.

Pure functions build the `docker` commands and report an image's problems; the others run Docker.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ds.cloud.errors import CommandError
from ds.control.files.project import Project
from ds.jobs.placeholders import NO_IMAGE
from ds.jobs.problems import BadInput, Problem
from ds.jobs.resolve import SHOWN, ResolvedJob
from ds.jobs.settings import Settings

SYSTEM_GB = 5
"""Disk space for a machine's operating system (AL2023 with ECS) and unpacked files."""

JOB_FOLDER = SHOWN.work.rpartition("/")[0]
"""The folder in the container that holds all folders of SHOWN."""


def program_name(image: str) -> str:
    """Return the name of the program's image, the base of the image with the worker."""
    has_tag = re.search(r":[\w][\w.-]{0,127}$", image)
    return f"{image}-program" if has_tag else f"{image}:program"


def platform_words(machine: str) -> list[str]:
    """Return the option for linux/amd64 images, unless that is this machine's architecture."""
    return [] if machine.lower() in ("x86_64", "amd64") else ["--platform=linux/amd64"]


def base_of(dockerfile: str) -> str:
    """Return the base image of a Dockerfile's last stage."""
    stages: dict[str, str] = {}
    base = ""
    for line in dockerfile.splitlines():
        words = [word for word in line.split() if not word.startswith("--")]
        if len(words) > 1 and words[0].upper() == "FROM":
            base = stages.get(words[1], words[1])
            if len(words) > 3:
                stages[words[3]] = base
    return base


def build_commands(
    image: str, labels: Mapping[str, str], machine: str, more: Iterable[str] = ()
) -> list[list[str]]:
    """Return the commands that build the image: the program, then the worker on top of it.

    Both commands get the options in `more`; `machine` is `platform.machine()`.
    """
    build = ["docker", "build", *platform_words(machine), *more]
    program = program_name(image)
    worker = [f"--build-arg=PROGRAM_IMAGE={program}", "--file", "ds/worker/Dockerfile"]
    worker += [f"--label={name}={text}" for name, text in labels.items()]
    return [[*build, "--tag", program, "."], [*build, *worker, "--tag", image, "."]]


def worker_command(
    settings: Settings,
    environment: Mapping[str, str],
    name: str,
    identity: Path,
    machine: str,
    system: str,
    cores: int,
) -> list[str]:
    """Return the command that runs a worker's container, with the same memory and CPUs as on AWS.

    Args:
        settings: the settings in config.py.
        environment: the worker's environment variables.
        name: the container's host name, which becomes part of the worker's name.
        identity: the file to which Docker writes the container's ID.
        machine, system: `platform.machine()` and `sys.platform` of this machine.
        cores: the number of this machine's CPUs; Docker refuses more.
    """
    network = ["--network=host"]
    if system != "linux":  # Docker Desktop: containers reach this machine by a name
        network = []
        url = environment["AWS_ENDPOINT_URL"].replace("127.0.0.1", "host.docker.internal")
        environment = {**environment, "AWS_ENDPOINT_URL": url}
    return [
        *("docker", "run", "--rm", f"--cidfile={identity}", f"--hostname={name}", *network),
        *_limits(settings, machine, cores),
        *_environment(environment),
        settings.DOCKERHUB_TAG,
    ]


def shell_command(
    settings: Settings, resolved: ResolvedJob, folder: Path, machine: str, cores: int, tty: bool
) -> list[str]:
    """Return the command that opens a shell in the image, in the folder of one job.

    `folder` is JOB_FOLDER on this machine; `machine` and `cores` are as for `worker_command`.
    """
    return [
        *("docker", "run", "--rm", "--interactive", *(["--tty"] if tty else [])),
        *_limits(settings, machine, cores),
        *(f"--volume={folder}:{JOB_FOLDER}", f"--workdir={SHOWN.work}", "--entrypoint=/bin/sh"),
        *_environment(resolved.environment),
        settings.DOCKERHUB_TAG,
    ]


def _environment(variables: Mapping[str, str]) -> list[str]:
    return [f"--env={name}={text}" for name, text in sorted(variables.items())]


def _limits(settings: Settings, machine: str, cores: int) -> list[str]:
    cpus = min(settings.DOCKER_CORES * settings.CPUS_PER_JOB, cores)
    memory = f"{settings.MEMORY}m"
    return [
        *platform_words(machine),
        *(f"--memory={memory}", f"--memory-swap={memory}", f"--cpus={cpus}"),
        *([f"--gpus={settings.GPUS}"] if settings.GPUS else []),
    ]


def image_problems(
    settings: Settings, both: Mapping[str, Any], program: Mapping[str, Any], job_py: str
) -> list[Problem]:
    """Report what makes an image unfit for its machines.

    Args:
        settings: the settings in config.py.
        both: the output of `docker image inspect` for the image with program and worker.
        program: the same output for the program's image.
        job_py: the text of job.py.
    """
    where = f"image {settings.DOCKERHUB_TAG}"
    found = []
    kind = f"{both.get('Os')}/{both.get('Architecture')}"
    if kind != "linux/amd64":
        hint = "the machines are linux/amd64: use a base image for linux/amd64, then run make image"
        found.append(Problem(where, f"is for {kind}", hint))
    entry = (program.get("Config") or {}).get("Entrypoint") or []
    if entry and entry[-1].rpartition("/")[2] not in job_py:
        hint = "begin COMMAND with it if the program needs it"
        message = f"the entry point of the base image, {shlex.join(entry)!r}, is not run"
        found.append(Problem(where, message, hint, warning=True))
    size = float(both.get("Size") or 0) / 1e9
    room = settings.EBS_VOL_SIZE - SYSTEM_GB - size
    if room < 0:
        hint = f"set EBS_VOL_SIZE to more than {size + SYSTEM_GB:.0f}"
        found.append(Problem(where, f"{size:.1f} GB does not fit on the disk", hint))
    elif room < settings.EBS_VOL_SIZE / 4:
        message = f"{size:.1f} GB leaves {room:.0f} GB of each machine's disk for its jobs"
        hint = "raise EBS_VOL_SIZE if they need more"
        found.append(Problem(where, message, hint, warning=True))
    return found


# --- Docker itself --------------------------------------------------------------------------------


def image_name(project: Project) -> str:
    """Return DOCKERHUB_TAG, or raise BadInput if it is empty."""
    if not project.settings.DOCKERHUB_TAG:
        raise BadInput([NO_IMAGE])
    return project.settings.DOCKERHUB_TAG


def inspect(project: Project) -> list[Problem]:
    """Report the problems of the image on this machine.

    Raises:
        BadInput, CommandError: DOCKERHUB_TAG is empty, or the image does not exist.
    """
    image = image_name(project)
    both = require(image)
    program = _description(program_name(image)) or {}
    job_py = (project.root / "job.py").read_text(encoding="utf-8")
    return image_problems(project.settings, both, program, job_py)


def require(image: str) -> dict[str, Any]:
    """Return Docker's description of an image, or raise CommandError if it does not exist."""
    description = _description(image)
    if description is None:
        raise CommandError(f"image {image}: does not exist on this machine; run make image")
    return description


def run(words: Sequence[str], root: Path, failure: str, stdin: str | None = None) -> None:
    """Run a docker command in the implementation's folder; `failure` is the error's message."""
    _require_docker()
    # Older versions of Docker do not use BuildKit by default.
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    ended = subprocess.run(words, cwd=root, env=environment, input=stdin, text=True, check=False)
    if ended.returncode:
        raise CommandError(failure)


def _description(image: str) -> dict[str, Any] | None:
    _require_docker()
    words = ["docker", "image", "inspect", image]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    if ended.returncode:
        if "no such image" in ended.stderr.lower():
            return None
        raise CommandError(f"Docker does not respond: {ended.stderr.strip()[-300:]}")
    description: dict[str, Any] = json.loads(ended.stdout)[0]
    return description


def _require_docker() -> None:
    if shutil.which("docker") is None:
        raise CommandError(
            "docker: not found on PATH; install it (https://docs.docker.com/engine/install)"
        )
