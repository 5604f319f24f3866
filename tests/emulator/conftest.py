"""Fixtures: one emulated AWS per process, a separate world for every test.

`emulator` and `world` are the plain emulator of `run.py local`. `strict` and `aws` refuse what AWS
refuses (docs/emulator.md). `account` is an implementation that talks to the strict emulator.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ds.control.local.emulator import Emulator, running
from tests.emulator.account import Account, make_account, make_roles
from tests.emulator.aws import client
from tests.emulator.world import World


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    with running() as emulator:
        yield emulator


@pytest.fixture
def world(emulator: Emulator, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    with World(emulator.url, tmp_path, request.node.name) as world:
        yield world


@pytest.fixture(scope="session")
def strict() -> Iterator[client.Control]:
    """The strict emulator, as the previous tests left it."""
    with client.running() as control:
        yield control


@pytest.fixture
def aws(strict: client.Control) -> Iterator[client.Control]:
    """The strict emulator with an empty account, no faults, no tasks."""
    strict.reset()
    yield strict
    strict.reset(aws=False)


@pytest.fixture
def bare_account(aws: client.Control, tmp_path: Path) -> Account:
    """An empty account with a bucket but no roles, and an implementation."""
    return make_account(aws, tmp_path)


@pytest.fixture
def account(bare_account: Account) -> Account:
    """An account in which setup_AWS.py was run, and an implementation."""
    make_roles(bare_account)
    return bare_account
