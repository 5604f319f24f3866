"""A small implementation for a test: the engine, with config.py and job.py of the test."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENGINE = ROOT / "{{cookiecutter.project_slug}}"

COMMAND = """bash -c 'echo "$name" > "$output_dir/out.txt"'"""


def make_implementation(
    tmp_path: Path,
    *,
    command: str | None = COMMAND,
    variables: Mapping[str, str] | None = None,
    output_prefix: str | None = "out/{name}",
    settings: Mapping[str, object] | None = None,
    groups: object = ({"name": "a"}, {"name": "b"}),
    shared: Mapping[str, object] | None = None,
    job_py: str = "",
    folder: str = "Distributed-Test",
) -> Path:
    """Write an implementation and return its folder.

    Args:
        tmp_path: the folder in which the implementation is created.
        command, variables, output_prefix: COMMAND (None omits it), VARIABLES (default: `name` is
            a text) and OUTPUT_PREFIX of job.py.
        settings: settings of config.py besides APP_NAME 'Test' and AWS_BUCKET 'test-bucket'.
        groups, shared: the groups and shared variables of files/exampleJob.json.
        job_py: Python text that is added at the end of job.py.
        folder: the name of the implementation's folder.
    """
    root = tmp_path / folder
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ENGINE / "ds", root / "ds", ignore=ignore)
    for name in ("run.py", "setup_AWS.py"):
        shutil.copy(ENGINE / name, root / name)
    values = {"APP_NAME": "Test", "AWS_BUCKET": "test-bucket", **(settings or {})}
    lines = "\n\n".join(f"{name} = {value!r}" for name, value in values.items())
    (root / "config.py").write_text(f"{lines}\n", encoding="utf-8")
    parts = [] if command is None else [f"COMMAND = {command!r}"]
    parts.append(f"VARIABLES = {dict(variables if variables is not None else {'name': 'text'})!r}")
    if output_prefix is not None:
        parts.append(f"OUTPUT_PREFIX = {output_prefix!r}")
    text = "\n\n".join(parts) + "\n"
    if job_py:
        text += f"\n\n{job_py}"
    (root / "job.py").write_text(text, encoding="utf-8")
    write_jobs(root, groups, shared)
    return root


def write_jobs(
    root: Path,
    groups: object,
    shared: Mapping[str, object] | None = None,
    name: str = "exampleJob.json",
) -> Path:
    """Write a job file below `files/` of an implementation and return its path."""
    if isinstance(groups, Sequence):
        groups = list(groups)
    path = root / "files" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**(shared or {}), "groups": groups}, indent=2), encoding="utf-8")
    return path


def run(
    root: Path, *words: str, timeout: float = 240, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `python run.py WORDS` in an implementation, as a user does."""
    return subprocess.run(
        [sys.executable, "run.py", *words],
        cwd=root,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
        check=False,
    )
