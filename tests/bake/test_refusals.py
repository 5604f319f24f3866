"""Refused answers on the command line: messages, files that remain, the command to try again."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.template import clean_environment, default_answers, run


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The current folder of the user."""
    folder = tmp_path / "home" / "work"
    folder.mkdir(parents=True)
    return folder


def cookiecutter(here: Path, template: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = clean_environment(here.parent.parent / "user")
    return run(here, environment, "cookiecutter", str(template), "--no-input", *words)


def left(here: Path) -> list[str]:
    """Return all files in the current folder and in its parent."""
    return sorted(str(path.relative_to(here.parent)) for path in here.parent.rglob("*"))


def test_all_problems_come_first_and_only_the_answers_file_remains(
    here: Path, template: Path
) -> None:
    done = cookiecutter(here, template, "app_name=1", "memory_mb=x", "command=a > b")
    assert done.returncode == 1
    assert done.stderr.splitlines()[:7] == [
        "",
        "Refused. Nothing was written:",
        "  question app_name: '1' is not a valid name for AWS resources; must be 1 to 40 "
        "letters, digits and -, beginning with a letter",
        "  question command, column 3: unquoted > needs a shell, but the command does not run in "
        "one; use bash -c '...' with \"$name\" for a variable, or quote it if it is text",
        "  question group_variables: is empty; write the variables that differ between jobs, with "
        "examples: well=A01|A02",
        "  question output_prefix: is empty; write where the outputs of one job go, such as "
        "results/{well}",
        "  question memory_mb: is 'x'; must be a whole number from 128 to 25,000,000",
    ]
    assert "Traceback" not in done.stderr
    assert left(here) == ["work", "work/answers.yaml"]


@pytest.mark.parametrize("slug", ["../x", "{}/x", "..x", "-x", "x y", "é", "a\nb", "\x1b[31mx"])
def test_a_bad_folder_is_not_created(here: Path, template: Path, slug: str) -> None:
    done = cookiecutter(here, template, f"project_slug={slug.format(here.parent)}")
    assert done.returncode == 1
    assert "question project_slug" in done.stderr
    assert "\x1b" not in done.stderr
    assert left(here) == ["work", "work/answers.yaml"]


@pytest.mark.parametrize("slug", ["../x", "{}/x", ".", ".."])
def test_an_existing_folder_is_not_changed(here: Path, template: Path, slug: str) -> None:
    precious = here.parent / "x" / "precious.txt"
    precious.parent.mkdir()
    precious.write_text("mine")
    for words in ([], ["--overwrite-if-exists"]):
        slug_word = f"project_slug={slug.format(here.parent)}"
        assert cookiecutter(here, template, slug_word, *words).returncode == 1
        assert precious.read_text() == "mine"
        others = {"answers.yaml", "work", "x", "precious.txt"}
        assert {path.name for path in here.parent.parent.rglob("home/**/*")} <= others


def test_the_answers_file_is_outside_the_folder_that_is_deleted(here: Path, template: Path) -> None:
    done = cookiecutter(here, template, "--output-dir", "new", "project_slug=../new")
    assert done.returncode == 1
    assert left(here) == ["work", "work/answers.yaml"]


def test_the_command_line_in_the_message_works_with_all_other_answers(
    here: Path, template: Path
) -> None:
    changes = {
        "description": 'It\'s {x} "y" é',
        "maintainer": "Ada {% raw %}{{ 1 }}{% endraw %}",
        "command": "measure {image} {output_dir}",
        "group_variables": "image=a|b",
        "output_prefix": "o/{image}",
        "gpus": "100",
    }
    done = cookiecutter(here, template, *(f"{name}={text}" for name, text in changes.items()))
    told = re.search(r"^  (cookiecutter .*)$", done.stderr, re.MULTILINE)
    assert told
    _, _, *words = shlex.split(told[1])
    assert words == ["--config-file", str(here / "answers.yaml")]
    text = (here / "answers.yaml").read_text(encoding="utf-8")
    corrected = text.replace('gpus: "100"', 'gpus: "1"').replace("{{ '{{' }} 1 }}", "x")
    (here / "answers.yaml").write_text(corrected, encoding="utf-8")
    again = cookiecutter(here, template, *words)
    assert again.returncode == 0, again.stderr
    made = here / "Distributed-HelloWorld"
    assert "GPUS = 1\n" in (made / "config.py").read_text()
    assert changes["command"] in (made / "job.py").read_text()
    assert 'authors="Ada x"' in (made / "Dockerfile").read_text()
    assert changes["description"] in (made / "README.md").read_text()


def test_an_answers_file_is_never_overwritten(here: Path, template: Path) -> None:
    (here / "answers.yaml").write_text("mine")
    for _ in range(2):
        assert cookiecutter(here, template, "gpus=x").returncode == 1
    assert left(here) == ["work", "work/answers-2.yaml", "work/answers.yaml"]
    assert (here / "answers.yaml").read_text() == "mine"
    kept = yaml.safe_load((here / "answers-2.yaml").read_text())
    assert kept == {"default_context": default_answers(gpus="x")}


def test_warnings_do_not_refuse_answers(here: Path, template: Path) -> None:
    words = ["command=measure {image}", "group_variables=image=a|b", "output_prefix={image}"]
    done = cookiecutter(here, template, *words)
    assert done.returncode == 0
    assert "Warnings:\n  question command: {output_dir} is never used" in done.stderr
    assert (here / "Distributed-HelloWorld" / "job.py").exists()


def test_yaml_that_is_not_text_is_reported(here: Path, template: Path) -> None:
    (here / "mine.yaml").write_text("default_context: {maintainer: , description: yes}")
    done = cookiecutter(here, template, "--config-file", "mine.yaml")
    assert done.returncode == 1
    assert "question description: is True, which is not text" in done.stderr
    assert "question maintainer: is None, which is not text" in done.stderr
