"""The files of a generated repository."""

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

from ds.jobs.links import DOCS_URL, docs_url
from tests.template import FOLDER, ROOT, YOURS, default_answers, git

Bake = Callable[..., Path]

LARGEST = 11_000
"""Lines of all files of HelloWorld."""

TOP = {
    ".dockerignore",
    ".gitattributes",
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
    "requirements.txt",
    "run.py",
    "setup_AWS.py",
    "tests",
    "ds",
}
ATTRIBUTES = "{{'.gitattributes'}}"
"""The name in the template, where .gitattributes would fold the changes of the engine's sources."""


def files_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def source_files(template: Path) -> dict[str, Path]:
    """Map each file of a generated repository to its file in the template."""
    folder = template / FOLDER
    return {name.replace(ATTRIBUTES, ".gitattributes"): folder / name for name in files_of(folder)}


def test_the_files_are_those_of_the_template_and_no_other(template: Path, bake: Bake) -> None:
    made = bake()
    assert {path.name for path in made.iterdir()} == TOP
    assert set(files_of(made)) == set(source_files(template))


def test_the_engine_is_copied_unchanged(template: Path, bake: Bake) -> None:
    made = bake()
    for name, source in source_files(template).items():
        if name in YOURS:
            continue
        assert (made / name).read_bytes() == source.read_bytes(), name
        assert os.access(made / name, os.X_OK) == os.access(source, os.X_OK), name


def test_every_file_is_either_yours_or_copied_without_rendering(template: Path) -> None:
    """Patterns match files, never folders, which cookiecutter deletes when it overwrites."""
    patterns = json.loads((template / "cookiecutter.json").read_text())["_copy_without_render"]
    for name in files_of(template / FOLDER):
        copied = any(fnmatch(name, pattern) for pattern in patterns)
        assert copied != (name in YOURS), name
        for folder in [*Path(name).parents, Path(name).parent / "folder"]:
            assert not any(fnmatch(str(folder), pattern) for pattern in patterns), folder


@pytest.mark.parametrize("name", ["ds/cloud/machine.sh", "ds/README.md", "ds/jobs/x.json"])
def test_a_file_of_any_kind_in_the_engine_is_copied_unrendered(
    template: Path, bake: Bake, name: str
) -> None:
    source = template / FOLDER / name
    text = "docker ps --format '{{.ID}}' ${#names[@]} {% raw %}\n"
    before = source.read_text(encoding="utf-8") if source.exists() else None
    source.write_text(text, encoding="utf-8")
    try:
        assert (bake() / name).read_text(encoding="utf-8") == text
    finally:
        if before is None:
            source.unlink()
        else:
            source.write_text(before, encoding="utf-8")


def test_git_marks_the_engine_as_generated_and_keeps_line_ends(bake: Bake) -> None:
    made = bake()
    names = [*files_of(made), "ds/cloud/machine.sh", "docs/mine.md"]
    git(made, "init", "-q")
    words = ("check-attr", "linguist-generated", "text", "eol", "--", *names)
    found: dict[str, dict[str, str]] = {}
    for line in git(made, *words).splitlines():
        name, attribute, value = line.split(": ")
        found.setdefault(name, {})[attribute] = value
    for name, attributes in found.items():
        generated = name not in (*YOURS, "docs/mine.md")
        assert (attributes["linguist-generated"] == "set") is generated, name
        keeps_lf = Path(name).name in ("Dockerfile", "Makefile") or name.endswith(".sh")
        expected = ("set", "lf") if keeps_lf else ("auto", "unspecified")
        assert (attributes["text"], attributes["eol"]) == expected, name


def test_git_does_not_mark_the_engine_in_the_template(template: Path) -> None:
    said = git(ROOT, "check-attr", "linguist-generated", "--", f"{FOLDER}/ds/worker/__main__.py")
    assert said.endswith("linguist-generated: unspecified")


def test_the_image_has_hashes_and_versions_are_the_same_on_both_sides(bake: Bake) -> None:
    made = bake()
    image = (made / "ds/worker/requirements.txt").read_text(encoding="utf-8")
    control = (made / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = re.findall(r"^[a-z].*?==\S+", image, re.MULTILINE)
    assert len(pins) > 5
    assert image.count("--hash=sha256:") >= len(pins)
    assert set(pins) <= {line.split(" ;")[0] for line in control}
    assert all(re.match(r"[a-z0-9-]+==\S+( ; .+)?$", line) for line in control)
    assert any(line.startswith("pytest==") for line in control)


def test_a_baked_helloworld_stays_small(bake: Bake) -> None:
    """The owner's repository is read and reviewed: 14,105 lines were too many."""
    made = bake()
    lines = {name: (made / name).read_bytes().count(b"\n") for name in files_of(made)}
    assert sum(lines.values()) <= LARGEST, lines


def test_links_lead_to_pages_of_the_documentation(bake: Bake) -> None:
    made = bake(**OWN)
    address = re.escape(f"{DOCS_URL}/")
    for name in ("README.md", "config.py", "job.py"):
        pages = re.findall(rf"{address}([\w-]+)/(?=[\s)\"]|$)", (made / name).read_text("utf-8"))
        assert pages, name
        for page in pages:
            assert (ROOT / "docs" / f"{page}.md").is_file(), page


def test_the_address_of_the_documentation_is_the_same_everywhere(template: Path) -> None:
    macros = (template / "templates" / "links.jinja").read_text(encoding="utf-8")
    assert re.findall(r"docs_url = '(.+?)'", macros) == [DOCS_URL]
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert re.findall(r"^site_url: (.+)$", site, re.MULTILINE) == [f"{DOCS_URL}/"]
    assert docs_url("settings") == f"{DOCS_URL}/settings/"
    assert docs_url("findings", "DS-MEMORY") == f"{DOCS_URL}/findings/#DS-MEMORY"


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


def test_caches_of_tools_in_the_template_are_not_part_of_a_repository(
    template: Path, bake: Bake
) -> None:
    before = set(source_files(template))
    strays = [
        ".ruff_cache/CACHEDIR.TAG",
        "ds/.mypy_cache/x.json",
        "ds/control/local/__pycache__/run.cpython-311.pyc",
        "tests/__pycache__/test_implementation.pyc",
    ]
    for name in strays:
        path = template / FOLDER / name
        path.parent.mkdir()
        path.write_text("x")
    try:
        assert set(files_of(bake())) == before
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
def test_each_license(bake: Bake, license_: str, expected: str) -> None:
    made = bake(license=license_, maintainer="Ada <a@b.org>")
    text = (made / "LICENSE").read_text(encoding="utf-8")
    assert re.search(expected, text)
    assert f"License: {license_}, see" in (made / "README.md").read_text(encoding="utf-8")


def test_no_license_is_no_file(bake: Bake) -> None:
    made = bake(license="none")
    assert not (made / "LICENSE").exists()
    assert "License: none." in (made / "README.md").read_text(encoding="utf-8")


def test_the_licenses_are_all_those_that_can_be_chosen(template: Path) -> None:
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

# Answers, a file, and a pattern of its text.
RENDERED = [
    ({}, "config.py", r"^APP_NAME = 'DistributedHelloWorld'$"),
    ({}, "config.py", r"^MY_NAME = 'Ada Lovelace'$"),
    ({}, "config.py", r"^AWS_BUCKET = 'your-bucket-name'$"),
    ({}, "config.py", r"^DOCKERHUB_TAG = 'user/distributed-helloworld:latest'$"),
    ({}, "config.py", r"^MACHINE_TYPE = \['m6i.large', 'm6a.large', 'm5.large'\]$"),
    ({}, "Dockerfile", r"^FROM debian:bookworm-slim$"),
    ({"memory_mb": "15000"}, "config.py", r"^MEMORY = 15000$"),
    # The rule of `check`: a container gets 0.92 of the machine's memory, less 256 MB.
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
    ({"maintainer": "Ada <a@b.org>"}, "README.md", r"^Questions: Ada \\<a@b.org\\>\. License"),
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
def test_answers_are_rendered_into_their_files(
    bake: Bake, answers: dict[str, str], name: str, expected: str
) -> None:
    text = (bake(**answers) / name).read_text(encoding="utf-8")
    assert re.search(expected, text, re.MULTILINE), text


def test_the_example_jobs_have_values_of_their_types(bake: Bake) -> None:
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


def test_a_repository_with_another_command_contains_nothing_of_helloworld(bake: Bake) -> None:
    made = bake(
        project_name="Distributed-Measure",
        command="measure {image} {output_dir}",
        group_variables="image=a|b",
        output_prefix="{image}",
    )
    for name in YOURS:
        text = (made / name).read_text(encoding="utf-8")
        assert not re.search(r"hello|pizza|ice_cream|favorite|\bAda\b|MY_NAME", text, re.I), name


def test_settings_are_separated_and_a_comment_marks_the_place_of_your_own(bake: Bake) -> None:
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


def test_the_helloworld_example_has_the_default_answers() -> None:
    file = yaml.safe_load((ROOT / "examples" / "helloworld.yaml").read_text(encoding="utf-8"))
    assert file["default_context"] == default_answers()


@pytest.mark.parametrize("name", ["helloworld", "imagej"])
def test_an_example_passes_its_own_checks(bake: Bake, name: str) -> None:
    file = yaml.safe_load((ROOT / "examples" / f"{name}.yaml").read_text(encoding="utf-8"))
    check_repository(bake(**file["default_context"]))


def test_a_repository_of_all_types_passes_its_own_checks(bake: Bake) -> None:
    command = f"{OWN['command']} -q {{QUICK}} {{more}} {{LANGUAGE}} {{plate}}"
    made = bake(**{**OWN, "command": command.replace("-q {QUICK}", "[-q {QUICK}]")})
    check_repository(made)


def check_repository(made: Path) -> None:
    """Run its `make test`, and lint the files that are rendered; the template lints the others."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    rules = ["--config", str(ROOT / "pyproject.toml"), "--ignore", "E501"]  # commands are long
    commands = [
        ["make", "test", f"PYTHON={sys.executable}"],
        [sys.executable, "-m", "ruff", "check", "--no-cache", *rules, "config.py", "job.py"],
        [Path(sys.executable).with_name("hadolint"), "Dockerfile"],
    ]
    for command in commands:
        done = subprocess.run(
            command, cwd=made, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    tomllib.loads((made / "pyproject.toml").read_text(encoding="utf-8"))
