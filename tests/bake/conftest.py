"""Fixtures: repositories generated in process from a clean copy of the template."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_cookies.plugin import Cookies

from tests.template import copy_template, literal

Bake = Callable[..., Path]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_template(tmp_path_factory.mktemp("template"))


@pytest.fixture
def bake(cookies: Cookies, template: Path) -> Bake:
    """Generate a repository from literal answers, as if they were typed at the questions."""

    def baked(**answers: str) -> Path:
        context = {name: literal(answer) for name, answer in answers.items()}
        result = cookies.bake(extra_context=context, template=str(template))
        assert result.exception is None
        assert result.project_path is not None
        return result.project_path

    return baked
