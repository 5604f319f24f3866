"""`run.py show`, and how the command line reports errors."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from ds.control import cli
from ds.control.files.job_file import JobFile
from ds.jobs.message import Job
from tests.implementation import make_implementation

Capture = pytest.CaptureFixture[str]

VARIABLES = {
    "id": "text",
    "image": "file",
    "mask": "file",
    "folder": "folder",
    "text": "text",
    "on": "flag",
}
GROUPS = [
    {"id": 1, "image": "a/1.tif", "folder": "p1/*_w1.tif", "text": "it's $(x)", "on": True},
    {"id": 2, "image": "s3://other/2.tif", "folder": "p2", "text": "", "on": False},
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_implementation(
        tmp_path_factory.mktemp("show"),
        command="prog -i {image} -m {mask} -d {folder} [--text {text}] [--on {id} {on}] "
        "-o {output_dir}",
        variables=VARIABLES,
        output_prefix="out/{id}",
        settings={"MEMORY": 500, "SQS_MESSAGE_VISIBILITY": 60},
        groups=GROUPS,
        shared={"mask": "m.png"},
    )


def show(capsys: Capture, root: Path, *words: str) -> tuple[str, str]:
    """Return what `run.py show` prints for the example jobs, and its warnings."""
    assert cli.run(root, ["show", str(root / "files/exampleJob.json"), *words]) == 0
    return capsys.readouterr()


def test_show_prints_the_first_job_quoted_for_a_shell(capsys: Capture, root: Path) -> None:
    shown, _ = show(capsys, root)
    lines = shown.splitlines()
    assert lines[0].startswith("group 1 of 2, job ")
    words = shlex.split(lines[lines.index("command:") + 1])
    assert words[0] == "prog"
    assert words[words.index("--text") + 1] == "it's $(x)"
    assert words[-2:] == ["-o", words[-1]]
    assert "  s3://test-bucket/m.png -> " in shown
    assert "  s3://test-bucket/p1/*_w1.tif -> " in shown
    assert lines[-1] == "  s3://test-bucket/out/1/"


def test_show_prints_the_named_job(capsys: Capture, root: Path) -> None:
    shown, _ = show(capsys, root, "2")
    assert shown.startswith("group 2 of 2, job ")
    assert "s3://other/2.tif -> " in shown
    assert "--text" not in shown


def test_show_json_is_a_list_of_all_or_the_one_named(capsys: Capture, root: Path) -> None:
    everything = json.loads(show(capsys, root, "--json")[0])
    second = json.loads(show(capsys, root, "2", "--json")[0])
    assert [one["group"] for one in everything] == [1, 2]
    assert everything[1] == second
    assert list(second) == ["group", "job_id", "arguments", "inputs", "output_prefix"]
    assert second["arguments"][0] == "prog"
    assert {one["from"]: one["shared"] for one in second["inputs"]} == {
        "s3://other/2.tif": False,
        "s3://test-bucket/p2/": False,
        "s3://test-bucket/m.png": True,
    }


def test_warnings_go_to_stderr(capsys: Capture, root: Path) -> None:
    shown, warnings = show(capsys, root)
    assert "warning: config.py line 7, SQS_MESSAGE_VISIBILITY: has no effect" in warnings
    assert "warning" not in shown


BAD = [
    (["show", "none.json"], "none.json: does not exist; use a job file"),
    (["show", "files/exampleJob.json", "x"], "'x' is not a valid group number"),
    (["local", "files/exampleJob.json", "--only", "0"], "0 is not in the range"),
    (["show", "files/exampleJob.json", "3"], "has no group 3; use a number from 1 to 2"),
    (["show", "files/exampleJob.json", "0"], "Invalid value for '[N]'"),
    (["show"], "Missing argument 'JOBFILE'"),
    (["shwo", "x"], "unknown command 'shwo'; did you mean show?"),
    (["nothing"], "unknown command 'nothing'; use --help for the list"),
    (["local", "files/exampleJob.json", "--workers", "0"], "Invalid value for '--workers'"),
    (["local", "none.json"], "none.json: does not exist; use a job file"),
    (["local", "files/exampleJob.json", "--only", "3"], "has no group 3; use a number from 1 to 2"),
    (
        ["local", "files/exampleJob.json", "--only", "9", "--only", "1", "--only", "3"],
        "has no group 3; use a number from 1 to 2",
    ),
    (["local", "files/exampleJob.json"], "prog: not found on PATH; install it on this machine"),
    (["local", "files/exampleJob.json", "--output", "run.py"], "prog: not found on PATH"),
]


@pytest.mark.parametrize(("words", "message"), BAD)
def test_bad_input_ends_with_one_message_and_exit_code_2(
    root: Path,
    words: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    monkeypatch.chdir(root)
    assert cli.run(root, words) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert "Traceback" not in said.err
    assert said.out == ""


BROKEN = [
    ("config.py", "APP_NAME = \n", "config.py line 1, column"),
    ("config.py", "1 / 0\n", "config.py line 1: fails: ZeroDivisionError"),
    ("config.py", "APP_NAME = 'x'\nMEMORY = 'much'\n", "config.py line 2, MEMORY: is 'much'"),
    ("job.py", "COMMAND = (\n", "job.py line 1"),
    ("job.py", "import nonsense_here\n", "job.py line 1: fails: ModuleNotFoundError"),
    ("job.py", "COMMAND = 'a | b'\nOUTPUT_PREFIX = 'x'\n", "job.py, COMMAND"),
    ("job.py", None, "job.py: does not exist"),
    ("config.py", None, "config.py: does not exist"),
]


@pytest.mark.parametrize("command", ["show", "local"])
@pytest.mark.parametrize(("name", "text", "message"), BROKEN)
def test_a_broken_file_of_the_owner_is_reported_with_its_line(
    tmp_path: Path,
    name: str,
    text: str | None,
    message: str,
    command: str,
    capsys: Capture,
) -> None:
    root = make_implementation(tmp_path)
    if text is None:
        (root / name).unlink()
    else:
        (root / name).write_text(text)
    assert cli.run(root, [command, str(root / "files" / "exampleJob.json")]) == 2
    assert message in capsys.readouterr().err


def test_local_reads_the_job_file_once_for_several_groups(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    original = JobFile.jobs

    def counted(self: JobFile) -> Iterator[Job]:
        reads.append(self)
        return original(self)

    monkeypatch.setattr(JobFile, "jobs", counted)
    path = str(root / "files" / "exampleJob.json")
    # The program does not exist, so nothing is started.
    assert cli.run(root, ["local", path, "--only", "2", "--only", "1", "--only", "2"]) == 2
    assert len(reads) == 1


@pytest.mark.parametrize("width", [80, 100])
def test_help_does_not_cut_what_a_command_does(
    root: Path, width: int, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert cli.run(root, ["--help"]) == 0
    assert "..." not in capsys.readouterr().out.partition("Commands:\n")[2]


def test_help_lists_every_command_and_each_has_help(root: Path, capsys: Capture) -> None:
    assert cli.run(root, ["--help"]) == 0
    listed = capsys.readouterr().out.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in listed] == list(cli.MODULES)
    for name in cli.MODULES:
        assert cli.run(root, [name, "-h"]) == 0
        assert capsys.readouterr().out.startswith(f"Usage: python run.py {name} ")
    assert cli.run(root, ["-h"], "setup_AWS.py") == 0
    assert capsys.readouterr().out.startswith("Usage: python setup_AWS.py ")
