"""What a generated repository holds."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from tests.template import FOLDER, ROOT, YOURS, default_answers

Bake = Callable[..., Path]

TOP = {
    ".dockerignore",
    ".github",
    ".gitignore",
    "Dockerfile",
    "LICENSE",
    "Makefile",
    "README.md",
    "config.py",
    "files",
    "job.py",
    "pyproject.toml",
    "requirements-dev.txt",
    "requirements.txt",
    "run.py",
    "setup_AWS.py",
    "tests",
    "ds",
}


def files_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_files_are_those_of_the_template_and_no_other(template: Path, bake: Bake) -> None:
    made = bake()
    assert {path.name for path in made.iterdir()} == TOP
    assert files_of(made) == files_of(template / FOLDER)


def test_the_engine_is_copied_as_it_is(template: Path, bake: Bake) -> None:
    made = bake()
    for name in set(files_of(made)) - set(YOURS):
        source = template / FOLDER / name
        assert (made / name).read_bytes() == source.read_bytes(), name
        assert os.access(made / name, os.X_OK) == os.access(source, os.X_OK), name


def test_every_file_is_either_yours_or_copied_without_rendering(template: Path) -> None:
    """Patterns match files, never folders: cookiecutter deletes those whole when it overwrites."""
    patterns = json.loads((template / "cookiecutter.json").read_text())["_copy_without_render"]
    for name in files_of(template / FOLDER):
        copied = any(fnmatch(name, pattern) for pattern in patterns)
        assert copied != (name in YOURS), name
        for folder in [*Path(name).parents, Path(name).parent / "folder"]:
            assert not any(fnmatch(str(folder), pattern) for pattern in patterns), folder


def test_nothing_of_the_template_is_left(bake: Bake) -> None:
    made = bake(license="GPL-3.0-or-later")
    for name in files_of(made):
        text = (made / name).read_text(encoding="utf-8")
        assert "cookiecutter." not in text, name
        if name in YOURS:
            assert not re.search(r"\{[{%#]", text), name
            assert text.endswith("\n"), name
            assert not text.endswith("\n\n"), name
            assert not re.search(r"[ \t]$", text, re.MULTILINE) or name == "LICENSE", name


def test_what_tools_left_in_the_template_is_not_part_of_a_repository(
    template: Path, bake: Bake
) -> None:
    before = files_of(template / FOLDER)
    strays = ["ds/worker/__pycache__/lease.cpython-311.pyc", ".ruff_cache/CACHEDIR.TAG"]
    for name in strays:
        path = template / FOLDER / name
        path.parent.mkdir()
        path.write_text("x")
    try:
        assert files_of(bake()) == before
    finally:
        for name in strays:
            (template / FOLDER / name).unlink()
            (template / FOLDER / name).parent.rmdir()


LICENSES = [
    ("BSD-3-Clause", r"\ABSD 3-Clause License\n\nCopyright \(c\) Ada <a@b.org>\n"),
    ("MIT", r"\AMIT License\n\nCopyright \(c\) Ada <a@b.org>\n"),
    ("Apache-2.0", r"Apache License\n +Version 2.0"),
    ("GPL-3.0-or-later", r"GNU GENERAL PUBLIC LICENSE\n +Version 3"),
]


@pytest.mark.parametrize(("license_", "expected"), LICENSES)
def test_each_licence(bake: Bake, license_: str, expected: str) -> None:
    made = bake(license=license_, maintainer="Ada <a@b.org>")
    text = (made / "LICENSE").read_text(encoding="utf-8")
    assert re.search(expected, text)
    assert f"Licence: {license_}, see" in (made / "README.md").read_text(encoding="utf-8")


def test_no_licence_is_no_file(bake: Bake) -> None:
    made = bake(license="none")
    assert not (made / "LICENSE").exists()
    assert "Licence: none." in (made / "README.md").read_text(encoding="utf-8")


def test_the_licences_are_all_those_that_can_be_chosen(template: Path) -> None:
    choices = json.loads((template / "cookiecutter.json").read_text())["license"]
    assert choices == [*[license_ for license_, _ in LICENSES], "none"]


OWN = {
    "project_name": "Distributed Measure",
    "command": "measure {image} --out {output_dir} [--mask {mask}] [--fast {fast}]",
    "group_variables": "image:file=a.tif|b.tif; well=A01|A02; plate=P1",
    "shared_variables": "mask:file=m.png; more:files=x.txt,y.txt; fast:flag=true",
    "config_variables": "LANGUAGE=en; QUICK:flag=false",
    "output_prefix": "out/{well}",
}

# Answers, a file, and what stands in it.
RENDERED = [
    ({}, "config.py", r"^APP_NAME = 'DistributedHelloWorld'$"),
    ({}, "config.py", r"^MY_NAME = 'Ada Lovelace'$"),
    ({}, "config.py", r"^AWS_BUCKET = 'your-bucket-name'$"),
    ({}, "config.py", r"^DOCKERHUB_TAG = 'user/distributed-helloworld:latest'$"),
    ({}, "config.py", r"^MACHINE_TYPE = \['m6i.large', 'm6a.large', 'm5.large'\]$"),
    ({}, "Dockerfile", r"^FROM debian:bookworm-slim$"),
    ({"memory_mb": "15000"}, "config.py", r"^MEMORY = 15000$"),
    # As large as check's rule asks for: 0.92 of the machine's memory, less 256 MB.
    ({"memory_mb": "7000"}, "config.py", r"^MACHINE_TYPE = \['m6i.large', "),
    ({"memory_mb": "14800"}, "config.py", r"^MACHINE_TYPE = \['m6i.xlarge', "),
    ({"memory_mb": "15000"}, "config.py", r"^MACHINE_TYPE = \['m6i.2xlarge', "),
    ({"memory_mb": "30000"}, "config.py", r"^MACHINE_TYPE = \['m6i.4xlarge', "),
    ({"memory_mb": "60000"}, "config.py", r"^MACHINE_TYPE = \['m6i.4xlarge', "),
    ({"memory_mb": "500", "docker_cores": "4", "cpus_per_job": "2"}, "config.py", r"'m5.2xlarge'"),
    ({"gpus": "1"}, "config.py", r"^MACHINE_TYPE = \['g4dn.xlarge', 'g5.xlarge', 'g6.xlarge'\]$"),
    ({"gpus": "1"}, "config.py", r"^GPUS = 1$"),
    ({"ebs_gb": "100"}, "config.py", r"^EBS_VOL_SIZE = 100$"),
    ({"cpus_per_job": "3"}, "config.py", r"^CPUS_PER_JOB = 3$"),
    ({"docker_cores": "4"}, "config.py", r"^DOCKER_CORES = 4$"),
    ({"job_timeout_minutes": "5"}, "config.py", r"^JOB_TIMEOUT_MINUTES = 5$"),
    ({"expected_number_files": "7"}, "config.py", r"^EXPECTED_NUMBER_FILES = 7$"),
    ({"docker_image": "me/it:1.0"}, "config.py", r"^DOCKERHUB_TAG = 'me/it:1.0'$"),
    ({"machine_types": "c5.large ,c6i.large"}, "config.py", r"\['c5.large', 'c6i.large'\]$"),
    ({"app_name": "Other"}, "config.py", r"^APP_NAME = 'Other'$"),
    ({"docker_base_image": "a/b:1"}, "Dockerfile", r"^FROM a/b:1$"),
    ({"maintainer": "Ada <a@b.org>"}, "README.md", r"^Questions: Ada \\<a@b.org\\>\. Licence"),
    ({"description": "Does it"}, "README.md", r"^\*\*Distributed-HelloWorld\*\*: Does it$"),
    (OWN, "config.py", r"^LANGUAGE = 'en'\n\nQUICK = False\n\n# Your own"),
    (OWN, "config.py", r"^APP_NAME = 'DistributedMeasure'$"),
    (OWN, "job.py", r"^    'more': 'files',$"),
    (OWN, "job.py", r"^OUTPUT_PREFIX = 'out/\{well\}'$"),
    (OWN, "README.md", r"^\| `image` \| file \| each group \| `a.tif`, `b.tif` \|$"),
    (OWN, "README.md", r"^\| `QUICK` \| flag \| `config.py` \| `false` \|$"),
    (OWN, "README.md", r"the file of `image` \(such as `data/a.tif`\), the file of `mask`"),
]


@pytest.mark.parametrize(("answers", "name", "expected"), RENDERED)
def test_answers_land_where_they_belong(
    bake: Bake, answers: dict[str, str], name: str, expected: str
) -> None:
    text = (bake(**answers) / name).read_text(encoding="utf-8")
    assert re.search(expected, text, re.MULTILINE), text


def test_the_example_jobs_hold_values_of_their_types(bake: Bake) -> None:
    jobs = json.loads((bake(**OWN) / "files" / "exampleJob.json").read_text(encoding="utf-8"))
    values = {name: value for name, value in jobs.items() if "_comment" not in name}
    assert values == {
        "mask": "m.png",
        "more": ["x.txt", "y.txt"],
        "fast": True,
        "groups": [
            {"image": "a.tif", "well": "A01", "plate": "P1"},
            {"image": "b.tif", "well": "A02", "plate": "P1"},
        ],
    }


def test_nothing_of_helloworld_is_in_a_repository_with_a_command_of_its_own(bake: Bake) -> None:
    made = bake(
        project_name="Distributed-Measure",
        command="measure {image} {output_dir}",
        group_variables="image=a|b",
        output_prefix="{image}",
    )
    for name in YOURS:
        text = (made / name).read_text(encoding="utf-8")
        assert not re.search(r"hello|pizza|ice_cream|favorite|\bAda\b|MY_NAME", text, re.I), name


def test_settings_are_apart_and_a_comment_says_where_own_ones_go(bake: Bake) -> None:
    text = (bake(**OWN) / "config.py").read_text(encoding="utf-8")
    lines = text.splitlines()
    assert lines[-1] == "# Your own settings, of DS or of your program, go below this line."
    for number, line in enumerate(lines):
        if re.match("[A-Z_]+ = ", line):
            assert lines[number - 1] == "" or lines[number - 1].startswith("#")
            assert lines[number + 1] == ""


@pytest.mark.parametrize("name", ["helloworld", "imagej"])
def test_every_example_answers_every_question(name: str) -> None:
    file = yaml.safe_load((ROOT / "examples" / f"{name}.yaml").read_text(encoding="utf-8"))
    assert list(file) == ["default_context"]
    assert list(file["default_context"]) == list(default_answers())


def test_the_helloworld_example_is_what_enter_gives() -> None:
    file = yaml.safe_load((ROOT / "examples" / "helloworld.yaml").read_text(encoding="utf-8"))
    assert file["default_context"] == default_answers()


@pytest.mark.parametrize("name", ["helloworld", "imagej"])
def test_an_example_passes_every_check_of_its_own(bake: Bake, name: str) -> None:
    file = yaml.safe_load((ROOT / "examples" / f"{name}.yaml").read_text(encoding="utf-8"))
    check_repository(bake(**file["default_context"]))


def test_a_repository_of_all_types_passes_its_own_checks(bake: Bake) -> None:
    command = f"{OWN['command']} -q {{QUICK}} {{more}} {{LANGUAGE}} {{plate}}"
    made = bake(**{**OWN, "command": command.replace("-q {QUICK}", "[-q {QUICK}]")})
    check_repository(made)


def check_repository(made: Path) -> None:
    """Its own `make test`, lint of Python and Dockerfile, and of shell files if it has any."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    commands = [
        ["make", "test", f"PYTHON={sys.executable}"],
        [sys.executable, "-m", "ruff", "check", "--no-cache", "."],
        [sys.executable, "-m", "ruff", "format", "--no-cache", "--check", "."],
        [Path(sys.executable).with_name("hadolint"), "Dockerfile"],
    ]
    scripts = [path for path in made.rglob("*") if path.is_file() and is_shell(path)]
    if scripts:
        commands.append([Path(sys.executable).with_name("shellcheck"), *scripts])
    for command in commands:
        done = subprocess.run(
            command, cwd=made, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    for name in ("config.py", "job.py"):
        ast.parse((made / name).read_text(encoding="utf-8"))
    tomllib.loads((made / "pyproject.toml").read_text(encoding="utf-8"))


def is_shell(path: Path) -> bool:
    return path.suffix == ".sh" or bool(re.match(rb"#!.*\b(ba|da)?sh\b", path.read_bytes()[:80]))
