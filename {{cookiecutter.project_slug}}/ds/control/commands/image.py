"""The image of program and worker: built, pushed, looked into, and run on this machine by Docker.

What is to be run is decided by pure functions; the rest hands it to `docker`.
"""

from __future__ import annotations

import base64
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ds.cloud.errors import CommandError
from ds.cloud.names import ECR_IMAGE
from ds.control.files.project import Project
from ds.jobs.problems import Problem
from ds.jobs.resolve import SHOWN, ResolvedJob
from ds.jobs.settings import Settings

PLACEHOLDER = "user/"
"""What the questions' default name of the image begins with."""

SYSTEM_GB = 5
"""Of a machine's disk, what its own system takes (AL2023 with ECS, and what is unpacked)."""

_TAG = re.compile(r":[\w][\w.-]{0,127}$")


def program_name(image: str) -> str:
    """The name of the program's own image, beside that of program and worker."""
    return f"{image}-program" if _TAG.search(image) else f"{image}:program"


def platform_words(machine: str) -> list[str]:
    """The option that makes images for AWS's machines where this one is of another kind."""
    return [] if machine.lower() in ("x86_64", "amd64") else ["--platform=linux/amd64"]


def base_of(dockerfile: str) -> str:
    """The image that a Dockerfile's last stage stands on, as it names it."""
    stages: dict[str, str] = {}
    base = ""
    for line in dockerfile.splitlines():
        words = [word for word in line.split() if not word.startswith("--")]
        if len(words) > 1 and words[0].upper() == "FROM":
            base = stages.get(words[1], words[1])
            if len(words) > 3:
                stages[words[3]] = base
    return base


def without_user(url: str) -> str:
    """A repository's address without the name and password that may be in it."""
    parts = urlsplit(url)
    if not parts.scheme or not parts.hostname:
        return url  # git@host:path
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit(parts._replace(netloc=f"{parts.hostname}{port}"))


def build_commands(
    image: str, labels: Mapping[str, str], machine: str, more: Iterable[str] = ()
) -> list[list[str]]:
    """What builds an image in the implementation's folder: the program, then the worker on it.

    Args:
        image: its name.
        labels: of the result.
        machine: what this computer is (`platform.machine()`).
        more: options of `docker build`, for both.
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
    """What runs one worker in its container, with the memory and CPUs that it has on AWS.

    Args:
        settings: of config.py.
        environment: of the worker.
        name: of the container's host, which is part of the worker's.
        identity: the file that will hold the container's id.
        machine, system: what this computer is (`platform.machine()`, `sys.platform`).
        cores: of this computer; Docker refuses more.
    """
    inside = dict(environment)
    if system == "linux":
        network = ["--network=host"]
    else:  # Docker Desktop's containers know the computer by this name
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
    """What opens a shell in the image, in the folder of one job.

    Args:
        settings: of config.py.
        planned: the job, with the folders as SHOWN.
        folder: what those folders are on this computer.
        machine: what this computer is.
        cores: of this computer.
        tty: whether a person types.
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


def findings(
    settings: Settings, both: Mapping[str, Any], program: Mapping[str, Any], job_py: str
) -> list[Problem]:
    """What an image's own description says against it.

    Args:
        settings: of config.py.
        both: `docker image inspect` of the image of program and worker.
        program: that of the program's alone.
        job_py: text of job.py.
    """
    where = f"image {settings.DOCKERHUB_TAG}"
    found = []
    kind = f"{both.get('Os')}/{both.get('Architecture')}"
    if kind != "linux/amd64":
        hint = "machines are linux/amd64: build it with make image, on a base of that kind"
        found.append(Problem(where, f"is for {kind}", hint))
    entry = (program.get("Config") or {}).get("Entrypoint") or []
    if entry and entry[-1].rpartition("/")[2] not in job_py:
        hint = "write it first in COMMAND if the program needs it"
        message = f"its own entry point {shlex.join(entry)!r} is not run"
        found.append(Problem(where, message, hint, warning=True))
    size = float(both.get("Size") or 0) / 1e9
    room = settings.EBS_VOL_SIZE - SYSTEM_GB - size
    if room < 0:
        hint = f"raise EBS_VOL_SIZE to more than {size + SYSTEM_GB:.0f}"
        found.append(Problem(where, f"of {size:.1f} GB does not fit on the disk", hint))
    elif room < settings.EBS_VOL_SIZE / 4:
        message = f"of {size:.1f} GB leaves {room:.0f} GB of each machine's disk to all its jobs"
        found.append(Problem(where, message, "raise EBS_VOL_SIZE if they need more", warning=True))
    return found


# The edge: docker itself.


def build(project: Project, more: Sequence[str] = ()) -> list[Problem]:
    """Build the image; what is said against it then.

    Raises:
        Stopped: it cannot be built.
    """
    image = _named(project)
    for words in build_commands(image, _labels(project.root), platform.machine(), more):
        _run(words, project.root, f"{image} was not built; the lines above say why")
    return inspect(project)


def inspect(project: Project) -> list[Problem]:
    """What is said against the image that is on this machine.

    Raises:
        Stopped: it is not here.
    """
    image = _named(project)
    both = _description(image)
    if both is None:
        raise CommandError(f"the image {image} is not on this machine: build it with make image")
    program = _description(program_name(image)) or {}
    job_py = (project.root / "job.py").read_text(encoding="utf-8")
    return findings(project.settings, both, program, job_py)


def push(project: Project) -> None:
    """Push the image to the registry that its name names.

    Raises:
        Stopped: its name is nobody's, or the registry refused it.
    """
    image = _named(project)
    if image.startswith(PLACEHOLDER):
        raise CommandError(
            f"config.py, DOCKERHUB_TAG: {image} is nobody's; write the name of your account for "
            "'user', or your registry's, and make image again"
        )
    if _description(image) is None:
        raise CommandError(f"the image {image} is not on this machine: build it with make image")
    if ecr := ECR_IMAGE.match(image):
        _log_in(project, ecr["registry"], ecr["region"])
    _run(
        ["docker", "push", image],
        project.root,
        f"{image} was not pushed: its repository must exist, and docker be logged in to it",
    )


def shell(project: Project, resolved: ResolvedJob, inputs: Mapping[str, Path]) -> int:
    """Open a shell in the image, in the folder of one job; the shell's exit code.

    Args:
        project: the implementation.
        planned: the job, with the folders as SHOWN.
        inputs: the files to lay there, by the paths that the plan has for them.
    """
    inspect(project)
    folder = Path(tempfile.mkdtemp(prefix="ds-shell-"))
    top = SHOWN.work.rpartition("/")[0]
    for place in (SHOWN.inputs, SHOWN.shared, SHOWN.work, SHOWN.output):
        (folder / place.removeprefix(f"{top}/")).mkdir()
    for name, path in inputs.items():
        target = folder / name.removeprefix(f"{top}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    (folder / SHOWN.job_json.removeprefix(f"{top}/")).write_text(json.dumps(resolved.document))
    for parent, _, _ in os.walk(folder):
        Path(parent).chmod(0o777)  # the image's user is another
    _say(f"The command of this job:\n  {shlex.join(resolved.arguments)}\nIts folder: {folder}")
    cores = os.cpu_count() or 1
    tty = sys.stdin.isatty()
    words = shell_command(project.settings, resolved, folder, platform.machine(), cores, tty)
    return subprocess.run(_found(words), check=False).returncode


def _named(project: Project) -> str:
    image = project.settings.DOCKERHUB_TAG
    if not image:
        raise CommandError(
            "config.py, DOCKERHUB_TAG is empty: write the image's name, such as 'me/x:1'"
        )
    return image


def _labels(root: Path) -> dict[str, str]:
    """Where the image comes from, as far as git and the Dockerfile tell."""
    told = {
        "source": without_user(_git(root, "config", "--get", "remote.origin.url")),
        "version": _git(root, "describe", "--always", "--tags", "--dirty"),
        "base.name": base_of((root / "Dockerfile").read_text(encoding="utf-8")),
    }
    return {f"org.opencontainers.image.{name}": text for name, text in told.items() if text}


def _git(root: Path, *words: str) -> str:
    if shutil.which("git") is None:
        return ""
    asked = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    return asked.stdout.strip()


def _description(image: str) -> dict[str, Any] | None:
    words = _found(["docker", "image", "inspect", image])
    asked = subprocess.run(words, capture_output=True, text=True, check=False)
    if asked.returncode:
        if "no such image" not in asked.stderr.lower():
            raise CommandError(f"docker does not answer: {asked.stderr.strip()[-300:]}")
        return None
    description: dict[str, Any] = json.loads(asked.stdout)[0]
    return description


def _log_in(project: Project, registry: str, region: str) -> None:
    from ds.cloud.client import Aws, reporting_errors

    with reporting_errors(project.settings.AWS_PROFILE):
        answer = Aws(project.settings).client("ecr", region).get_authorization_token()
    token = answer["authorizationData"][0]["authorizationToken"]
    user, _, password = base64.b64decode(token).decode().partition(":")
    words = ["docker", "login", "--username", user, "--password-stdin", registry]
    _run(words, project.root, f"docker could not log in to {registry}", password)


def _run(words: Sequence[str], root: Path, failure: str, stdin: str | None = None) -> None:
    ended = subprocess.run(
        _found(words),
        cwd=root,
        # Older clients of Docker ask for it.
        env={**os.environ, "DOCKER_BUILDKIT": "1"},
        input=stdin,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise CommandError(failure)


def _found(words: Sequence[str]) -> Sequence[str]:
    if shutil.which(words[0]) is None:
        raise CommandError("docker is not on PATH: install Docker (https://docs.docker.com/engine)")
    return words


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
