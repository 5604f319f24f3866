"""One job, decided before anything is done: its arguments, inputs, output prefix, environment.

Pure, so the worker, `run.py show` and the checks of a job file say the same.
"""

from __future__ import annotations

import fnmatch
import posixpath
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ds.jobs import command as language
from ds.jobs import output_prefix as prefix
from ds.jobs.definition import JobDefinition
from ds.jobs.message import Job, problems
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
"""A value as the command sees it: local paths for keys, a list for `files` and `args`."""


MAX_ARGUMENT_BYTES = 128_000
"""Linux takes at most 131,072 bytes in one argument or variable (execve(2), MAX_ARG_STRLEN). What
is longer is left out of the environment, and stands in the file `{job_json}`."""


@dataclass(frozen=True)
class Folders:
    """Local places of one job.

    Attributes:
        inputs: for inputs of this job alone, below bucket and key.
        shared: for inputs of shared and config variables, likewise.
        work: fresh and empty, where the command runs.
        output: what lies there afterwards is uploaded.
        job_json: the file with all variables.
    """

    inputs: str
    shared: str
    work: str
    output: str
    job_json: str


SHOWN = Folders(
    inputs="/job/inputs",
    shared="/job/shared",
    work="/job/work",
    output="/job/output",
    job_json="/job/job.json",
)
"""Folders of a job that is only looked at."""


@dataclass(frozen=True)
class Input:
    """An object, or all objects of a folder, and where they go.

    Attributes:
        bucket, key: a folder's key ends with "/" (or is empty: the whole bucket).
        folder: whether it is one.
        pattern: which of the folder's own files; "" for all files below it.
        shared: whether other jobs of this container name it too.
        path: the local file or folder.
    """

    bucket: str
    key: str
    folder: bool
    pattern: str
    shared: bool
    path: str

    def takes(self, key: str) -> bool:
        """Whether a key of the folder's listing is wanted."""
        name = key[len(self.key) :]
        return not self.pattern or ("/" not in name and fnmatch.fnmatchcase(name, self.pattern))


@dataclass(frozen=True)
class JobView:
    """What the functions of job.py are given.

    Attributes:
        job_id: 16 hex digits.
        variables: every variable as the job file or config.py has it.
        values: every variable as the command sees it: keys are local paths.
        output_dir, work_dir: the job's folders.
        cores: CPUs of one job.
        inputs_dir: where inputs lie, as <inputs_dir>/<bucket>/<key>.
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
    """All that doing one job needs.

    Attributes:
        job_id: of the job.
        arguments: program and arguments.
        inputs: what is fetched first.
        output_prefix: where outputs go; no slash at either end.
        values: every variable and built-in name as the command sees it.
        view: what the functions of job.py are given.
    """

    job_id: str
    arguments: list[str]
    inputs: list[Input]
    output_prefix: str
    values: Mapping[str, Resolved]
    view: JobView

    @property
    def environment(self) -> dict[str, str]:
        """The variables for programs that read `$name`."""
        raw = self.view.variables
        return {
            environment_name(name): text
            for name, value in self.values.items()
            if _fits(text := _environment_text(raw.get(name), value))
        }

    @property
    def document(self) -> dict[str, Any]:
        """What the file `{job_json}` holds."""
        raw = self.view.variables
        document = {name: _document_value(raw.get(name), v) for name, v in self.values.items()}
        return document | {"cores": self.view.cores}


def resolve(
    definition: JobDefinition,
    config: Mapping[str, Value],
    job: Job,
    bucket: str,
    folders: Folders = SHOWN,
    cores: int = 1,
) -> ResolvedJob:
    """Decide one job.

    Args:
        definition: of job.py.
        config: the program's own settings.
        job: the message's variables.
        bucket: where keys without a bucket lie.
        folders: the job's local places.
        cores: CPUs of one job.

    Raises:
        BadInput: a variable is unknown, missing or of the wrong type; or a function of job.py
            failed.
    """
    found = problems(job, definition.types, config)
    if found:
        raise BadInput(found)
    raw = {**config, **job.variables}
    # What job.py's own function names is fetched for this job alone, shared variable or not.
    own = raw if "inputs" in definition.functions else job.group
    values = {
        name: _resolve(
            value,
            definition.types[name],
            bucket,
            folders.inputs if name in own else folders.shared,
        )
        for name, value in raw.items()
    }
    built_in: dict[str, Resolved] = {
        "output_dir": folders.output,
        "work_dir": folders.work,
        "job_id": job.job_id,
        "cores": str(cores),
        "job_json": folders.job_json,
    }
    view = JobView(
        job_id=job.job_id,
        variables=raw,
        values=values,
        output_dir=folders.output,
        work_dir=folders.work,
        cores=cores,
        inputs_dir=folders.inputs,
    )
    all_values = values | built_in
    return ResolvedJob(
        job_id=job.job_id,
        arguments=_short(_arguments(definition, view, all_values)),
        inputs=_inputs(definition, view, job, bucket, folders),
        output_prefix=_output_prefix(definition, view),
        values=all_values,
        view=view,
    )


def _output_prefix(definition: JobDefinition, view: JobView) -> str:
    """Where a job's outputs go; no slash at either end."""
    function = definition.functions.get("output_prefix")
    if function is None:
        assert definition.output_prefix is not None
        return prefix.render(definition.output_prefix, view.variables, view.job_id)
    text = _call(function, view)
    if not isinstance(text, str):
        raise _wrong_answer("output_prefix", text, "a text")
    # Rendered as a value, so that one rule says what a prefix may be and its braces stay.
    return prefix.render("{text}", {"text": text}, view.job_id)


def check_outputs(definition: JobDefinition, view: JobView) -> str | None:
    """What job.py's own check says of a job's outputs: a reason, or None if it is content."""
    function = definition.functions.get("check_outputs")
    if function is None:
        return None
    reason = _call(function, view)
    if reason is not None and not isinstance(reason, str):
        raise _wrong_answer("check_outputs", reason, "a text, or None")
    return reason or None


def _resolve(value: Value, type_: str, bucket: str, base: str) -> Resolved:
    if value is None:
        return None
    if type_ == "flag":
        return bool(value)
    if isinstance(value, list):
        return [_local(key, bucket, base) for key in value]
    if isinstance(value, bool):
        return value
    text = as_text(value)
    if type_ == "args":
        return split_args(text)
    if type_ == "text" or not text:
        return text
    return _local(text, bucket, base) if type_ == "file" else _folder(text, bucket, base).path


def _local(key: str, bucket: str, base: str) -> str:
    return posixpath.join(base, *split_key(key, bucket))


def _folder(text: str, bucket: str, base: str, shared: bool = False) -> Input:
    """The folder that `plate1`, `plate1/` or `plate1/*_w1.tif` names."""
    holder, key = split_key(text, bucket)
    head, _, tail = key.rpartition("/")
    pattern = tail if any(sign in tail for sign in "*?[") else ""
    key = head if pattern else key.rstrip("/")
    path = posixpath.join(base, holder, key).rstrip("/")
    return Input(holder, f"{key}/" if key else "", True, pattern, shared, path)


def _inputs(
    definition: JobDefinition,
    view: JobView,
    job: Job,
    bucket: str,
    folders: Folders,
) -> list[Input]:
    function = definition.functions.get("inputs")
    if function is not None:
        kinds = {
            text: "folder" if _is_folder(text) else "file"
            for text in _texts(function, view, "inputs")
        }
        for text, kind in kinds.items():
            if not text or value_problem(text, kind):
                raise _wrong_answer("inputs", text, "keys of the bucket, or s3://bucket/key")
        return [_input(text, kind, bucket, folders.inputs, False) for text, kind in kinds.items()]
    types = definition.types
    found = []
    for name, value in view.variables.items():
        if types[name] in ("file", "files", "folder") and not is_empty(value):
            shared = name not in job.group
            base = folders.shared if shared else folders.inputs
            for text in value if isinstance(value, list) else [str(value)]:
                found.append(_input(text, types[name], bucket, base, shared))
    return list(dict.fromkeys(found))


def _input(text: str, type_: str, bucket: str, base: str, shared: bool) -> Input:
    if type_ == "folder":
        return _folder(text, bucket, base, shared)
    holder, key = split_key(text, bucket)
    return Input(holder, key, False, "", shared, posixpath.join(base, holder, key))


def _is_folder(text: str) -> bool:
    return text.endswith("/") or any(sign in text.rpartition("/")[2] for sign in "*?[")


def _arguments(
    definition: JobDefinition, view: JobView, values: Mapping[str, Resolved]
) -> list[str]:
    function = definition.functions.get("arguments")
    if function is not None:
        words = list(_texts(function, view, "arguments"))
        if not words:
            raise _wrong_answer("arguments", words, "the program and its arguments")
        return words
    assert definition.command is not None
    return language.arguments(definition.command, definition.types, values)


def _fits(text: str) -> bool:
    return len(text.encode(errors="replace")) <= MAX_ARGUMENT_BYTES


def _short(arguments: list[str]) -> list[str]:
    """The arguments, if a program can be started with them."""
    for argument in arguments:
        if not _fits(argument):
            message = f"an argument is longer than {MAX_ARGUMENT_BYTES} bytes: {argument[:40]}..."
            hint = "give the program a file: {job_json} holds all variables"
            raise BadInput([Problem("", message, hint)])
    return arguments


def _texts(function: Any, view: JobView, name: str) -> Sequence[str]:
    texts = _call(function, view)
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise _wrong_answer(name, texts, "a list of texts")
    return texts


def _call(function: Any, view: JobView) -> object:
    try:
        return function(view)
    except Exception as error:
        message = f"fails: {type(error).__name__}: {error}"
        where = f"job.py, {function.__name__}()"
        raise BadInput([Problem(where, message, "correct it for this job's values")]) from error


def _wrong_answer(name: str, answer: object, expected: str) -> BadInput:
    message = f"returned {answer!r:.60}"
    return BadInput([Problem(f"job.py, {name}()", message, f"return {expected}")])


def _environment_text(raw: Value, value: Resolved) -> str:
    if isinstance(raw, bool):
        return as_text(raw)
    if isinstance(value, list):
        return shlex.join(value)
    return "" if value is None else str(value)


def _document_value(raw: Value, value: Resolved) -> Any:
    """Numbers stay numbers; everything else is as the command sees it."""
    return raw if isinstance(raw, int | float) else value
