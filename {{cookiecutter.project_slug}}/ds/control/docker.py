"""The image of program and worker on this machine: pure functions decide what `docker` runs."""

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
"""Disk space that a machine's system takes (AL2023 with ECS, and what is unpacked)."""

_TAG = re.compile(r":[\w][\w.-]{0,127}$")


def program_name(image: str) -> str:
    """Return the name of the program's own image, on which the worker is added."""
    return f"{image}-program" if _TAG.search(image) else f"{image}:program"


def platform_words(machine: str) -> list[str]:
    """Return the option for images of AWS's machines if this machine has another architecture."""
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

    Args:
        image: the name of the result.
        labels: of the result.
        machine: this computer's architecture (`platform.machine()`).
        more: options of `docker build`, for both commands.
    """
    build = ["docker", "build", *platform_words(machine), *more]
    program = program_name(image)
    named = [f"--label={name}={text}" for name, text in labels.items()]
    argument = f"--build-arg=PROGRAM_IMAGE={program}"
    return [
        [*build, "--tag", program, "."],
        [*build, argument, *named, "--file", "ds/worker/Dockerfile", "--tag", image, "."],
    ]


def worker_command(
    settings: Settings,
    environment: Mapping[str, str],
    name: str,
    identity: Path,
    machine: str,
    system: str,
    cores: int,
) -> list[str]:
    """Return the command that runs one worker in its container, with memory and CPUs as on AWS.

    Args:
        settings: of config.py.
        environment: of the worker.
        name: the container's host name, which becomes part of the worker's name.
        identity: the file that will hold the container's id.
        machine, system: this computer's (`platform.machine()`, `sys.platform`).
        cores: of this computer; Docker refuses more.
    """
    inside = dict(environment)
    if system == "linux":
        network = ["--network=host"]
    else:  # in Docker Desktop's containers the computer has this name
        network = []
        url = inside.get("AWS_ENDPOINT_URL", "")
        inside["AWS_ENDPOINT_URL"] = url.replace("127.0.0.1", "host.docker.internal")
    return [
        *("docker", "run", "--rm", f"--cidfile={identity}", f"--hostname={name}"),
        *network,
        *_limits(settings, machine, cores),
        *(f"--env={name}={text}" for name, text in sorted(inside.items())),
        settings.DOCKERHUB_TAG,
    ]


def shell_command(
    settings: Settings, resolved: ResolvedJob, folder: Path, machine: str, cores: int, tty: bool
) -> list[str]:
    """Return the command that opens a shell in the image, in the folder of one job.

    Args:
        settings: of config.py.
        resolved: the job, with the folders as SHOWN.
        folder: holds those folders on this computer.
        machine: this computer's architecture.
        cores: of this computer.
        tty: whether standard input is a terminal.
    """
    top = SHOWN.work.rpartition("/")[0]
    return [
        *("docker", "run", "--rm", "--interactive", *(["--tty"] if tty else [])),
        *_limits(settings, machine, cores),
        *(f"--volume={folder}:{top}", f"--workdir={SHOWN.work}", "--entrypoint=/bin/sh"),
        *(f"--env={name}={text}" for name, text in sorted(resolved.environment.items())),
        settings.DOCKERHUB_TAG,
    ]


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
        settings: of config.py.
        both: `docker image inspect` of the image of program and worker.
        program: the same of the program's own image.
        job_py: text of job.py.
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


# --- The edge: docker itself ----------------------------------------------------------------------


def image_name(project: Project) -> str:
    """Return DOCKERHUB_TAG.

    Raises:
        BadInput: it is empty.
    """
    if not project.settings.DOCKERHUB_TAG:
        raise BadInput([NO_IMAGE])
    return project.settings.DOCKERHUB_TAG


def inspect(project: Project) -> list[Problem]:
    """Report the problems of the image on this machine.

    Raises:
        BadInput, CommandError: DOCKERHUB_TAG is empty, or the image does not exist here.
    """
    image = image_name(project)
    both = require(image)
    program = _description(program_name(image)) or {}
    job_py = (project.root / "job.py").read_text(encoding="utf-8")
    return image_problems(project.settings, both, program, job_py)


def require(image: str) -> dict[str, Any]:
    """Return Docker's description of an image.

    Raises:
        CommandError: the image does not exist on this machine.
    """
    description = _description(image)
    if description is None:
        raise CommandError(f"image {image}: does not exist on this machine; run make image")
    return description


def run(words: Sequence[str], root: Path, failure: str, stdin: str | None = None) -> None:
    """Run a docker command in the implementation's folder.

    Raises:
        CommandError: with `failure`, if the command fails.
    """
    _require_docker()
    ended = subprocess.run(
        words,
        cwd=root,
        # Older clients of Docker need it.
        env={**os.environ, "DOCKER_BUILDKIT": "1"},
        input=stdin,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise CommandError(failure)


def _description(image: str) -> dict[str, Any] | None:
    _require_docker()
    words = ["docker", "image", "inspect", image]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    if ended.returncode:
        if "no such image" not in ended.stderr.lower():
            raise CommandError(f"Docker does not respond: {ended.stderr.strip()[-300:]}")
        return None
    description: dict[str, Any] = json.loads(ended.stdout)[0]
    return description


def _require_docker() -> None:
    if shutil.which("docker") is None:
        raise CommandError(
            "docker: not found on PATH; install it (https://docs.docker.com/engine/install)"
        )
