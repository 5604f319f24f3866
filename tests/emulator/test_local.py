"""`run.py local` as a user runs it: real processes from the first to the last."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from ds.control.local import emulator
from ds.control.local.feed import windowed
from ds.jobs.message import Job
from tests.implementation import make_implementation, run, write_jobs

JOBS = "files/exampleJob.json"


@contextlib.contextmanager
def started(root: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Start a run in the background, and end it at the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "run.py", "local", *words],
        cwd=root,
        env={**os.environ, "TMPDIR": str(temporary(root))},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(condition: Any, seconds: float = 60) -> Any:
    """Return the result of `condition()` once it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not in {seconds} s")


def of_run(process: subprocess.Popen[str], module: str) -> list[psutil.Process]:
    """A run's own processes: its workers, or its emulator."""
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children():
            with contextlib.suppress(psutil.Error):
                if child.cmdline()[1:3] == ["-m", module]:
                    found.append(child)
    return found


def naming(mark: str) -> list[psutil.Process]:
    """Processes whose command line has a mark."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(mark in word for word in process.cmdline()):
                found.append(process)
    return found


def temporary(root: Path) -> Path:
    """The folder for temporary files of runs; a run must leave it empty."""
    folder = root / "temporary"
    folder.mkdir(exist_ok=True)
    return folder


def answer(ended: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(ended.stdout)
    return document


def test_all_jobs_are_done_and_their_outputs_have_their_prefixes(tmp_path: Path) -> None:
    root = make_implementation(tmp_path)
    ended = run(root, "local", JOBS)
    assert ended.returncode == 0, ended.stderr + ended.stdout
    output = root / "local-output"
    assert (output / "out" / "a" / "out.txt").read_text() == "a\n"
    assert (output / "out" / "b" / "out.txt").read_text() == "b\n"
    assert sorted(path.name for path in output.iterdir()) == ["out"]
    assert "2 done, 0 skipped, 0 dead, in " in ended.stdout
    assert re.search(r"Suggested: MEMORY = \d+, JOB_TIMEOUT_MINUTES = 1\n$", ended.stdout)


def test_json_is_one_object_and_all_else_goes_to_stderr(tmp_path: Path) -> None:
    root = make_implementation(tmp_path)
    ended = run(root, "local", JOBS, "--json", "--only", "2", "--output", "elsewhere")
    assert ended.returncode == 0
    document = answer(ended)
    assert document["jobs"] == document["done"] == document["attempts"] == 1
    (result,) = document["results"]
    assert (result["group"], result["state"], result["exit_code"]) == (2, "done", 0)
    assert result["outputs"] == ["out/b/out.txt"]
    assert (root / "elsewhere" / "out" / "b" / "out.txt").read_text() == "b\n"
    assert "1 done" in ended.stderr


FAILING = """bash -c '
[ "$name" = bad ] && { echo half > "$output_dir/half"; echo "cannot read [x] " >&2; exit 3; }
[ "$name" = empty ] || echo fine > "$output_dir/out.txt"'"""


def test_dead_jobs_are_reported_with_reason_and_log_and_the_exit_code_is_1(tmp_path: Path) -> None:
    root = make_implementation(
        tmp_path,
        command=FAILING,
        settings={"JOB_RETRIES": 2, "DOCKER_CORES": 2},
        groups=[{"name": name} for name in ("good", "bad", "empty")],
    )
    ended = run(root, "local", JOBS, "--json", env={"COLUMNS": "250"})
    assert ended.returncode == 1, ended.stderr
    good, bad, empty = answer(ended)["results"]
    assert (good["state"], good["attempts"]) == ("done", 1)
    assert (bad["state"], bad["attempts"], bad["exit_code"]) == ("dead", 2, 3)
    assert bad["reason"] == "exit code 3: cannot read [x]"
    assert (empty["state"], empty["exit_code"]) == ("dead", 0)
    assert empty["reason"].startswith("output files are missing: expected 1 ")
    assert bad["outputs"] == empty["outputs"] == []
    output = root / "local-output"
    assert not (output / "out" / "bad").exists()
    logs = sorted((output / "logs").rglob(f"{bad['job_id']}/*.log"))
    assert [log.name for log in logs] == ["1.log", "2.log"]
    assert "cannot read [x]" in logs[0].read_text()
    assert bad["reason"] in " ".join(ended.stderr.split())


def test_inputs_come_from_data_and_a_missing_one_is_reported_once(tmp_path: Path) -> None:
    root = make_implementation(
        tmp_path,
        command="""bash -c 'cat "$one" "$all"/* "$other" > "$output_dir/out.txt"'""",
        variables={"one": "file", "all": "folder", "other": "file"},
        output_prefix="out/{one}",
        settings={"JOB_RETRIES": 1},
        shared={"all": "plate/*_w1.txt", "other": "s3://elsewhere/deep/o.txt"},
        groups=[{"one": "in/1.txt"}, {"one": "in/none.txt"}],
    )
    files = {
        "in/1.txt": "1",
        "plate/a_w1.txt": "a",
        "plate/b_w2.txt": "not wanted",
        "plate/b_w1.txt": "b",
        "elsewhere/deep/o.txt": "o",
    }
    for name, text in files.items():
        path = root / "bucket" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    ended = run(root, "local", JOBS, "--json", "--data", "bucket")
    assert ended.returncode == 1, ended.stderr
    first, second = answer(ended)["results"]
    assert first["state"] == "done"
    assert (root / "local-output" / "out" / "in" / "1.txt" / "out.txt").read_text() == "1abo"
    assert second["state"] == "dead"
    assert "in/none.txt" in second["reason"]
    assert "warning: bucket/in/none.txt: does not exist; group 2 needs it" in ended.stderr
    assert ended.stderr.count("warning") == 1


def test_jobs_that_are_done_are_skipped_if_config_says_so(tmp_path: Path) -> None:
    root = make_implementation(tmp_path, settings={"CHECK_IF_DONE_BOOL": "True"})
    done = root / "local-output" / "out" / "a"
    done.mkdir(parents=True)
    (done / "out.txt").write_text("earlier\n")
    ended = run(root, "local", JOBS, "--json")
    assert ended.returncode == 0, ended.stderr
    assert [one["state"] for one in answer(ended)["results"]] == ["skipped", "done"]
    assert (done / "out.txt").read_text() == "earlier\n"


def test_the_program_gets_its_own_settings(tmp_path: Path) -> None:
    root = make_implementation(
        tmp_path,
        command="""bash -c 'echo "$name $MY_NAME $cores" > "$output_dir/out.txt"'""",
        settings={"MY_NAME": "Ada Lovelace; rm -rf /", "CPUS_PER_JOB": 3, "GPUS": 16},
    )
    ended = run(root, "local", JOBS, "--only", "1")
    assert ended.returncode == 0
    assert "warning: GPUS is 16, but this machine has " in ended.stdout
    text = (root / "local-output" / "out" / "a" / "out.txt").read_text()
    assert text == "a Ada Lovelace; rm -rf / 3\n"


def test_the_aws_settings_of_this_computer_are_not_used(tmp_path: Path) -> None:
    root = make_implementation(tmp_path)
    hostile = {
        "AWS_PROFILE": "nobody-has-this",
        "AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:1",
        "HTTP_PROXY": "http://127.0.0.1:1",
        "http_proxy": "http://127.0.0.1:1",
    }
    ended = run(root, "local", JOBS, env=hostile)
    assert ended.returncode == 0, ended.stderr


def test_a_worker_that_cannot_start_ends_the_run_with_its_message(tmp_path: Path) -> None:
    root = make_implementation(
        tmp_path, job_py="def on_start():\n    raise RuntimeError('no licence')\n"
    )
    ended = run(root, "local", JOBS, env={"TMPDIR": str(temporary(root))})
    assert ended.returncode == 2
    assert "The worker cannot start" in ended.stderr
    assert "no licence" in ended.stderr
    assert "Traceback (most recent call last):\n  File" not in ended.stderr
    assert list(temporary(root).iterdir()) == []


def slow_implementation(tmp_path: Path, mark: str, **options: Any) -> Path:
    """Job `a` is quick; `b` takes an hour in a program that a signal to bash does not reach."""
    script = f'[ "$name" = a ] || bash -c "exec -a {mark} sleep 3600"; echo x > "$output_dir/o"'
    return make_implementation(tmp_path, command=f"bash -c '{script}'", **options)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_keeps_what_is_done_and_leaves_nothing_running(
    tmp_path: Path, number: signal.Signals
) -> None:
    mark = f"slow-{os.getpid()}-{number.name}"
    root = slow_implementation(tmp_path, mark)
    with started(root, JOBS, "--json") as process:
        wait_for(lambda: naming(mark))
        ours = [*of_run(process, "ds.worker"), *of_run(process, "ds.control.local.emulator")]
        assert len(ours) == 2
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    document = json.loads(stdout)
    assert [one["state"] for one in document["results"]] == ["done", "unfinished"]
    assert "1 done, 0 skipped, 0 dead, 1 unfinished, in " in stderr
    assert (root / "local-output" / "out" / "a" / "o").read_text() == "x\n"
    assert naming(mark) == []
    assert not any(one.is_running() for one in ours)
    assert list(temporary(root).iterdir()) == []


def test_an_interruption_before_the_first_job_leaves_nothing_running(tmp_path: Path) -> None:
    root = make_implementation(tmp_path)
    with started(root, JOBS) as process:
        (emulated,) = wait_for(lambda: of_run(process, "ds.control.local.emulator"))
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.strip() == "Interrupted; nothing is left running."
    assert not emulated.is_running()
    assert list(temporary(root).iterdir()) == []


def test_nothing_is_left_running_when_the_control_process_is_killed(tmp_path: Path) -> None:
    mark = f"slow-{os.getpid()}-killed"
    root = slow_implementation(tmp_path, mark)
    with started(root, JOBS) as process:
        wait_for(lambda: naming(mark))
        ours = [*of_run(process, "ds.worker"), *of_run(process, "ds.control.local.emulator")]
        assert len(ours) == 2
        process.kill()
        wait_for(lambda: not naming(mark) and not any(one.is_running() for one in ours), 20)
        wait_for(lambda: not list(temporary(root).iterdir()), 20)
    assert list(temporary(root).iterdir()) == []


def test_a_killed_worker_is_started_again_and_its_program_ended(tmp_path: Path) -> None:
    mark = f"slow-{os.getpid()}-worker"
    root = slow_implementation(tmp_path, mark)
    with started(root, JOBS) as process:
        orphan = wait_for(lambda: naming(mark))[0]
        (worker,) = of_run(process, "ds.worker")
        worker.kill()
        wait_for(lambda: not orphan.is_running(), 20)
        wait_for(lambda: [one for one in of_run(process, "ds.worker") if one != worker], 20)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert naming(mark) == []


def test_a_relative_job_file_and_another_current_folder(tmp_path: Path) -> None:
    root = make_implementation(tmp_path)
    ended = subprocess.run(
        [sys.executable, str(root / "run.py"), "local", f"{root.name}/{JOBS}", "--only", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "local-output" / "out" / "a" / "out.txt").is_file()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_of_a_thousand_jobs_none_is_lost_or_doubled(tmp_path: Path) -> None:
    root = make_implementation(
        tmp_path,
        command="""sh -c 'echo "$n" > "$output_dir/n"'""",
        variables={"n": "text"},
        output_prefix="out/{n}",
        settings={"DOCKER_CORES": 4},
    )
    write_jobs(root, {"matrix": {"n": list(range(1000))}})
    ended = run(root, "local", JOBS, "--workers", "2", "--json", timeout=850)
    assert ended.returncode == 0, ended.stderr
    document = answer(ended)
    assert (document["done"], document["attempts"]) == (1000, 1000)
    outputs = root / "local-output" / "out"
    assert {path.name: (path / "n").read_text() for path in outputs.iterdir()} == {
        str(n): f"{n}\n" for n in range(1000)
    }


def test_the_queue_is_fed_in_windows() -> None:
    queue: list[Job] = []
    fed = []
    most = 0
    for job in windowed(
        (Job({}, {"n": n}) for n in range(500)),
        lambda: (queue.clear(), 0)[1] if len(queue) > 60 else len(queue),
        threading.Event(),
        size=60,
    ):
        queue.append(job)
        fed.append(job.group["n"])
        most = max(most, len(queue))
    assert fed == list(range(500))
    assert 60 < most <= 60 + 20


def test_a_feeder_that_is_stopped_while_it_waits_sends_nothing_more() -> None:
    stop = threading.Event()
    looks = iter(range(3))

    def length() -> int:
        stop.set()
        return next(looks) + 100

    jobs = (Job({}, {"n": n}) for n in range(500))
    assert len(list(windowed(jobs, length, stop, size=60))) == 10


def test_the_emulator_ends_with_the_process_that_started_it() -> None:
    script = (
        "import os, signal\nfrom ds.control.local import emulator\n"
        "with emulator.running() as aws:\n"
        "    print(aws.url, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(emulator.__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    port = int(ended.stdout.rpartition(":")[2])

    def listens() -> bool:
        return any(
            one.laddr and one.laddr.port == port and one.status == psutil.CONN_LISTEN
            for one in psutil.net_connections("tcp")
        )

    wait_for(lambda: not listens(), 20)


def test_this_process_sees_only_the_emulator_while_it_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody-has-this")
    with emulator.running() as aws:
        assert "AWS_PROFILE" not in os.environ
        assert os.environ["AWS_ENDPOINT_URL"] == aws.url
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", aws.url)
    assert os.environ["AWS_PROFILE"] == "nobody-has-this"
