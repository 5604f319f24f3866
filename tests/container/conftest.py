"""Fixtures: a Docker daemon, bases and images per process; without a daemon the tests are skipped.

On a machine without a daemon, each process of pytest-xdist starts its own.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ds.control.local.emulator import Emulator, running
from tests.container import bases
from tests.container.bases import Downloads, docker
from tests.container.daemon import Unavailable, daemon
from tests.container.machine import Containers
from tests.implementation import ENGINE, make_implementation


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(900))  # the first test builds the bases


@pytest.fixture(scope="session")
def _daemon() -> Iterator[None]:
    try:
        with daemon():
            yield
    except Unavailable as reason:
        pytest.skip(f"containers cannot run: {reason}")


@pytest.fixture(scope="session")
def base(_daemon: None, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Return the name of a base image, which is created on first use."""
    return functools.cache(lambda name: bases.base(name, tmp_path_factory.mktemp("base")))


@pytest.fixture(scope="session")
def downloads(_daemon: None, tmp_path_factory: pytest.TempPathFactory) -> Downloads:
    return bases.downloads(tmp_path_factory.mktemp("downloads"))


Build = Callable[..., str]


@pytest.fixture(scope="session")
def build(downloads: Downloads, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Build the images NAME-program and, with the worker on top, NAME; return NAME."""

    def build(name: str, dockerfile: str, root: Path | None = None) -> str:
        downloads.offer("musl" if "musl" in name else "gnu")
        root = root or make_implementation(tmp_path_factory.mktemp("image"))
        (root / "Dockerfile").write_text(dockerfile)
        shutil.copy(ENGINE / ".dockerignore", root)
        program = f"ds-test/{name}-program"
        docker("build", "--network=host", "--tag", program, str(root))
        docker(
            *("build", *downloads.build_arguments, "--build-arg", f"PROGRAM_IMAGE={program}"),
            *("--file", str(root / "ds/worker/Dockerfile"), "--tag", f"ds-test/{name}", str(root)),
        )
        return f"ds-test/{name}"

    return build


@pytest.fixture(scope="session")
def image(base: Callable[[str], str], build: Build) -> str:
    """The image of most tests, which mount their own job.py into it."""
    return build("debian", f"FROM {base('debian')}\n")


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    with running() as emulator:
        yield emulator


@pytest.fixture
def containers(
    emulator: Emulator, tmp_path: Path, request: pytest.FixtureRequest, _daemon: None
) -> Iterator[Containers]:
    containers = Containers(emulator.url, tmp_path, request.node.name)
    with containers:
        yield containers
