"""job.py, loaded and checked."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ds.jobs.definition import JobDefinition, load_job_definition
from ds.jobs.problems import BadInput

GOOD = """
COMMAND = "measure {image} [--fast {fast}] {output_dir}"
VARIABLES = {"image": "file", "fast": "flag"}
OUTPUT_PREFIX = "out/{image}"
"""


def loaded(folder: Path, text: str, config_names: tuple[str, ...] = ()) -> JobDefinition:
    path = folder / "job.py"
    path.write_text(text, encoding="utf-8")
    return load_job_definition(path, config_names)


def refused(folder: Path, text: str, config_names: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(BadInput) as error:
        loaded(folder, text, config_names)
    return [str(problem) for problem in error.value.problems if not problem.warning]


def test_its_content_is_read_and_no_other_file_is_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    definition = loaded(tmp_path, GOOD)
    assert definition.types == {"image": "file", "fast": "flag"}
    assert definition.output_prefix == "out/{image}"
    assert definition.command is not None
    assert definition.functions == {}
    assert definition.warnings == ()
    assert [path.name for path in tmp_path.iterdir()] == ["job.py"]
    assert not sys.dont_write_bytecode


def test_settings_of_the_program_are_text_unless_variables_defines_them(tmp_path: Path) -> None:
    text = GOOD.replace("measure", "measure {MEMORY_} {MODEL}").replace(
        '"flag"}', '"flag", "MODEL": "file"}'
    )
    assert loaded(tmp_path, text, ("MEMORY_", "MODEL")).types == {
        "image": "file",
        "fast": "flag",
        "MODEL": "file",
        "MEMORY_": "text",
    }


def test_functions_replace_command_and_prefix(tmp_path: Path) -> None:
    text = """
VARIABLES = {"image": "file"}
def arguments(job): return ["x"]
def output_prefix(job): return job.variables["image"]
def check_outputs(job): return None
def helper(): pass
inputs = None
"""
    definition = loaded(tmp_path, text)
    assert definition.command is None
    assert definition.output_prefix is None
    assert sorted(definition.functions) == ["arguments", "check_outputs", "output_prefix"]


def test_an_unused_variable_is_a_warning(tmp_path: Path) -> None:
    text = GOOD.replace('"flag"}', '"flag", "other": "text"}')
    (warning,) = loaded(tmp_path, text).warnings
    assert str(warning).startswith("job.py, VARIABLES: {other} is never used; ")


@pytest.mark.parametrize(
    ("functions", "told"),
    [
        ("def chek_outputs(job): ...", ["job.py, chek_outputs(): is not a function that DS calls"]),
        ("def chek_outputs(job): ...\ndef check_outputs(job): ...", []),
        ("def helper(job): ...\ninput = 3", []),
    ],
)
def test_a_typo_in_the_name_of_a_function_is_a_warning(
    tmp_path: Path, functions: str, told: list[str]
) -> None:
    warnings = [str(warning) for warning in loaded(tmp_path, GOOD + functions).warnings]
    assert warnings == [f"{start}; did you mean check_outputs()?" for start in told]


def test_a_dataclass_is_allowed(tmp_path: Path) -> None:
    # Looks its own module up by name, as pickle and typing do.
    text = """
from __future__ import annotations
from dataclasses import dataclass

@dataclass
class Well:
    row: str
"""
    assert loaded(tmp_path, text + GOOD).types["image"] == "file"


def test_a_warning_does_not_refuse_the_file(tmp_path: Path) -> None:
    (warning,) = loaded(tmp_path, GOOD.replace("out/{image}", "out")).warnings
    assert str(warning).startswith("job.py, OUTPUT_PREFIX: has no variable")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("COMMAND =", "OTHER =", ["job.py, COMMAND: has no value"]),
        ('"measure {image} [--fast {fast}] {output_dir}"', "5", ["job.py, COMMAND: has no value"]),
        (
            '"measure {image} [--fast {fast}] {output_dir}"',
            "' '",
            ["job.py, COMMAND: has no value"],
        ),
        ("measure {image}", "measure {imgae}", ["job.py, COMMAND, column 9: "]),
        ("measure {image}", "measure {image} | {x", ["job.py, COMMAND, column 17: unquoted |"]),
        ("OUTPUT_PREFIX =", "OTHER =", ["job.py, OUTPUT_PREFIX: has no value"]),
        ('"out/{image}"', "None", ["job.py, OUTPUT_PREFIX: has no value"]),
        ("out/{image}", "out/{imgae}", ["job.py, OUTPUT_PREFIX: unknown variable {imgae}"]),
        (
            '"fast": "flag"}',
            '"fast": "flga"}',
            ["job.py, VARIABLES, fast: has the unknown type 'flga'"],
        ),
        (
            '"fast": "flag"}',
            '"fast": ["flag"]}',
            ["job.py, VARIABLES, fast: has the unknown type ['flag']"],
        ),
        ('"fast": "flag"}', '"fast": "flag", 5: "text"}', ["job.py, VARIABLES, 5: is not text"]),
        ('"fast": "flag"}', '"fast": "flag", "PATH": "text"}', ["job.py, VARIABLES, PATH: "]),
        (
            '"fast": "flag"}',
            '"fast": "flag", "a-b": "text", "a_b": "text"}',
            ["job.py, VARIABLES, a-b: has the same name as a_b in the environment"],
        ),
        (
            '{"image": "file", "fast": "flag"}',
            "['image']",
            ["job.py, VARIABLES: is not a dictionary"],
        ),
        ("COMMAND =", "COMMAND :=", ["job.py line 2, column 9: is not valid Python: "]),
        ("OUTPUT_PREFIX =", "OUTPUT_PREFIX = 1 / 0 #", ["job.py line 4: fails: ZeroDivisionError"]),
        # The line of job.py, not of the library that raised.
        ("OUTPUT_PREFIX =", "import json; json.loads('{') #", ["job.py line 4: fails: JSONDec"]),
        ("OUTPUT_PREFIX =", "import no_such_library #", ["job.py line 4: fails: ModuleNotFound"]),
        ("OUTPUT_PREFIX =", "import sys; sys.exit(3) #", ["job.py line 4: fails: SystemExit: 3"]),
        ("OUTPUT_PREFIX =", "\0 #", ["job.py: is not valid Python: "]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_mistake_is_reported_with_its_place(
    tmp_path: Path, old: str, new: str, expected: list[str]
) -> None:
    assert old in GOOD
    text = GOOD.replace(old, new)
    path = tmp_path / "job.py"
    path.write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(BadInput) as error:
        load_job_definition(path)
    told = [str(problem) for problem in error.value.problems if not problem.warning]
    assert [line[: len(start)] for line, start in zip(told, expected, strict=False)] == expected


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    text = 'COMMAND = "x {a} {b}"\nVARIABLES = {"PATH": "text"}\nOUTPUT_PREFIX = "{c}"\n'
    assert [line.split(":")[0] for line in refused(tmp_path, text)] == [
        "job.py, VARIABLES, PATH",
        "job.py, COMMAND, column 3",
        "job.py, COMMAND, column 7",
        "job.py, OUTPUT_PREFIX",
    ]


def test_a_setting_and_a_variable_with_one_environment_name_are_refused(
    tmp_path: Path,
) -> None:
    text = GOOD.replace('"fast": "flag"}', '"fast": "flag", "MY-NAME": "text"}')
    (told,) = refused(tmp_path, text, ("MY_NAME",))
    assert told.startswith(
        "job.py, VARIABLES, MY_NAME: has the same name as MY-NAME in the environment"
    )


def test_the_file_must_be_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "job.py"
    path.write_bytes(GOOD.encode() + b"X = '\xff'\n")
    with pytest.raises(BadInput, match=r"job\.py: cannot be read: byte 139 is not UTF-8; save it"):
        load_job_definition(path)


def test_the_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match="does not exist; run this command in the folder of the implementation"
    ):
        load_job_definition(tmp_path / "job.py")
