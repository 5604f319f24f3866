"""One emulated AWS for all tests of a process; a world of its own for every test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from control.emulator import Emulator, running
from tests.emulator.world import World


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    with running() as emulator:
        yield emulator


@pytest.fixture
def world(emulator: Emulator, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    with World(emulator.url, tmp_path, request.node.name) as world:
        yield world
