"""One job, resolved: arguments, inputs, folders, environment, document."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest

from ds.jobs.definition import JobDefinition, load_job_definition
from ds.jobs.message import Job
from ds.jobs.problems import BadInput
from ds.jobs.resolve import SHOWN, Input, ResolvedJob, check_outputs, resolve_job
from ds.jobs.variables import Value


def defined(
    folder: Path,
    *,
    command: str = "run {output_dir}",
    variables: Mapping[str, str] | None = None,
    output_prefix: str = "out/{job_id}",
    functions: str = "",
    config: Mapping[str, Value] | None = None,
) -> JobDefinition:
    path = folder / "job.py"
    path.write_text(
        f"COMMAND = {command!r}\nVARIABLES = {dict(variables or {})!r}\n"
        f"OUTPUT_PREFIX = {output_prefix!r}\n{functions}\n",
        encoding="utf-8",
    )
    return load_job_definition(path, config or {})


def resolved(
    folder: Path,
    command: str,
    variables: Mapping[str, str],
    group: Mapping[str, Value],
    shared: Mapping[str, Value] | None = None,
    config: Mapping[str, Value] | None = None,
    functions: str = "",
) -> ResolvedJob:
    definition = defined(
        folder, command=command, variables=variables, functions=functions, config=config
    )
    return resolve_job(definition, config or {}, Job(shared or {}, group), "bucket", SHOWN, 4)


@pytest.mark.parametrize(
    ("type_", "value", "argument", "environment", "document"),
    [
        ("text", "a b'\"$x;", "a b'\"$x;", "a b'\"$x;", "a b'\"$x;"),
        ("text", 3, "3", "3", 3),
        ("text", 0, "0", "0", 0),
        ("text", 0.1, "0.1", "0.1", 0.1),
        ("text", 1e30, "1e+30", "1e+30", 1e30),
        ("text", True, "true", "true", True),
        ("file", "p1/a b.tif", "/job/inputs/bucket/p1/a b.tif", None, None),
        ("file", "s3://other/a.tif", "/job/inputs/other/a.tif", None, None),
        ("files", ["a.tif", "b c.tif"], None, None, None),
        ("folder", "p1", "/job/inputs/bucket/p1", None, None),
        ("folder", "p1/", "/job/inputs/bucket/p1", None, None),
        ("folder", "p1/sub/*_w1.tif", "/job/inputs/bucket/p1/sub", None, None),
        ("folder", "*.tif", "/job/inputs/bucket", None, None),
        ("folder", "s3://other", "/job/inputs/other", None, None),
        ("folder", "s3://other/p1/", "/job/inputs/other/p1", None, None),
    ],
)
def test_a_value_is_the_same_in_command_environment_and_document(
    tmp_path: Path,
    type_: str,
    value: Value,
    argument: str | None,
    environment: object,
    document: object,
) -> None:
    result = resolved(tmp_path, "run {name}", {"name": type_}, {"name": value})
    if argument is None:
        paths = ["/job/inputs/bucket/a.tif", "/job/inputs/bucket/b c.tif"]
        assert result.arguments == ["run", *paths]
        assert shlex.split(result.environment["name"]) == paths
        assert result.document["name"] == paths
        return
    assert result.arguments == ["run", argument]
    assert result.environment["name"] == (argument if environment is None else environment)
    assert result.document["name"] == (argument if document is None else document)


@pytest.mark.parametrize(
    ("type_", "value", "arguments", "environment", "document"),
    [
        ("text", None, ["run"], "", None),
        ("text", "", ["run"], "", ""),
        ("text", False, ["run"], "false", False),
        ("text", 0, ["run", "-x", "0"], "0", 0),
        ("flag", True, ["run", "-x"], "true", True),
        ("flag", False, ["run"], "false", False),
        ("flag", None, ["run"], "", None),
        ("file", "", ["run"], "", ""),
        ("file", None, ["run"], "", None),
        ("files", [], ["run"], "", []),
        ("args", "", ["run"], "", []),
        ("args", "-a 'b c'", ["run", "-x", "-a", "b c"], "-a 'b c'", ["-a", "b c"]),
    ],
)
def test_an_empty_value_removes_its_bracket(
    tmp_path: Path,
    type_: str,
    value: Value,
    arguments: list[str],
    environment: str,
    document: object,
) -> None:
    result = resolved(tmp_path, "run [-x {name}]", {"name": type_}, {"name": value})
    assert result.arguments == arguments
    assert result.environment["name"] == environment
    assert result.document["name"] == document
    assert result.inputs == []


FOLDERS = "/job/inputs", "/job/shared"
LEVELS = "group", "shared", "config"


@pytest.mark.parametrize(
    ("type_", "value", "expected"),
    [
        ("text", "a.tif", []),
        ("file", "p/a.tif", [("bucket", "p/a.tif", False, "", "bucket/p/a.tif")]),
        ("file", "s3://o/a", [("o", "a", False, "", "o/a")]),
        (
            "files",
            ["a", "s3://o/b", "a"],
            [("bucket", "a", False, "", "bucket/a"), ("o", "b", False, "", "o/b")],
        ),
        ("folder", "p", [("bucket", "p/", True, "", "bucket/p")]),
        ("folder", "p/q/", [("bucket", "p/q/", True, "", "bucket/p/q")]),
        ("folder", "p/*.tif", [("bucket", "p/", True, "*.tif", "bucket/p")]),
        ("folder", "*.tif", [("bucket", "", True, "*.tif", "bucket")]),
        ("folder", "s3://o/", [("o", "", True, "", "o")]),
    ],
)
@pytest.mark.parametrize("level", LEVELS)
def test_inputs_are_named_by_bucket_and_key(
    tmp_path: Path,
    level: str,
    type_: str,
    value: Value,
    expected: list[tuple[str, str, bool, str, str]],
) -> None:
    given: dict[str, Value] = {"NAME": value}
    group, beside, config = (given if level == name else {} for name in LEVELS)
    result = resolved(tmp_path, "run", {"NAME": type_}, group, beside, config)
    shared = level != "group"
    assert result.inputs == [
        Input(bucket, key, folder, pattern, shared, f"{FOLDERS[shared]}/{path}")
        for bucket, key, folder, pattern, path in expected
    ]


@pytest.mark.parametrize(
    ("folder", "key", "taken"),
    [
        ("p", "p/a.tif", True),
        ("p", "p/deep/er/a.tif", True),
        ("p/*.tif", "p/a.tif", True),
        ("p/*.tif", "p/a.TIF", False),
        ("p/*.tif", "p/deep/a.tif", False),
        ("p/?[12].tif", "p/a2.tif", True),
        ("p/?[12].tif", "p/a3.tif", False),
        ("*.tif", "a.tif", True),
        ("*.tif", "p/a.tif", False),
    ],
)
def test_a_pattern_takes_the_folders_own_files(
    tmp_path: Path, folder: str, key: str, taken: bool
) -> None:
    (found,) = resolved(tmp_path, "run", {"x": "folder"}, {"x": folder}).inputs
    assert key.startswith(found.key)
    assert found.takes(key) is taken


def test_built_in_names_and_settings_of_the_program(tmp_path: Path) -> None:
    command = "run {output_dir} {work_dir} {job_id} {cores} {job_json} {MODEL} {a-b}"
    result = resolved(
        tmp_path, command, {"a-b": "text", "MODEL": "file"}, {"a-b": 7}, {}, {"MODEL": "m"}
    )
    job_id = Job({}, {"a-b": 7}).job_id
    model = "/job/shared/bucket/m"
    places = ["/job/output", "/job/work", job_id, "4", "/job/job.json"]
    names = ["output_dir", "work_dir", "job_id", "cores", "job_json"]
    assert result.arguments == ["run", *places, model, "7"]
    assert result.environment == {
        **dict(zip(names, places, strict=True)),
        "MODEL": model,
        "a_b": "7",
    }
    assert result.document == {
        **dict(zip(names, places, strict=True)),
        "cores": 4,
        "MODEL": model,
        "a-b": 7,
    }
    assert result.output_prefix == f"out/{job_id}"


@pytest.mark.parametrize(
    ("group", "where"),
    [
        ({"nmae": "x", "file": "a"}, ["nmae", "name"]),
        ({"name": "x", "file": "../a"}, ["file"]),
        ({"name": ["x"], "file": "/a"}, ["name", "file"]),
        ({"name": None, "file": "a"}, ["name"]),
        ({"name": "x", "file": ""}, ["file"]),
        ({"name": "x", "file": None}, ["file"]),
    ],
)
def test_an_invalid_job_is_refused(
    tmp_path: Path, group: dict[str, Value], where: list[str]
) -> None:
    with pytest.raises(BadInput) as refused:
        resolved(tmp_path, "run {name} {file}", {"name": "text", "file": "file"}, group)
    assert [problem.where for problem in refused.value.problems] == where


def test_the_functions_receive_the_job_and_replace_the_defaults(tmp_path: Path) -> None:
    functions = """
def arguments(job):
    return ("run", job.values["file"], job.values["model"], job.inputs_dir, str(job.cores))
def inputs(job):
    return [job.variables["file"], "s3://o/models/", "more/*.txt", job.variables["model"]]
def output_prefix(job):
    return "made/" + job.job_id + "/"
"""
    job = Job({"model": "m"}, {"file": "a"})
    result = resolved(
        tmp_path, "x", {"file": "file", "model": "file"}, job.group, job.shared, functions=functions
    )
    inputs = "/job/inputs"
    # `values` has the path of the file, for a shared key too.
    assert result.arguments == ["run", f"{inputs}/bucket/a", f"{inputs}/bucket/m", inputs, "4"]
    assert [entry.path for entry in result.inputs] == [
        f"{inputs}/bucket/a",
        f"{inputs}/o/models",
        f"{inputs}/bucket/more",
        f"{inputs}/bucket/m",
    ]
    assert [entry.folder for entry in result.inputs] == [False, True, True, False]
    assert not any(entry.shared for entry in result.inputs)
    assert result.output_prefix == f"made/{job.job_id}"


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("def arguments(job): return 1 / 0", "arguments() fails: ZeroDivisionError"),
        ("def arguments(job): return job.variables['y']", "arguments() fails: KeyError: 'y'"),
        ("def arguments(job): return 'run x'", "arguments() returned 'run x'"),
        ("def arguments(job): return ['run', 1]", "arguments() returned ['run', 1]"),
        ("def arguments(job): return []", "arguments() returned []"),
        ("def inputs(job): return None", "inputs() returned None"),
        ("def inputs(job): return ['../a']", "inputs() returned '../a'"),
        ("def inputs(job): return ['/etc/passwd']", "inputs() returned '/etc/passwd'"),
        ("def inputs(job): return ['']", "inputs() returned ''"),
        ("def output_prefix(job): return None", "output_prefix() returned None"),
        ("def output_prefix(job): return ''", "is empty"),
        ("def output_prefix(job): return '../x'", "contains . or .. as a part"),
    ],
)
def test_a_function_that_fails_is_named(tmp_path: Path, function: str, told: str) -> None:
    with pytest.raises(BadInput) as refused:
        resolved(tmp_path, "run {x}", {"x": "text"}, {"x": "1"}, functions=function)
    assert told in str(refused.value).replace(": fails", " fails").replace(
        ": returned", " returned"
    )


@pytest.mark.parametrize("prefix", ["{x}", "{job_id}", "a {b} c"])
def test_a_prefix_from_a_function_is_text_not_a_template(tmp_path: Path, prefix: str) -> None:
    function = f"def output_prefix(job): return {prefix!r}"
    result = resolved(tmp_path, "run {x}", {"x": "text"}, {"x": "1"}, functions=function)
    assert result.output_prefix == prefix


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return None", None),
        ("return ''", None),
        ("return 'no ' + job.variables['x']", "no 1"),
        ("return False", BadInput),
        ("raise ValueError('x')", BadInput),
    ],
)
def test_a_check_gives_a_reason_or_none(tmp_path: Path, body: str, reason: object) -> None:
    functions = f"def check_outputs(job): {body}"
    definition = defined(tmp_path, variables={"x": "text"}, functions=functions)
    view = resolve_job(definition, {}, Job({}, {"x": "1"}), "bucket").view
    if reason is BadInput:
        with pytest.raises(BadInput):
            check_outputs(definition, view)
    else:
        assert check_outputs(definition, view) == reason


def test_without_a_check_there_is_no_reason(tmp_path: Path) -> None:
    definition = defined(tmp_path, variables={"x": "text"})
    view = resolve_job(definition, {}, Job({}, {"x": "1"}), "bucket").view
    assert check_outputs(definition, view) is None


def test_arguments_that_are_too_long_for_a_program_are_refused(tmp_path: Path) -> None:
    types = {"long": "text", "name": "text"}
    group = {"long": "x" * 200_000, "name": "a"}
    with pytest.raises(BadInput, match=r"longer than 128000 bytes.*\{job_json\}"):
        resolved(tmp_path, "run {long}", types, group)
    known = resolved(tmp_path, "run {job_json}", types, group)
    assert "long" not in known.environment
    assert known.environment["name"] == "a"
    assert known.document["long"] == group["long"]
