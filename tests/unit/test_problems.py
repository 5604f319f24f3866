"""Problems have one form: where, what is wrong, what to do."""

import pickle

import pytest

from ds.jobs.problems import BadInput, Problem, at, closest, typo_of
from ds.jobs.settings import SETTING_NAMES


def test_a_problem_reads_as_one_line() -> None:
    problem = Problem("config.py line 12, MEMORY", "is not a number", "write 4000 for 4 GB")
    assert str(problem) == "config.py line 12, MEMORY: is not a number; write 4000 for 4 GB"
    assert str(Problem("", "no place", "find one")) == "no place; find one"


def test_bad_input_has_one_line_per_problem() -> None:
    refused = BadInput(iter([Problem("a", "b", "c"), Problem("d", "e", "f")]))
    assert str(refused) == "a: b; c\nd: e; f"
    assert refused.exit_code == 2
    assert pickle.loads(pickle.dumps(refused)).problems == refused.problems


def test_a_place_is_put_inside_another() -> None:
    inside = [Problem("column 3", "b", "c", warning=True), Problem("", "b", "c")]
    assert at(inside, "job.py, COMMAND") == [
        Problem("job.py, COMMAND, column 3", "b", "c", warning=True),
        Problem("job.py, COMMAND", "b", "c"),
    ]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("plte", "plate"),
        ("Plate", "plate"),
        ("PLATE", "plate"),
        ("output-dir", "output_dir"),
        ("outputdir", "output_dir"),
        ("wel", "well"),
        ("sigma", None),
        ("x", None),
        ("", None),
    ],
)
def test_the_closest_known_name_is_suggested(written: str, meant: str | None) -> None:
    assert closest(written, ["plate", "well", "output_dir"]) == meant


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("MEMORY_", "MEMORY"),
        ("DOCKER_CORE", "DOCKER_CORES"),
        ("EXPECTED_NUMBER_FILE", "EXPECTED_NUMBER_FILES"),
        ("SQS_MESSAGE_VISIBLITY", "SQS_MESSAGE_VISIBILITY"),
        ("MEMORY", None),
        ("PLUS", None),
        ("JAVA_MEMORY", None),
        ("IMAGEJ_JAR", None),
        ("MY_NAME", None),
    ],
)
def test_a_name_within_two_letters_of_a_setting_is_a_typo(name: str, setting: str | None) -> None:
    assert typo_of(name, SETTING_NAMES) == setting
