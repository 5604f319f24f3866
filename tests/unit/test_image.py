"""The docker commands, and the problems of an image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ds.control.commands.image import without_user
from ds.control.docker import (
    base_of,
    build_commands,
    image_problems,
    platform_words,
    program_name,
    shell_command,
    worker_command,
)
from ds.jobs.resolve import JobView, ResolvedJob
from ds.jobs.settings import Settings

SETTINGS = Settings(
    APP_NAME="Test", DOCKERHUB_TAG="me/x:1", MEMORY=4000, DOCKER_CORES=4, CPUS_PER_JOB=2
)


@pytest.mark.parametrize(
    ("image", "program"),
    [
        ("me/x:1", "me/x:1-program"),
        ("me/x", "me/x:program"),
        ("localhost:5000/x", "localhost:5000/x:program"),
        ("localhost:5000/x:a.b_c", "localhost:5000/x:a.b_c-program"),
    ],
)
def test_the_program_has_an_image_of_another_name(image: str, program: str) -> None:
    assert program_name(image) == program


@pytest.mark.parametrize("machine", ["x86_64", "AMD64", "arm64", "aarch64"])
def test_images_are_built_for_the_machines_of_aws(machine: str) -> None:
    same = machine.lower() in ("x86_64", "amd64")
    assert platform_words(machine) == ([] if same else ["--platform=linux/amd64"])


@pytest.mark.parametrize(
    ("dockerfile", "base"),
    [
        ("FROM debian:12\nRUN x\n", "debian:12"),
        ("# FROM no\nfrom  --platform=linux/amd64 a/b:1 as c\n", "a/b:1"),
        ("FROM a AS one\nFROM b\nFROM one\n", "a"),
        ("", ""),
    ],
)
def test_the_base_is_the_one_of_the_last_stage(dockerfile: str, base: str) -> None:
    assert base_of(dockerfile) == base


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:token@github.com/org/x.git", "https://github.com/org/x.git"),
        ("https://token@host:8443/x", "https://host:8443/x"),
        ("git@github.com:org/x.git", "git@github.com:org/x.git"),
        ("", ""),
    ],
)
def test_a_label_never_contains_a_token(url: str, shown: str) -> None:
    assert without_user(url) == shown


def test_an_image_needs_two_builds() -> None:
    program, both = build_commands("me/x:1", {"a": "b c"}, "arm64", ["--no-cache"])
    start = ["docker", "build", "--platform=linux/amd64", "--no-cache"]
    assert program == [*start, "--tag", "me/x:1-program", "."]
    assert both == [
        *start,
        *("--build-arg=PROGRAM_IMAGE=me/x:1-program", "--file", "ds/worker/Dockerfile"),
        *("--label=a=b c", "--tag", "me/x:1", "."),
    ]


def test_a_worker_has_memory_and_cpus_as_on_aws_within_this_computers_cores() -> None:
    environment = {"AWS_ENDPOINT_URL": "http://127.0.0.1:5", "B": "x y"}
    words = worker_command(
        SETTINGS, environment, "worker-1", Path("/f/w.cid"), "x86_64", "linux", 6, 8
    )
    assert words == [
        *("docker", "run", "--rm", "--cidfile=/f/w.cid", "--hostname=worker-1", "--network=host"),
        *("--memory=4000m", "--memory-swap=4000m", "--cpus=6"),
        *("--env=AWS_ENDPOINT_URL=http://127.0.0.1:5", "--env=B=x y", "me/x:1"),
    ]


def test_containers_of_docker_desktop_reach_the_computer_by_its_name() -> None:
    environment = {"AWS_ENDPOINT_URL": "http://127.0.0.1:5"}
    gpus = replace(SETTINGS, GPUS=2)
    words = worker_command(gpus, environment, "w", Path("/c"), "arm64", "darwin", 10, 4)
    assert "--env=AWS_ENDPOINT_URL=http://host.docker.internal:5" in words
    assert "--network=host" not in words
    assert "--platform=linux/amd64" in words
    assert "--cpus=8" in words
    assert "--gpus=2" in words


@pytest.mark.parametrize(
    ("wanted", "existing", "word"),
    [(0, 4, None), (2, 0, None), (2, 1, "--gpus=1"), (2, 2, "--gpus=2"), (2, 4, "--gpus=2")],
)
def test_a_container_has_no_more_gpus_than_this_machine(
    wanted: int, existing: int, word: str | None
) -> None:
    """Docker refuses to start one that has."""
    settings = replace(SETTINGS, GPUS=wanted)
    words = worker_command(settings, {}, "w", Path("/c"), "x86_64", "linux", 2, existing)
    assert [found for found in words if found.startswith("--gpus")] == ([word] if word else [])


@pytest.mark.parametrize("tty", [True, False])
def test_a_shell_opens_in_the_jobs_folder_with_its_variables(tty: bool) -> None:
    view = JobView("id", {}, {}, "/job/output", "/job/work", 1, "/job/inputs")
    resolved = ResolvedJob("id", ["x"], [], "p", {"name": "a b"}, view)
    words = shell_command(SETTINGS, resolved, Path("/tmp/f"), "x86_64", 2, 0, tty)
    assert ("--tty" in words) == tty
    assert words[-5:] == [
        *("--volume=/tmp/f:/job", "--workdir=/job/work", "--entrypoint=/bin/sh"),
        *("--env=name=a b", "me/x:1"),
    ]


def described(**changes: Any) -> dict[str, Any]:
    return {"Os": "linux", "Architecture": "amd64", "Size": 3e9, "Config": {}, **changes}


@pytest.mark.parametrize(
    ("both", "entry", "found"),
    [
        ({}, None, []),
        ({}, [], []),
        (
            {},
            ["/opt/fiji/run.sh"],
            ["warning: the entry point of the base image, '/opt/fiji/run.sh', is not run"],
        ),
        ({}, ["/usr/local/bin/_entrypoint.sh"], []),  # COMMAND begins with it
        ({"Architecture": "arm64"}, None, ["is for linux/arm64"]),
        (
            {"Size": 36e9},
            None,
            ["36.0 GB does not fit on the disk; set EBS_VOL_SIZE to more than 41"],
        ),
        ({"Size": 34.9e9}, None, ["warning: 34.9 GB leaves 0 GB of each machine's disk"]),
        ({"Size": 25.1e9}, None, ["warning: 25.1 GB leaves 10 GB of each machine's disk"]),
        ({"Size": 24.9e9}, None, []),
    ],
)
def test_problems_of_an_image_are_reported(
    both: dict[str, Any], entry: list[str] | None, found: list[str]
) -> None:
    program = described(Config={"Entrypoint": entry})
    job_py = "COMMAND = '/usr/local/bin/_entrypoint.sh bioformats2raw'"
    problems = image_problems(SETTINGS, described(**both), program, job_py)
    assert len(problems) == len(found)
    for problem, expected in zip(problems, found, strict=True):
        assert str(problem).startswith(f"image me/x:1: {expected.removeprefix('warning: ')}")
        assert problem.warning == expected.startswith("warning: ")
