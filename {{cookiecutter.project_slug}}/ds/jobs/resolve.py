"""A resolved job: its arguments, inputs, output prefix and environment.

The code is pure, so the worker, `run.py show` and the checks of a job file agree.
"""

from __future__ import annotations

import fnmatch
import posixpath
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ds.jobs.command import command_arguments
from ds.jobs.definition import JobDefinition
from ds.jobs.message import Job, check_job
from ds.jobs.output_prefix import render_prefix
from ds.jobs.problems import BadInput, Problem
from ds.jobs.variables import (
    Value,
    as_text,
    environment_name,
    is_empty,
    split_args,
    split_key,
    value_problem,
)

Resolved = str | list[str] | bool | None
"""A value as the command receives it: local paths for keys, a list for `files` and `args`."""

MAX_ARGUMENT_BYTES = 128_000
"""Linux accepts at most 131,072 bytes in one argument or variable (execve(2), MAX_ARG_STRLEN).
Longer values are available only in the file `{job_json}`, not in the environment."""


@dataclass(frozen=True)
class Folders:
    """The local folders of one job.

    Attributes:
        inputs: the inputs of this job alone, as <inputs>/<bucket>/<key>.
        shared: the inputs of shared and config variables, as <shared>/<bucket>/<key>.
        work: an empty folder, in which the command runs.
        output: the folder whose files are uploaded after the command.
        job_json: the file with all variables.
    """

    inputs: str
    shared: str
    work: str
    output: str
    job_json: str


SHOWN = Folders("/job/inputs", "/job/shared", "/job/work", "/job/output", "/job/job.json")
"""The folders of a job that is only shown."""


@dataclass(frozen=True)
class Input:
    """An object, or the objects of a folder, and their local path.

    Attributes:
        key: the key; for a folder, it ends with "/", or is empty for the whole bucket.
        pattern: selects files directly in the folder; "" selects all files below it.
        shared: whether other jobs in this container use it too.
        path: the local file or folder.
    """

    bucket: str
    key: str
    folder: bool
    pattern: str
    shared: bool
    path: str

    def takes(self, key: str) -> bool:
        """Return whether a key in the folder's listing is selected."""
        name = key[len(self.key) :]
        return not self.pattern or ("/" not in name and fnmatch.fnmatchcase(name, self.pattern))


@dataclass(frozen=True)
class JobView:
    """The argument of the functions in job.py.

    Attributes:
        job_id: 16 hex digits.
        variables: every variable with its value in the job file or config.py.
        values: every variable with its value in the command: local paths instead of keys.
        output_dir, work_dir: the folders of the job.
        cores: the CPUs of one job.
        inputs_dir: the folder of the inputs, as <inputs_dir>/<bucket>/<key>.
    """

    job_id: str
    variables: Mapping[str, Value]
    values: Mapping[str, Resolved]
    output_dir: str
    work_dir: str
    cores: int
    inputs_dir: str


@dataclass(frozen=True)
class ResolvedJob:
    """Everything needed to run one job.

    Attributes:
        arguments: the program and its arguments.
        output_prefix: the prefix, without a slash at either end.
        values: every variable and built-in name with its value in the command.
    """

    job_id: str
    arguments: list[str]
    inputs: list[Input]
    output_prefix: str
    values: Mapping[str, Resolved]
    view: JobView

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables, for programs that read `$name`."""
        raw = self.view.variables
        return {
            environment_name(name): text
            for name, value in self.values.items()
            if _fits(text := _environment_text(raw.get(name), value))
        }

    @property
    def document(self) -> dict[str, Any]:
        """The content of the file `{job_json}`: numbers as numbers, other values as in COMMAND."""
        raw = self.view.variables
        numbers = {name: value for name, value in raw.items() if isinstance(value, int | float)}
        return {**self.values, **numbers, "cores": self.view.cores}


def resolve_job(
    definition: JobDefinition,
    config: Mapping[str, Value],
    job: Job,
    bucket: str,
    folders: Folders = SHOWN,
    cores: int = 1,
) -> ResolvedJob:
    """Resolve one job; raise BadInput if a variable is not valid or a function of job.py fails.

    Args:
        definition: the content of job.py.
        config: the settings of the program.
        job: the variables of the job.
        bucket: the bucket of keys that do not name a bucket.
        folders: the local folders of the job.
        cores: the CPUs of one job.
    """
    if problems := list(check_job(job, definition.types, config)):
        raise BadInput(problems)
    raw = {**config, **job.variables}
    # Inputs that the function in job.py returns are downloaded for this job alone.
    own = raw if "inputs" in definition.functions else job.group
    values = {}
    for name, value in raw.items():
        base = folders.inputs if name in own else folders.shared
        values[name] = _resolve(value, definition.types[name], bucket, base)
    view = JobView(
        job_id=job.job_id,
        variables=raw,
        values=values,
        output_dir=folders.output,
        work_dir=folders.work,
        cores=cores,
        inputs_dir=folders.inputs,
    )
    all_values: dict[str, Resolved] = {
        **values,
        "output_dir": folders.output,
        "work_dir": folders.work,
        "job_id": job.job_id,
        "cores": str(cores),
        "job_json": folders.job_json,
    }
    return ResolvedJob(
        job_id=job.job_id,
        arguments=_arguments(definition, view, all_values),
        inputs=_inputs(definition, view, job, bucket, folders),
        output_prefix=_output_prefix(definition, view),
        values=all_values,
        view=view,
    )


def check_outputs(definition: JobDefinition, view: JobView) -> str | None:
    """Call check_outputs() of job.py; return why the outputs are not valid, or None."""
    function = definition.functions.get("check_outputs")
    if function is None:
        return None
    reason = _call(function, view)
    if reason is not None and not isinstance(reason, str):
        raise _wrong_result("check_outputs", reason, "text or None")
    return reason or None


# --- Arguments and output prefix ------------------------------------------------------------------


def _arguments(
    definition: JobDefinition, view: JobView, values: Mapping[str, Resolved]
) -> list[str]:
    if function := definition.functions.get("arguments"):
        arguments = _texts(function, view, "arguments")
        if not arguments:
            raise _wrong_result("arguments", arguments, "the program and its arguments")
    else:
        assert definition.command is not None
        arguments = command_arguments(definition.command, definition.types, values)
    for argument in arguments:
        if not _fits(argument):
            message = f"an argument is longer than {MAX_ARGUMENT_BYTES} bytes: {argument[:40]}..."
            hint = "let the program read the file {job_json}, which has all variables"
            raise BadInput([Problem("", message, hint)])
    return arguments


def _fits(text: str) -> bool:
    return len(text.encode(errors="replace")) <= MAX_ARGUMENT_BYTES


def _output_prefix(definition: JobDefinition, view: JobView) -> str:
    function = definition.functions.get("output_prefix")
    if function is None:
        assert definition.output_prefix is not None
        return render_prefix(definition.output_prefix, view.variables, view.job_id)
    text = _call(function, view)
    if not isinstance(text, str):
        raise _wrong_result("output_prefix", text, "text")
    # The text is rendered as a value: the same checks apply, and braces remain text.
    return render_prefix("{text}", {"text": text}, view.job_id)


# --- Values and inputs ----------------------------------------------------------------------------


def _resolve(value: Value, type_: str, bucket: str, base: str) -> Resolved:
    """Return a value as the command receives it; `base` is the folder of the inputs."""
    if value is None or type_ == "flag" or isinstance(value, bool):
        return value if value is None else bool(value)
    if isinstance(value, list):
        return [_input(key, "file", bucket, base).path for key in value]
    text = as_text(value)
    if type_ == "args":
        return split_args(text)
    return text if type_ == "text" or not text else _input(text, type_, bucket, base).path


def _inputs(
    definition: JobDefinition, view: JobView, job: Job, bucket: str, folders: Folders
) -> list[Input]:
    found = []
    if function := definition.functions.get("inputs"):
        for text in _texts(function, view, "inputs"):
            is_folder = text.endswith("/") or _has_pattern(text.rpartition("/")[2])
            type_ = "folder" if is_folder else "file"
            if not text or value_problem(text, type_):
                raise _wrong_result("inputs", text, "keys in the bucket, or s3://bucket/key")
            found.append(_input(text, type_, bucket, folders.inputs))
    else:
        for name, value in view.variables.items():
            type_ = definition.types[name]
            if type_ in ("file", "files", "folder") and not is_empty(value):
                shared = name not in job.group
                base = folders.shared if shared else folders.inputs
                for text in value if isinstance(value, list) else [str(value)]:
                    found.append(_input(text, type_, bucket, base, shared))
    return list(dict.fromkeys(found))


def _input(text: str, type_: str, bucket: str, base: str, shared: bool = False) -> Input:
    """Parse a key, or the name of a folder: `plate1`, `plate1/` or `plate1/*_w1.tif`."""
    bucket, key = split_key(text, bucket)
    if type_ != "folder":
        return Input(bucket, key, False, "", shared, posixpath.join(base, bucket, key))
    head, _, tail = key.rpartition("/")
    pattern = tail if _has_pattern(tail) else ""
    key = head if pattern else key.rstrip("/")
    path = posixpath.join(base, bucket, key).rstrip("/")
    return Input(bucket, f"{key}/" if key else "", True, pattern, shared, path)


def _has_pattern(name: str) -> bool:
    return any(sign in name for sign in "*?[")


def _environment_text(raw: Value, value: Resolved) -> str:
    if isinstance(raw, bool):
        return as_text(raw)
    if isinstance(value, list):
        return shlex.join(value)
    return "" if value is None else str(value)


# --- The functions of job.py ----------------------------------------------------------------------


def _call(function: Callable[..., Any], view: JobView) -> object:
    try:
        return function(view)
    except Exception as error:
        message = f"fails: {type(error).__name__}: {error}"
        hint = "correct it so that it accepts the values of this job"
        raise BadInput([Problem(f"job.py, {function.__name__}()", message, hint)]) from error


def _texts(function: Callable[..., Any], view: JobView, name: str) -> list[str]:
    texts = _call(function, view)
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise _wrong_result(name, texts, "a list of text values")
    return list(texts)


def _wrong_result(name: str, result: object, expected: str) -> BadInput:
    message = f"returned {result!r:.60}"
    return BadInput([Problem(f"job.py, {name}()", message, f"return {expected}")])
