"""Test config.py, job.py and files/exampleJob.json as you edited them."""

import json
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ds.control.files.job_file import JobFile, read_job_file
from ds.control.files.project import Project, load_project
from ds.jobs.problems import BadInput
from ds.jobs.resolve import SHOWN, ResolvedJob

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "files" / "exampleJob.json"
DATA = ROOT / "data"


@contextmanager
def reported_problems() -> Iterator[None]:
    """Report problems in your files as run.py does, without a traceback of the engine."""
    try:
        yield
    except BadInput as error:
        pytest.fail("\n".join(map(str, error.problems)), pytrace=False)


@pytest.fixture(scope="module")
def implementation() -> Project:
    with reported_problems():
        return load_project(ROOT)


@pytest.fixture(scope="module")
def jobs(implementation: Project) -> JobFile:
    with reported_problems():
        program = implementation.settings.program
        return read_job_file(EXAMPLE, implementation.definition, program)


@pytest.fixture(scope="module")
def resolved_jobs(implementation: Project, jobs: JobFile) -> list[ResolvedJob]:
    return [implementation.resolve(job) for job in jobs.jobs()]


def test_settings_and_job_definition_are_valid(implementation: Project) -> None:
    """Pytest's summary shows warnings: what is valid but probably a mistake."""
    assert implementation.definition.types
    for warning in implementation.warnings:
        warnings.warn(str(warning), stacklevel=1)


def test_every_example_job_is_valid(jobs: JobFile) -> None:
    assert jobs.count == len(list(jobs.jobs())) > 0


def test_each_example_job_has_its_own_output_prefix(resolved_jobs: list[ResolvedJob]) -> None:
    prefixes = [resolved.output_prefix for resolved in resolved_jobs]
    assert len(set(prefixes)) == len(prefixes)


def test_the_example_jobs_run_on_this_machine(
    resolved_jobs: list[ResolvedJob], tmp_path: Path
) -> None:
    program = resolved_jobs[0].arguments[0]
    is_input = program.startswith((SHOWN.inputs, SHOWN.shared))
    if not is_input and shutil.which(program) is None:
        pytest.skip(f"the program {program} is not installed on this machine")
    if any(resolved.inputs for resolved in resolved_jobs) and not DATA.is_dir():
        pytest.skip("the folder data/, which must contain the inputs of the jobs, does not exist")
    command = [sys.executable, "run.py", "local", str(EXAMPLE), "--json"]
    command += ["--data", str(DATA), "--output", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr + ended.stdout
    report = json.loads(ended.stdout)
    assert report["done"] == report["jobs"] == len(resolved_jobs)
    for result in report["results"]:
        assert all((tmp_path / name).is_file() for name in result["outputs"])
