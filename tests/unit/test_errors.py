"""Errors that end a command report what is wrong and what to do."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from ds.cloud.client import explain, reporting_errors
from ds.cloud.errors import AwsError, CommandError, Interrupted

ENGINE = Path(__file__).parents[2] / "{{cookiecutter.project_slug}}" / "ds"
FOLDERS = ("cloud", "control/local")


def texts(path: Path) -> list[str]:
    """The texts of the errors that a module raises, as far as they stand in it."""
    raised = [
        node.exc
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
    ]
    return [
        ast.unparse(call.args[0])
        for call in raised
        if isinstance(call.func, ast.Name)
        and call.func.id in ("CommandError", "AwsError")
        and isinstance(call.args[0], (ast.Constant, ast.JoinedStr, ast.BinOp))
    ]


@pytest.mark.parametrize(
    "path",
    [path for folder in FOLDERS for path in (ENGINE / folder).glob("*.py")],
    ids=lambda path: path.stem,
)
def test_every_error_has_its_hint_after_a_semicolon(path: Path) -> None:
    assert [text for text in texts(path) if "; " not in text] == []


def test_each_kind_of_error_has_its_exit_code() -> None:
    assert [kind("x; y").exit_code for kind in (CommandError, AwsError, Interrupted)] == [2, 3, 130]


def test_the_hint_is_separate_whatever_the_text_of_aws_contains() -> None:
    error = ClientError({"Error": {"Code": "Odd", "Message": "first; second"}}, "CreateCluster")
    problem = explain(error)
    assert problem.message == "AWS refused CreateCluster: Odd: first; second"
    assert problem.hint == "fix that, then run the same command again"
    with pytest.raises(AwsError) as raised, reporting_errors("default"):
        raise error
    assert str(raised.value) == str(problem)
