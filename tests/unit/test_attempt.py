"""One job's life, whole, on fakes: what is done, in which order, and what is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.attempt_bench import ID, INPUTS, JOB, KEPT, LOG, MARKER, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_job_that_succeeds(bench: Bench) -> None:
    bench.at["run"] = lambda: bench.clock.sleep(7)
    bench.at["upload"] = lambda: bench.clock.sleep(2)
    record = bench.perform()
    assert bench.events.noted == [
        "list in/ref/",
        "head in/a.tif",
        "fetch in/ref/one",
        "fetch in/ref/two",
        "fetch in/a.tif",
        "run",
        "check",
        f"put {MARKER}",
        "upload out/a/one.txt",
        "upload out/a/two.txt",
        f"upload {LOG}/1.log",
        f"delete {MARKER}",
        "message deleted",
        "record done",
    ]
    assert bench.outputs == {"out/a/one.txt": b"1", "out/a/two.txt": b"22"}
    assert (record.job_id, record.group, record.attempt) == (ID, JOB.group, 1)
    assert (record.outcome, record.reason, record.exit_code) == ("done", "", 0)
    assert (record.bytes_in, record.bytes_out, record.peak_memory_mb) == (8, 3, 12)
    assert record.phases == {"fetch": 0, "run": 7, "check": 0, "upload": 2}
    assert record.seconds == 9
    assert not list((bench.folder / "scratch").glob("slot-*"))


def test_a_program_gets_its_inputs_as_files_in_fresh_folders(bench: Bench) -> None:
    seen = {}

    def look() -> None:
        _, image, reference, output = bench.ran["arguments"]
        seen.update({path.name: path.read_bytes() for path in Path(reference).iterdir()})
        seen["a.tif"] = Path(image).read_bytes()
        assert Path(output).parent == bench.folder / "scratch" / "slot-0"
        assert list(Path(bench.ran["folder"]).iterdir()) == []
        assert list(Path(bench.ran["environment"]["TMPDIR"]).iterdir()) == []

    left = bench.folder / "scratch" / "slot-0" / "work"
    left.mkdir(parents=True)
    (left / "of an earlier attempt").touch()
    bench.at["run"] = look
    assert bench.perform().outcome == "done"
    assert seen == {key.rpartition("/")[2]: content for key, content in INPUTS.items()}


def test_the_log_in_the_bucket_has_everything_up_to_the_upload(bench: Bench) -> None:
    bench.printed = b"hello\nhalf a line"
    bench.perform()
    assert "attempt 1 on w slot 0\n" in bench.log
    assert "\nhello\nhalf a line\n" in bench.log
    assert bench.log.endswith("[ds] uploading 2 files, 3 bytes\n")


PHASES = {"fetch": "head", "run": "run", "check": "check", "upload": "upload"}
"""An event in each phase."""


@pytest.mark.parametrize(
    ("phase", "outcome"),
    [("fetch", "interrupted"), ("run", "interrupted"), ("check", "done"), ("upload", "done")],
)
def test_sigterm_ends_only_what_is_not_done_yet(bench: Bench, phase: str, outcome: str) -> None:
    bench.at[PHASES[phase]] = bench.sigterm
    record = bench.perform()
    assert record.outcome == outcome
    settled = "message deleted" if outcome == "done" else "message released for 0"
    assert bench.events.of("message") == [settled]
    assert len(bench.outputs) == (2 if outcome == "done" else 0)


def test_an_interrupted_attempt_gives_its_message_back_first_and_keeps_only_its_log(
    bench: Bench,
) -> None:
    bench.at["run"] = bench.sigterm
    record = bench.perform()
    assert bench.events.noted[-4:] == [
        "run",
        "message released for 0",
        f"upload {LOG}/1.log",
        "record interrupted",
    ]
    assert bench.log.endswith("[ds] interrupted: the worker received SIGTERM\n")
    assert (record.exit_code, record.peak_memory_mb, record.bytes_out) == (None, 7, 0)


@pytest.mark.parametrize("attempt", [3, 30])
def test_an_interrupted_attempt_is_never_the_last(bench: Bench, attempt: int) -> None:
    bench.attempt = attempt
    bench.at["run"] = bench.sigterm
    assert bench.perform().outcome == "interrupted"


@pytest.mark.parametrize("event", [*PHASES.values(), "upload out/a/two.txt", f"delete {MARKER}"])
def test_a_lost_attempt_settles_nothing(bench: Bench, event: str) -> None:
    bench.at[event] = bench.lose
    record = bench.perform()
    assert record.outcome == "lost"
    assert bench.events.of("message") == []
    assert [key for key in bench.bucket.objects if key.startswith(KEPT)] == []
    if event in PHASES.values():
        assert bench.outputs == {}
        assert f"{LOG}/1.log" not in bench.bucket.objects


def test_an_upload_that_ends_in_the_middle_leaves_its_marker(bench: Bench) -> None:
    bench.at["upload out/a/two.txt"] = bench.lose
    bench.perform()
    assert list(bench.outputs) == ["out/a/one.txt"]
    assert MARKER in bench.bucket.objects


@pytest.mark.parametrize("phase", PHASES)
def test_no_attempt_is_longer_than_sqs_allows(tmp_path: Path, phase: str) -> None:
    bench = Bench(tmp_path, JOB_TIMEOUT_MINUTES=10_000)
    bench.at[PHASES[phase]] = bench.long_time
    record = bench.perform()
    assert record.outcome == "failed"
    assert record.reason == "took longer than 11 h 50 min, the longest that SQS allows"
    assert bench.outputs == {}


def test_a_command_that_takes_too_long_fails(bench: Bench) -> None:
    bench.at["run"] = bench.long_time
    record = bench.perform()
    assert (record.outcome, record.exit_code) == ("failed", None)
    assert record.reason == "took longer than JOB_TIMEOUT_MINUTES = 60"


@pytest.mark.parametrize("exit_code", [0, 1])
def test_a_part_killed_for_memory_fails_the_job_whatever_its_command_returns(
    bench: Bench, exit_code: int
) -> None:
    bench.at["run"] = bench.kernel_kills
    bench.exit_code = exit_code
    record = bench.perform()
    assert record.outcome == "failed"
    assert "out of memory" in record.reason
    assert bench.outputs == {}


def fail_by_exit_code(bench: Bench) -> str:
    bench.exit_code = 3
    bench.printed = b"Traceback\nno such model\n"
    return "exit code 3: no such model"


def fail_by_too_few_files(bench: Bench) -> str:
    bench.results = {}
    return "output files are missing: expected 1 of at least 1 bytes, found 0 (of 0 written)"


def fail_by_own_check(bench: Bench) -> str:
    bench.verdict = "no cells in it"
    return bench.verdict


def fail_by_fetch(bench: Bench) -> str:
    bench.at["fetch"] = bench.fail
    return "s3://bucket/x: SlowDown"


def fail_by_upload(bench: Bench) -> str:
    bench.at["upload"] = bench.fail
    return "s3://bucket/x: SlowDown"


def fail_by_error_of_the_worker(bench: Bench) -> str:
    def divide() -> None:
        1 / 0  # noqa: B018

    bench.at["run"] = divide
    return "the worker failed: ZeroDivisionError: division by zero"


FAILURES = [
    fail_by_exit_code,
    fail_by_too_few_files,
    fail_by_own_check,
    fail_by_fetch,
    fail_by_upload,
    fail_by_error_of_the_worker,
]


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize(
    ("attempt", "outcome", "settled"),
    [
        (1, "failed", "message released for 10"),
        (2, "failed", "message released for 60"),
        (3, "dead", "message dead"),
        (4, "dead", "message dead"),
    ],
)
def test_a_failed_attempt_keeps_its_log_and_then_gives_its_message_away(
    bench: Bench,
    failure: Callable[[Bench], str],
    attempt: int,
    outcome: str,
    settled: str,
) -> None:
    bench.attempt = attempt
    reason = failure(bench)
    record = bench.perform()
    assert (record.outcome, record.reason, record.bytes_out) == (outcome, reason, 0)
    phases = ["fetch", "run", "check", "upload"][: len(record.phases)]
    assert list(record.phases) == phases
    assert phases
    assert record.bytes_in == (8 if "run" in phases else 0)
    assert record.peak_memory_mb == (12 if "check" in phases else 0)
    log = f"upload {LOG}/{attempt}.log"
    last = [text for text in bench.events.noted if not text.startswith(f"upload {KEPT}")]
    assert last[-3:] == [log, settled, f"record {outcome}"]
    assert bench.log.endswith(f"[ds] {outcome}: {reason}\n")
    assert "out/a/one.txt" not in bench.outputs
    if outcome == "dead":
        assert bench.queue.attributes == {
            "reason": reason,
            "exit_code": "" if record.exit_code is None else str(record.exit_code),
            "attempts": str(attempt),
            "log_key": f"{LOG}/{attempt}.log",
            "job_id": ID,
        }


def test_what_a_failed_program_wrote_is_kept_beside_the_log(bench: Bench) -> None:
    bench.exit_code = 1
    bench.perform()
    kept = {key: text for key, text in bench.bucket.objects.items() if key.startswith(KEPT)}
    assert kept == {f"{KEPT}/one.txt": b"1", f"{KEPT}/two.txt": b"22"}


def test_a_log_that_cannot_be_kept_changes_nothing_else(bench: Bench) -> None:
    bench.exit_code = 1
    bench.at[f"upload {LOG}"] = bench.fail
    assert bench.perform().outcome == "failed"
    assert bench.events.noted[-2:] == ["message released for 10", "record failed"]


def test_a_message_that_cannot_be_settled_is_recorded_all_the_same(bench: Bench) -> None:
    bench.at["message"] = bench.fail
    assert bench.perform().outcome == "done"
    assert bench.events.noted[-1] == "record done"
    assert not list((bench.folder / "scratch").glob("slot-*"))


@pytest.mark.parametrize(
    ("body", "job_id", "reason"),
    [
        ("not json", "", "invalid message: not valid JSON"),
        ('{"group": {"name": {}}}', None, "invalid message: "),
    ],
)
def test_an_invalid_message_is_dead_at_once_and_nothing_is_run(
    bench: Bench, body: str, job_id: str | None, reason: str
) -> None:
    bench.body = body
    record = bench.perform()
    assert record.outcome == "invalid"
    assert record.reason.startswith(reason)
    assert bool(record.job_id) is (job_id is None)
    assert bench.events.noted == ["message dead", "record invalid"]
    assert bench.queue.attributes["log_key"] == ""


DONE = {"out/a/one.txt": b"old"}


@pytest.mark.parametrize(
    ("objects", "asks", "outcome"),
    [
        (DONE, True, "skipped"),
        (DONE, False, "done"),
        (DONE | {MARKER: b""}, True, "done"),
        ({"out/a/one.txt": b""}, True, "done"),
        ({"out/ab/one.txt": b"old"}, True, "done"),
        ({}, True, "done"),
    ],
)
def test_a_job_is_skipped_only_if_it_is_known_to_be_done(
    tmp_path: Path, objects: dict[str, bytes], asks: bool, outcome: str
) -> None:
    bench = Bench(tmp_path, CHECK_IF_DONE_BOOL=asks)
    bench.bucket.objects |= objects
    record = bench.perform()
    assert record.outcome == outcome
    assert bench.events.of("message") == ["message deleted"]
    assert MARKER not in bench.bucket.objects
    if outcome == "skipped":
        assert record.reason == "its outputs already exist"
        assert bench.events.noted == ["list out/a/", "message deleted", "record skipped"]


@pytest.mark.parametrize(
    ("printed", "shown"), [(b"", ""), (b"a\nno cells\n", "; the program printed: a | no cells")]
)
def test_missing_outputs_are_reported_with_the_last_lines(
    bench: Bench, printed: bytes, shown: str
) -> None:
    bench.results, bench.printed = {}, printed
    missing = "output files are missing: expected 1 of at least 1 bytes, found 0 (of 0 written)"
    assert bench.perform().reason == f"{missing}{shown}"


def test_a_reason_shows_both_ends_of_a_long_key(bench: Bench) -> None:
    key = "s3://bucket/" + "x" * 900 + "/a.tif"
    bench.exit_code, bench.printed = 1, f"ERROR: {key} cannot be read\nusage: measure\n".encode()
    reason = bench.perform().reason
    assert reason.startswith("exit code 1: ERROR: s3://bucket/x")
    assert reason.endswith("x/a.tif cannot be read")
    assert len(reason) < 200


@pytest.mark.parametrize(("slots", "gpus"), [(1, None), (2, "GPU-a,GPU-b"), (4, "GPU-a")])
def test_a_slot_has_its_own_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slots: int, gpus: str | None
) -> None:
    monkeypatch.setattr("ds.worker.attempt.gpu_count", lambda: 4)
    monkeypatch.setenv("NVIDIA_VISIBLE_DEVICES", "GPU-a,GPU-b,GPU-c,GPU-d")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    bench = Bench(tmp_path, DOCKER_CORES=slots)
    bench.perform()
    assert bench.ran["environment"].get("CUDA_VISIBLE_DEVICES") == gpus
