"""The packages of a generated repository need no more than their container or function has."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ONLY = """
import importlib, pathlib, sys

ALLOWED = set(sys.argv[2].split(","))

class Refuse:
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top not in ALLOWED and top not in sys.stdlib_module_names and top != "ds":
            raise ModuleNotFoundError(f"{name} is not installed there", name=name)

sys.meta_path.insert(0, Refuse())
sys.path.insert(0, ".")
for package in sys.argv[1].split(","):
    for path in sorted(pathlib.Path("ds", package).glob("*.py")):
        if path.stem != "__init__":
            print(importlib.import_module(f"ds.{package}.{path.stem}").__name__)
"""

BOTO3 = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six")


@pytest.mark.parametrize(
    ("packages", "libraries"),
    [
        ("jobs", ()),
        ("jobs,cloud", BOTO3),
        ("jobs,worker", (*BOTO3, "psutil")),
    ],
)
def test_a_package_imports_with_only_its_own_libraries(
    bake: Callable[..., Path], packages: str, libraries: tuple[str, ...]
) -> None:
    command = [sys.executable, "-c", ONLY, packages, ",".join(libraries)]
    done = subprocess.run(command, cwd=bake(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 5
