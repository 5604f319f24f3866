"""What depends on the files that are yours: config.py, job.py, files/exampleJob.json."""

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


@contextmanager
def told_in_a_line() -> Iterator[None]:
    """A mistake in your files is told as run.py tells it, without the engine's code."""
    try:
        yield
    except BadInput as error:
        pytest.fail("\n".join(map(str, error.problems)), pytrace=False)


@pytest.fixture(scope="module")
def mine() -> Project:
    with told_in_a_line():
        return load_project(ROOT)


@pytest.fixture(scope="module")
def jobs(mine: Project) -> JobFile:
    with told_in_a_line():
        return read_job_file(EXAMPLE, mine.definition, mine.settings.program)


@pytest.fixture(scope="module")
def resolved_jobs(mine: Project, jobs: JobFile) -> list[ResolvedJob]:
    return [mine.resolve(job) for job in jobs.jobs()]


def test_config_and_job_definition_are_accepted(mine: Project) -> None:
    """What is allowed but probably not meant stands in pytest's summary of warnings."""
    assert mine.definition.types
    for warning in mine.warnings:
        warnings.warn(str(warning), stacklevel=1)


def test_every_example_job_is_accepted(jobs: JobFile) -> None:
    assert jobs.count == len(list(jobs.jobs())) > 0


def test_no_two_example_jobs_share_an_output_prefix(resolved_jobs: list[ResolvedJob]) -> None:
    prefixes = [resolved.output_prefix for resolved in resolved_jobs]
    assert len(set(prefixes)) == len(prefixes)


def test_the_example_jobs_run_here(resolved_jobs: list[ResolvedJob], tmp_path: Path) -> None:
    """One real run; on a machine without the program, or without the jobs' inputs, it is told."""
    program = resolved_jobs[0].arguments[0]
    brought = program.startswith((SHOWN.inputs, SHOWN.shared))
    if not brought and shutil.which(program) is None:
        pytest.skip(f"not run: the program {program} is not on this machine")
    data = ROOT / "data"
    if any(resolved.inputs for resolved in resolved_jobs) and not data.is_dir():
        pytest.skip("not run: the example jobs have inputs, and there is no folder data/ with them")
    words = ["local", str(EXAMPLE), "--json", "--data", str(data), "--output", str(tmp_path)]
    ended = subprocess.run(
        [sys.executable, "run.py", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr + ended.stdout
    answer = json.loads(ended.stdout)
    assert answer["done"] == answer["jobs"] == len(resolved_jobs)
    for result in answer["results"]:
        assert all((tmp_path / name).is_file() for name in result["outputs"])
