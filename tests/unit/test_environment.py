"""The environment variables of a worker."""

from __future__ import annotations

import pytest

from ds.jobs.environment import WorkerSettings
from ds.jobs.problems import BadInput

REQUIRED = {
    "APP_NAME": "Test",
    "DS_RUN": "run1",
    "AWS_BUCKET": "bucket",
    "SQS_QUEUE_URL": "http://queue",
    "SQS_DEAD_LETTER_URL": "http://dead",
    "LOG_GROUP_NAME": "Test",
}

FULL = WorkerSettings(
    APP_NAME="Test",
    run_id="run1",
    AWS_BUCKET="bucket",
    queue_url="http://queue",
    dead_letter_url="http://dead",
    LOG_GROUP_NAME="Test",
    DOCKER_CORES=4,
    CPUS_PER_JOB=2,
    JOB_RETRIES=5,
    NO_RETRY_EXIT_CODES=(2, 64),
    JOB_TIMEOUT_MINUTES=0.5,
    CHECK_IF_DONE_BOOL=True,
    EXPECTED_NUMBER_FILES=0,
    MIN_FILE_SIZE_BYTES=7,
    NECESSARY_STRING="a=b ,'\"",
    WORKING_FOLDER="/opt/program here",
    program={"JAVA_MEMORY": "1g", "N": 0, "X": 1.5, "ON": True, "NONE": None, "TEXT": "é\n"},
    scratch="/tmp/x",
    visibility_seconds=5,
    retry_delays=(0, 1.5, 2),
    poll_seconds=1,
)


def test_the_six_that_name_the_run_are_enough() -> None:
    settings = WorkerSettings.read({**REQUIRED, "PATH": "/bin", "OTHER": "x"})
    assert settings == WorkerSettings(
        APP_NAME="Test",
        run_id="run1",
        AWS_BUCKET="bucket",
        queue_url="http://queue",
        dead_letter_url="http://dead",
        LOG_GROUP_NAME="Test",
    )
    assert settings.log_prefix == "logs/Test/run1"
    assert settings.record_group == "Test_records"


def test_what_is_written_is_read_again() -> None:
    assert WorkerSettings.read(FULL.environment()) == FULL


@pytest.mark.parametrize("name", REQUIRED)
def test_each_of_the_six_is_required(name: str) -> None:
    environment = {other: text for other, text in REQUIRED.items() if other != name}
    with pytest.raises(BadInput) as refused:
        WorkerSettings.read(environment)
    assert [str(problem) for problem in refused.value.problems] == [
        f"environment, {name}: has no value; start the worker with run.py"
    ]


@pytest.mark.parametrize(
    ("text", "value"), [("True", True), ("true", True), ("FALSE", False), (" false ", False)]
)
def test_booleans_are_read_in_any_case(text: str, value: bool) -> None:
    assert WorkerSettings.read({**REQUIRED, "CHECK_IF_DONE_BOOL": text}).CHECK_IF_DONE_BOOL is value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("DOCKER_CORES", "many"),
        ("DOCKER_CORES", ""),
        ("DOCKER_CORES", "1.5"),
        ("DOCKER_CORES", "0"),
        ("JOB_TIMEOUT_MINUTES", "1h"),
        ("CHECK_IF_DONE_BOOL", "perhaps"),
        ("DS_CONFIG_VARIABLES", "{"),
        ("DS_CONFIG_VARIABLES", "[1]"),
        ("DS_RETRY_DELAYS", "1;2"),
        ("DS_RETRY_DELAYS", ""),
        ("NO_RETRY_EXIT_CODES", "2"),
    ],
)
def test_what_cannot_be_read_is_reported(name: str, text: str) -> None:
    with pytest.raises(BadInput) as refused:
        WorkerSettings.read({**REQUIRED, name: text})
    (problem,) = refused.value.problems
    assert (
        str(problem)
        == f"environment, {name}: {text!r} cannot be read; start the worker with run.py"
    )


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(BadInput) as refused:
        WorkerSettings.read({"DOCKER_CORES": "x", "DS_POLL_SECONDS": "y"})
    assert len(refused.value.problems) == 8
