"""Real worker processes on an emulated AWS: what happens to jobs and their messages."""

import json
import re
import sys

import pytest

from tests.emulator.world import PATIENCE, World

ECHO = """bash -c 'echo "$name" > "$output_dir/out.txt"'"""

SHOW_ARGUMENTS = (
    f"{sys.executable} -c "
    '\'import json, os, sys; json.dump(sys.argv[1:], open(os.environ["output_dir"] + '
    '"/out.json", "w"))\' {value} "<{value}>"'
)

HOSTILE = [
    "two words",
    'it\'s "quoted"',
    "; touch /tmp/owned",
    "$(touch /tmp/owned)",
    "`id`",
    "-rf",
    "--help",
    "* ? ~ [a] {b} {value}",
    "ünïcödé 中文 🧬",
    "line\nbreak\ttab",
    "\\",
    "%s %d {}",
    "",
]


def test_a_job_gets_its_inputs_and_its_outputs_are_uploaded(world: World) -> None:
    world.implement(
        'bash -c \'cat "$one" $many > "$output_dir/all.txt"; ls "$several" > '
        '"$output_dir/ls.txt"; mkdir "$output_dir/sub"; cp "$job_json" "$output_dir/sub/";'
        ' echo said this; pwd > "$output_dir/pwd.txt"\'',
        variables={"one": "file", "many": "files", "several": "folder", "n": "text"},
        output_prefix="out/{n}",
    )
    world.put("in/a.txt", b"A\n")
    world.put("in/b b.txt", b"B\n")
    for name in ("x_w1.tif", "y_w1.tif", "z_w2.tif", "deep/u_w1.tif"):
        world.put(f"in/plate/{name}")
    (job,) = world.send(
        [{"one": "in/a.txt", "many": ["in/a.txt"], "several": "in/plate/*_w1.tif", "n": 7}]
    )
    world.work()
    outputs = world.outputs()
    assert sorted(outputs) == [
        "out/7/all.txt",
        "out/7/ls.txt",
        "out/7/pwd.txt",
        "out/7/sub/job.json",
    ]
    assert outputs["out/7/all.txt"] == b"A\nA\n"
    assert outputs["out/7/ls.txt"] == b"x_w1.tif\ny_w1.tif\n"
    document = json.loads(outputs["out/7/sub/job.json"])
    assert document["n"] == 7
    assert document["one"].endswith("/in/a.txt")
    assert document["job_id"] == job.job_id
    (record,) = world.records()
    assert record["outcome"] == "done"
    assert record["group"] == dict(job.group)
    assert record["exit_code"] == 0
    assert set(record["phases"]) == {"fetch", "run", "check", "upload"}
    assert record["bytes_in"] == len(b"A\n") + 2 * len(b"x")
    assert record["bytes_out"] == sum(map(len, outputs.values()))
    assert b"said this" in world.get(f"logs/Test/run1/{job.job_id}/1.log")
    assert f"{job.job_id} said this" in world.lines()
    assert not list((world.folder / "scratch").iterdir())


def test_values_reach_the_program_as_exactly_one_argument(world: World) -> None:
    world.implement(SHOW_ARGUMENTS, variables={"value": "text", "n": "text"}, output_prefix="{n}")
    world.send([{"value": value, "n": f"v{i}"} for i, value in enumerate(HOSTILE)])
    world.set(DOCKER_CORES=4)
    world.work()
    seen = {key: json.loads(content) for key, content in world.outputs().items()}
    assert seen == {f"v{i}/out.json": [value, f"<{value}>"] for i, value in enumerate(HOSTILE)}


@pytest.mark.parametrize(
    ("command", "settings", "reason"),
    [
        (
            "bash -c 'echo half > \"$output_dir/h\"; echo bad thing >&2; exit 3'",
            {},
            "exit code 3: bad thing",
        ),
        ("bash -c 'kill -SEGV $$'", {}, "killed by SIGSEGV"),
        ("no-such-program-at-all", {}, "cannot be started"),
        (
            "bash -c 'echo ERROR: bad thing; echo usage: x; exit 2'",
            {},
            "exit code 2: ERROR: bad thing",
        ),
        ("true", {}, "expected 1 of at least 1 bytes, found 0"),
        ("echo no cells here", {}, "(of 0 written); the program printed: no cells here"),
        (ECHO, {"EXPECTED_NUMBER_FILES": 2}, "expected 2 of at least 1 bytes, found 1"),
        (ECHO, {"MIN_FILE_SIZE_BYTES": 100}, "at least 100 bytes, found 0 (of 1 written)"),
        (ECHO, {"NECESSARY_STRING": ".tif"}, "and '.tif' in the name, found 0"),
        ("ln -s /nowhere {output_dir}/x", {}, "is not a file"),
        ("sleep 60", {"JOB_TIMEOUT_MINUTES": 0.01}, "longer than JOB_TIMEOUT_MINUTES = 0.01"),
    ],
)
def test_a_failing_job_is_dead_after_its_attempts_with_a_reason(
    world: World, command: str, settings: dict[str, object], reason: str
) -> None:
    world.implement(command)
    world.set(JOB_RETRIES=2, **settings)
    (job,) = world.send([{"name": "a"}])
    world.work()
    assert world.outputs() == {}
    (dead,) = world.dead()
    assert reason in dead["reason"]
    assert dead["attempts"] == "2"
    assert dead["body"] == job.body()
    assert dead["job_id"] == job.job_id
    assert world.get(dead["log_key"])
    assert [record["outcome"] for record in world.records()] == ["failed", "dead"]
    kept = [key for key in world.keys("logs/") if "/failed/" in key]
    assert kept == ([f"logs/Test/run1/failed/{job.job_id}/h"] if "half" in command else kept)


def test_an_attempt_after_a_failed_one_sees_nothing_of_it(world: World) -> None:
    world.implement(
        'bash -c \'ls -A . "$output_dir" "$TMPDIR" > "$output_dir/seen.txt"; touch left '
        '"$output_dir/left" "$TMPDIR/left"; exit $(( $(cat "$state" | wc -l) ))\'',
        variables={"name": "text", "state": "text"},
    )
    state = world.folder / "state"
    state.write_text("fails\n")
    world.set(retry_delays=(2,))
    world.send([{"name": "a", "state": str(state)}])
    worker = world.start_worker()
    world.wait_until(lambda: any("/failed/" in key for key in world.keys("logs/")))
    state.write_text("")
    world.wait_until(world.empty)
    worker.terminate()
    assert worker.wait(PATIENCE) == 0
    seen = world.outputs()["out/a/seen.txt"].decode()
    assert "left" not in seen


def test_a_missing_input_is_reported(world: World) -> None:
    world.implement("cat {one}", variables={"one": "file", "name": "text"})
    world.set(JOB_RETRIES=1)
    world.send([{"one": "in/nothing.txt", "name": "a"}])
    world.work()
    (dead,) = world.dead()
    assert re.fullmatch(r"s3://.*/in/nothing.txt: does not exist", dead["reason"])


def test_invalid_messages_are_dead_at_once_and_stop_no_worker(world: World) -> None:
    world.implement(ECHO)
    bad = [
        "not json",
        "[]",
        "{}",
        '{"group": 1}',
        '{"group": {}}',
        '{"group": {"name": {"deep": 1}}}',
        '{"group": {"name": "x", "other": 1}}',
        '{"group": {"name": "../../x"}}',
        '{"group": {"name": null}}',
        '{"group": {"name": NaN}}',
    ] * 2
    world.send([{"name": f"g{i}"} for i in range(5)])
    world.send_bodies(bad)
    world.send([{"name": f"h{i}"} for i in range(5)])
    worker = world.start_worker()
    world.wait_until(world.empty)
    assert worker.poll() is None
    worker.terminate()
    assert worker.wait(PATIENCE) == 0
    assert len(world.outputs()) == 10
    dead = world.dead()
    assert sorted(message["body"] for message in dead) == sorted(bad)
    assert all(message["reason"].startswith("invalid message: ") for message in dead)


def test_jobs_that_are_done_already_are_skipped(world: World) -> None:
    world.implement(
        "bash -c 'for i in 1 2; do echo new > \"$output_dir/$i.csv\"; done'",
        output_prefix="out/{name}",
    )
    world.set(
        CHECK_IF_DONE_BOOL=True,
        EXPECTED_NUMBER_FILES=2,
        MIN_FILE_SIZE_BYTES=3,
        NECESSARY_STRING="csv",
    )
    complete = {"out/done/1.csv": b"old", "out/done/2.csv": b"old"}
    others = {
        "out/few/1.csv": b"old",
        "out/small/1.csv": b"old",
        "out/small/2.csv": b"o",
        "out/string/1.csv": b"old",
        "out/string/2.txt": b"old",
        # Other jobs, whose keys only begin alike: a prefix without its slash would count them.
        "out/neighbour2/1.csv": b"old",
        "out/neighbour2/2.csv": b"old",
        # Outputs of an upload that did not end.
        "out/broken/1.csv": b"old",
        "out/broken/2.csv": b"old",
    }
    for key, content in (complete | others).items():
        world.put(key, content)
    for i in range(1100):  # more than one page, all too small, before the two that count
        world.put(f"out/paged/a{i:04}.csv", b"")
    world.put("out/paged/z1.csv", b"old")
    world.put("out/paged/z2.csv", b"old")
    names = ["done", "few", "small", "string", "neighbour", "broken", "paged"]
    jobs = world.send([{"name": name} for name in names])
    world.put(f"logs/Test/uploading/{jobs[names.index('broken')].job_id}", b"")
    world.work()
    outcomes = {record["group"]["name"]: record["outcome"] for record in world.records()}
    assert outcomes == dict.fromkeys(names, "done") | {"done": "skipped", "paged": "skipped"}
    assert world.get("out/done/1.csv") == b"old"
    assert world.get("out/broken/1.csv") == b"new\n"
    assert not world.keys("logs/Test/uploading/")


FUNCTIONS = """
def arguments(job):
    return ["bash", "-c", f"cat {job.inputs_dir}/*/in/*.txt > {job.output_dir}/all.txt"]


def inputs(job):
    return ["in/"] if job.variables["name"] == "folder" else ["in/a.txt"]


def output_prefix(job):
    return "by-function/" + job.variables["name"]


def check_outputs(job):
    with open(job.output_dir + "/all.txt") as file:
        return None if "A" in file.read() else "no A in it"


def on_start():
    with open("started", "a") as file:
        file.write("once ")
"""


def test_the_functions_of_job_py_replace_those_of_the_engine(world: World) -> None:
    world.implement(None, output_prefix=None, job_py=FUNCTIONS)
    world.set(JOB_RETRIES=1)
    world.put("in/a.txt", b"B")
    world.put("in/b.txt", b"A")
    world.send([{"name": "folder"}, {"name": "file"}])
    world.work()
    assert world.outputs() == {"by-function/folder/all.txt": b"BA"}
    (dead,) = world.dead()
    assert dead["reason"] == "no A in it"
    assert (world.root / "started").read_text() == "once "


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"DOCKER_CORES": "many"}, "DOCKER_CORES: 'many' cannot be read"),
        ({"SQS_QUEUE_URL": "http://127.0.0.1:1/x/nothing"}, "cannot"),
    ],
)
def test_a_worker_that_cannot_start_reports_it_in_one_line(
    world: World, environment: dict[str, str], said: str
) -> None:
    world.implement(ECHO)
    worker = world.start_worker(TEST_STDERR="1", **environment)
    _, stderr = worker.communicate(timeout=60)
    assert worker.returncode == 2
    assert said in stderr
    assert "Traceback" not in stderr


def test_a_worker_whose_queue_is_deleted_ends(world: World) -> None:
    world.implement(ECHO)
    worker = world.start_worker(TEST_STDERR="1")
    world.send([{"name": "a"}])
    world.wait_until(lambda: world.outputs())
    world.sqs.delete_queue(QueueUrl=world.settings.queue_url)
    _, stderr = worker.communicate(timeout=60)
    assert worker.returncode == 2
    assert "the queue no longer exists" in stderr
    assert "Traceback" not in stderr
