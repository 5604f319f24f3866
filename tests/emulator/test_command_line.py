"""run.py as a process, and the processes that it starts: what no test within one process shows."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ds.control.commands.check import check
from tests.implementation import make_implementation, run


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_implementation(tmp_path, groups=[{"name": f"n{n}"} for n in range(3000)])


def test_a_reader_that_closes_the_pipe_is_not_an_error(root: Path) -> None:
    path = root / "files" / "exampleJob.json"
    command = f"{shlex.quote(sys.executable)} run.py show {shlex.quote(str(path))} --json | head -1"
    ended = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=root,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        check=False,
    )
    assert ended.stdout == "[{\n"
    assert "Traceback" not in ended.stderr
    assert "Exception" not in ended.stderr


LOADED = """
import sys
from pathlib import Path
from ds.control import cli
assert cli.run(Path(), ["show", "files/exampleJob.json", "--json"]) == 0
heavy = {"boto3", "botocore", "moto", "flask", "rich"}
print(sorted(heavy & set(sys.modules)), file=sys.stderr)
"""


def test_show_does_not_load_what_only_other_commands_need(root: Path) -> None:
    words = [sys.executable, "-c", LOADED]
    ended = subprocess.run(words, cwd=root, capture_output=True, text=True, check=True)
    assert ended.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize("package", ["click", "pydantic"])
def test_a_package_that_is_not_installed_is_reported(tmp_path: Path, package: str) -> None:
    root = make_implementation(tmp_path)
    (root / f"{package}.py").write_text(f"raise ModuleNotFoundError(name={package!r})\n")
    shown = run(root, "show", "files/exampleJob.json")
    assert shown.returncode == 2
    assert shown.stderr.startswith(f"The Python package '{package}' is not installed; ")
    assert "Traceback" not in shown.stderr


@pytest.mark.parametrize(
    ("image", "own", "codes", "warned"),
    [
        ({"Architecture": "amd64", "Size": 1e9}, [], [], False),
        ({"Architecture": "arm64", "Size": 1e9}, [], ["DS-BUILT"], False),
        ({"Architecture": "amd64", "Size": 90e9}, [], ["DS-BUILT"], False),
        ({"Architecture": "amd64", "Size": 1e9}, ["/own"], [], True),
        (None, [], [], False),
    ],
)
def test_the_image_on_this_machine_is_checked(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    image: dict[str, object] | None,
    own: list[str],
    codes: list[str],
    warned: bool,
) -> None:
    """A stand-in for docker knows this image and the program's, or none."""
    root = make_implementation(tmp_path, settings={"DOCKERHUB_TAG": "lab/it:1"})
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    answer = "echo 'No such image' >&2; exit 1"
    if image is not None:
        workers = json.dumps([{"Os": "linux", **image, "Config": {"Entrypoint": ["/worker"]}}])
        program = json.dumps([{"Config": {"Entrypoint": own}}])
        answer = f"case $* in *-program) echo '{program}' ;; *) echo '{workers}' ;; esac"
    docker.write_text(f"#!/bin/sh\n{answer}\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(docker.parent), prepend=os.pathsep)
    report = check(root, root / "files/exampleJob.json", None, offline=True)
    assert [found.code for found in report.problems] == codes
    assert any("entry point" in warning for warning in report.warnings) == warned
