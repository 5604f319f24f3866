"""The stages of an attempt, each alone: when it must stop, how it ended, what becomes of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ds.jobs.message import InvalidMessage
from ds.jobs.outputs import OutputFile
from ds.jobs.problems import BadInput, Problem
from ds.jobs.record import Outcome
from ds.jobs.resolve import Input
from ds.worker.inputs import SharedInputs, fetch_inputs
from ds.worker.outputs import SMALL_BYTES, SMALL_FILES, find_outputs
from ds.worker.program import environment, working_folder
from ds.worker.s3 import TransferFailed
from ds.worker.settle import outcome_of, settle
from ds.worker.sqs import JobQueue, Received, message_attributes
from ds.worker.stop import (
    LONGEST_SECONDS,
    Failed,
    Interrupted,
    Lost,
    Phase,
    Phases,
    Stop,
    reason_to_stop,
)
from tests.unit.attempt_bench import KEPT, LOG, MARKER, Bench, Bucket, Clock, Events, Queue

# When an attempt must stop.

FINE: dict[str, Any] = {"held": True, "stopping": False, "timeout_minutes": 10}


@pytest.mark.parametrize(
    ("phase", "before", "inside", "state", "stop"),
    [
        ("fetch", 0, 0, {}, None),
        ("upload", 0, 0, {}, None),
        *((phase, 0, 0, {"held": False}, Lost) for phase in ("fetch", "run", "check", "upload")),
        ("fetch", 0, 0, {"stopping": True}, Interrupted),
        ("run", 0, 0, {"stopping": True}, Interrupted),
        ("check", 0, 0, {"stopping": True}, None),
        ("upload", 0, 0, {"stopping": True}, None),
        ("upload", 0, 0, {"stopping": True, "held": False}, Lost),
        ("run", 0, 600, {}, None),
        ("run", 0, 601, {}, Stop),
        ("run", 601, 600, {}, None),  # the inputs' time is not the command's
        ("run", 0, 31, {"timeout_minutes": 0.5}, Stop),
        ("upload", 0, 601, {}, None),
        *(
            (phase, LONGEST_SECONDS - 1, inside, {}, stop)
            for phase in ("fetch", "run", "check", "upload")
            for inside, stop in ((1, None), (2, Stop))
        ),
    ],
)
def test_when_an_attempt_must_stop(
    phase: Phase, before: float, inside: float, state: dict[str, Any], stop: type[Stop] | None
) -> None:
    clock = Clock()
    phases = Phases(clock)
    clock.sleep(before)
    with phases.enter(phase):
        clock.sleep(inside)
        assert type(reason_to_stop(phases, **(FINE | state))) is (stop or type(None))


def test_the_longest_attempt_ends_before_sqs_shows_its_message_again() -> None:
    assert LONGEST_SECONDS == 42_600


def test_a_lost_command_has_no_time_for_last_words() -> None:
    lost = reason_to_stop(Phases(Clock()), **(FINE | {"held": False}))
    assert lost is not None
    assert lost.grace_seconds == 0


def test_phases_are_measured_also_if_they_fail() -> None:
    clock = Clock()
    phases = Phases(clock)
    with phases.enter("fetch"):
        clock.sleep(1.23456)

    def run() -> None:
        with phases.enter("run"):
            clock.sleep(2)
            raise Failed("x")

    with pytest.raises(Failed):
        run()
    assert phases.seconds == {"fetch": 1.235, "run": 2}
    assert phases.total_seconds == pytest.approx(3.23456)


# How it ended.


@pytest.mark.parametrize(
    ("error", "attempt", "outcome", "reason"),
    [
        (InvalidMessage("not JSON"), 1, "invalid", "invalid message: not JSON"),
        (
            BadInput([Problem("name", "has no value", ""), Problem("x", "is odd", "")]),
            1,
            "invalid",
            "invalid message: name has no value, x is odd",
        ),
        (Lost("gone", 0), 3, "lost", "gone"),
        (Interrupted("SIGTERM"), 3, "interrupted", "SIGTERM"),
        (Failed("exit code 3"), 1, "failed", "exit code 3"),
        (Failed("exit code 3"), 2, "failed", "exit code 3"),
        (Failed("exit code 3"), 3, "dead", "exit code 3"),
        (Failed("exit code 3"), 4, "dead", "exit code 3"),
        (Stop("took longer"), 2, "failed", "took longer"),
        (Stop("took longer"), 3, "dead", "took longer"),
        (TransferFailed("s3://b/k: SlowDown"), 1, "failed", "s3://b/k: SlowDown"),
        (OSError(28, "disk"), 1, "failed", "the worker failed: OSError: [Errno 28] disk"),
        (KeyError("x"), 3, "dead", "the worker failed: KeyError: 'x'"),
    ],
)
def test_outcome_and_reason_follow_from_the_error(
    error: Exception, attempt: int, outcome: Outcome, reason: str
) -> None:
    assert outcome_of(error, attempt, 3) == (outcome, reason)


def test_a_job_with_one_attempt_is_dead_after_it() -> None:
    assert outcome_of(Failed("x"), 1, 1) == ("dead", "x")


# What then becomes of message and log.


@pytest.mark.parametrize(
    ("outcome", "attempt", "expected"),
    [
        ("done", 1, ["message deleted"]),
        ("skipped", 1, ["message deleted"]),
        ("failed", 1, ["log kept", "message released for 10"]),
        ("failed", 2, ["log kept", "message released for 60"]),
        ("failed", 3, ["log kept", "message released for 300"]),
        ("failed", 9, ["log kept", "message released for 300"]),
        ("dead", 3, ["log kept", "message dead"]),
        ("invalid", 1, ["message dead"]),
        ("interrupted", 1, ["message released for 0", "log kept"]),
        ("lost", 1, []),
    ],
)
def test_message_and_log_follow_from_the_outcome(
    outcome: Outcome, attempt: int, expected: list[str]
) -> None:
    events = Events()
    settle(
        outcome,
        Received("receipt", "body", attempt),
        Queue(events),  # type: ignore[arg-type]
        keep_log=lambda: events.note("log kept"),
        attributes={},
        retry_delays=(10, 60, 300),
    )
    assert events.noted == expected


class Sqs:
    """A client that notes its calls, and refuses the sending if it is told to."""

    def __init__(self, sends: bool = True) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._sends = sends

    def send_message(self, **parameters: Any) -> None:
        if not self._sends:
            raise ConnectionError
        self.calls.append(("send", parameters))

    def delete_message(self, **parameters: Any) -> None:
        self.calls.append(("delete", parameters))


def test_a_dead_job_is_sent_before_its_message_is_deleted() -> None:
    sqs = Sqs()
    queue = JobQueue(sqs, "queue", "dead")  # type: ignore[arg-type]
    queue.dead_letter(Received("receipt", "body", 3), {"reason": "x", "exit_code": ""})
    assert sqs.calls == [
        (
            "send",
            {
                "QueueUrl": "dead",
                "MessageBody": "body",
                "MessageAttributes": {"reason": {"DataType": "String", "StringValue": "x"}},
            },
        ),
        ("delete", {"QueueUrl": "queue", "ReceiptHandle": "receipt"}),
    ]


def test_a_dead_job_that_cannot_be_sent_is_not_deleted() -> None:
    sqs = Sqs(sends=False)
    with pytest.raises(ConnectionError):
        JobQueue(sqs, "queue", "dead").dead_letter(  # type: ignore[arg-type]
            Received("receipt", "body", 3), {"reason": "x"}
        )
    assert sqs.calls == []


@pytest.mark.parametrize(
    ("text", "sent"),
    [("a\nb\0c", "a b c"), ("x" * 2000, "x" * 1024), ("字" * 1000, "字" * 341), ("\ud800!", "!")],
)
def test_a_reason_is_sent_as_sqs_accepts_it(text: str, sent: str) -> None:
    assert message_attributes({"reason": text, "empty": " "}) == {
        "reason": {"DataType": "String", "StringValue": sent}
    }


# Inputs.


def fetched(folder: Path, inputs: list[Input], keys: dict[str, bytes]) -> tuple[int, list[str]]:
    events = Events()
    bucket = Bucket(events, keys)
    shared = SharedInputs(bucket)  # type: ignore[arg-type]
    reports: list[str] = []
    count = fetch_inputs(inputs, bucket, shared, lambda: None, reports.append)  # type: ignore[arg-type]
    assert reports == [f"fetched {len(events.of('fetch'))} input files, {count} bytes"]
    return count, sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*"))


def folder_input(folder: Path, pattern: str = "", shared: bool = False) -> Input:
    return Input("b", "in/", True, pattern, shared, str(folder / "b" / "in"))


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("", ["b/in/a.tif", "b/in/deep/c.tif", "b/in/x.csv"]),
        ("*.tif", ["b/in/a.tif"]),
    ],
)
def test_a_folder_is_fetched_by_its_pattern(tmp_path: Path, pattern: str, names: list[str]) -> None:
    keys = {f"in/{name}": b"1" for name in ("a.tif", "deep/c.tif", "x.csv")}
    item = folder_input(tmp_path, pattern, shared=True)
    assert fetched(tmp_path, [item], keys | {"in2/z.tif": b"1"}) == (len(names), names)


@pytest.mark.parametrize(
    ("keys", "pattern", "reason"),
    [
        ({}, "", "s3://b/in/: no such objects"),
        ({"in/a.csv": b""}, "*.tif", r"s3://b/in/\*\.tif: no such objects"),
        ({"in/../../x.tif": b""}, "", "a key with '..' cannot be a local file"),
    ],
)
def test_an_input_that_cannot_be_is_a_failure(
    tmp_path: Path, keys: dict[str, bytes], pattern: str, reason: str
) -> None:
    with pytest.raises(Failed, match=reason):
        fetched(tmp_path, [folder_input(tmp_path, pattern)], keys)


# The program.


@pytest.mark.parametrize(
    ("setting", "folder"), [("", "/fresh"), ("image", str(Path.cwd())), ("/data", "/data")]
)
def test_where_a_program_runs(setting: str, folder: str) -> None:
    assert working_folder(setting, "/fresh") == folder


def test_a_program_has_the_images_environment_and_its_job_but_nothing_of_the_worker() -> None:
    image = {"PATH": "/bin", "TMPDIR": "/tmp", "name": "x", "DS_RUN": "r", "SQS_QUEUE_URL": "u"}
    assert environment(image, {"name": "a", "cores": "1"}, "/fresh/tmp") == {
        "PATH": "/bin",
        "TMPDIR": "/fresh/tmp",
        "name": "a",
        "cores": "1",
    }


# Outputs.


def test_outputs_are_all_files_by_their_path(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    for name in ("b.txt", "a.txt", "deep/er/c.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "link.txt").symlink_to("a.txt")
    assert find_outputs(tmp_path) == [
        OutputFile("a.txt", 5),
        OutputFile("b.txt", 5),
        OutputFile("link.txt", 5),
        OutputFile("deep/er/c.txt", 13),
    ]


@pytest.mark.parametrize(
    ("create", "reason"),
    [
        (lambda path: os.mkfifo(path), "output 'x' is not a file"),
        (lambda path: path.symlink_to("/nowhere"), "output 'x' is not a file"),
        (lambda path: path.symlink_to("/etc"), "output 'x' is not a file"),
        (lambda path: path.with_name("x\ny").touch(), "a name that S3 cannot hold"),
    ],
)
def test_an_output_that_s3_cannot_hold_is_a_failure(
    tmp_path: Path, create: Callable[[Path], None], reason: str
) -> None:
    create(tmp_path / "x")
    with pytest.raises(Failed, match=reason):
        find_outputs(tmp_path)


@pytest.mark.parametrize(
    ("names", "attempt", "asks", "before", "after"),
    [
        ([], 1, False, [], []),
        (["a"], 1, False, [], []),
        (["a"], 2, False, [], [f"delete {MARKER}"]),  # an earlier attempt may have left one
        (["a"], 1, True, [], [f"delete {MARKER}"]),
        (["a", "b"], 1, False, [f"put {MARKER}"], [f"delete {MARKER}"]),
        (["a", "b"], 2, True, [f"put {MARKER}"], [f"delete {MARKER}"]),
    ],
)
def test_a_marker_exists_while_several_outputs_are_uploaded(
    tmp_path: Path,
    names: list[str],
    attempt: int,
    asks: bool,
    before: list[str],
    after: list[str],
) -> None:
    bench = Bench(tmp_path, CHECK_IF_DONE_BOOL=asks, EXPECTED_NUMBER_FILES=0)
    bench.attempt = attempt
    bench.results = dict.fromkeys(names, b"x")
    assert bench.perform().outcome == "done"
    assert bench.events.of("put", "upload", "delete") == [
        *before,
        *(f"upload out/a/{name}" for name in names),
        f"upload {LOG}/{attempt}.log",
        *after,
    ]


@pytest.mark.parametrize(
    ("results", "kept"),
    [
        ({"a": b"x", "b\n": b"x"}, ["a"]),
        ({str(i): b"" for i in range(SMALL_FILES)}, [str(i) for i in range(SMALL_FILES)]),
        ({str(i): b"" for i in range(SMALL_FILES + 1)}, []),
        ({"a": b"x" * SMALL_BYTES}, ["a"]),
        ({"a": b"x" * SMALL_BYTES, "b": b"x"}, []),
    ],
    ids=["a name that S3 cannot hold", "few", "many", "small", "large"],
)
def test_only_little_is_kept_of_a_failed_attempt(
    tmp_path: Path, results: dict[str, bytes], kept: list[str]
) -> None:
    bench = Bench(tmp_path)
    bench.results = results
    bench.exit_code = 1
    bench.perform()
    keys = [key for key in bench.bucket.objects if key.startswith(KEPT)]
    assert sorted(keys) == sorted(f"{KEPT}/{name}" for name in kept)
