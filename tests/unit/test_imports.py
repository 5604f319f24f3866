"""Who may import what: the packages of the engine, and the modules in them, form no circle.

Run as a program, it prints the import graph of the packages.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ENGINE = Path(__file__).parents[2] / "{{cookiecutter.project_slug}}"

MAY_IMPORT = {
    "jobs": set(),
    "worker": {"jobs"},
    "cloud": {"jobs"},
    "control": {"jobs", "worker", "cloud"},
}
"""Packages of the engine that a package imports, apart from itself."""

LIBRARIES = {
    "jobs": set(),
    "worker": {"boto3", "botocore", "s3transfer", "psutil"},
    "cloud": {"boto3", "botocore"},
    "control": {
        "boto3",
        "botocore",
        "psutil",
        "click",
        "rich",
        "pydantic",
        "pydantic_core",
        "moto",
    },
}
"""What a package imports besides the standard library; s3transfer is a part of boto3."""

FOR_TYPES_ONLY = "types_boto3"

OWNERS = ("config", "job")
"""The owner's files, which the engine runs and never imports."""


def module_name(path: Path) -> str:
    name = ".".join(path.relative_to(ENGINE).with_suffix("").parts)
    return name.removesuffix(".__init__")


MODULES = {module_name(path): path for path in sorted((ENGINE / "ds").rglob("*.py"))}


def imported(source: str) -> Iterator[str]:
    """Every module that a source names in an import, also inside functions and for types only."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the package"
            for name in node.names:
                inside = f"{node.module}.{name.name}"
                yield inside if inside in MODULES else str(node.module)


def package(module: str) -> str:
    """ "ds.worker.sqs" -> "worker"."""
    return module.split(".")[1]


def packages_imported() -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {name: set() for name in MAY_IMPORT}
    for module, path in MODULES.items():
        if module != "ds":
            for other in imported(path.read_text()):
                if other.startswith("ds."):
                    graph[package(module)].add(package(other))
    return {name: others - {name} for name, others in graph.items()}


def forbidden(module: str, source: str) -> list[str]:
    """The imports of a module that its package may not have."""
    own = package(module)
    wrong = []
    for other in imported(source):
        top = other.split(".")[0]
        if top == "ds":
            if other == "ds" or package(other) not in {own, *MAY_IMPORT[own]}:
                wrong.append(other)
        elif top in OWNERS or not (
            top in sys.stdlib_module_names
            or top in LIBRARIES[own]
            or top.startswith(FOR_TYPES_ONLY)
        ):
            wrong.append(other)
    return wrong


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """The names of a circle in a graph; empty without one."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for other in sorted(graph.get(name, ())):
            if found := visit(other, [*path, name]):
                return found
        done.add(name)
        return []

    return next((found for name in graph if (found := visit(name, []))), [])


def test_packages_import_exactly_what_they_may() -> None:
    assert packages_imported() == MAY_IMPORT


@pytest.mark.parametrize("module", [module for module in MODULES if module != "ds"])
def test_a_module_imports_only_what_its_package_may(module: str) -> None:
    assert forbidden(module, MODULES[module].read_text()) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("ds.worker.attempt", "from ds.control import cli"),
        ("ds.worker.attempt", "from ds.cloud.names import names"),
        ("ds.worker.attempt", "import pydantic"),
        ("ds.worker.attempt", "def f():\n    import ds.control.cli"),
        ("ds.cloud.state", "from ds.worker.s3 import Storage"),
        ("ds.cloud.state", "if TYPE_CHECKING:\n    from ds.control.files import project"),
        ("ds.cloud.state", "import psutil"),
        ("ds.jobs.message", "import boto3"),
        ("ds.jobs.message", "from ds.cloud import names"),
        ("ds.control.cli", "import config"),
        ("ds.control.cli", "from job import COMMAND"),
    ],
)
def test_a_forbidden_import_is_found(module: str, line: str) -> None:
    assert len(forbidden(module, line)) == 1


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {
        module: {other for other in imported(path.read_text()) if other in MODULES} - {module}
        for module, path in MODULES.items()
    }
    assert circle(graph) == []


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_the_map_names_every_module() -> None:
    text = (ENGINE / "ds" / "README.md").read_text()
    named = [module for module in MODULES if MODULES[module].name != "__init__.py"]
    assert [m for m in named if f"`{m.rpartition('.')[2]}`" not in text] == []


if __name__ == "__main__":
    for name, others in packages_imported().items():
        sys.stdout.write(f"{name} -> {', '.join(sorted(others)) or 'nothing'}\n")
