"""The documentation matches the files that it describes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ds.control.checks.rules import CODES
from ds.jobs.definition import FUNCTIONS, load_job_definition
from ds.jobs.message import Job
from ds.jobs.resolve import resolve_job
from ds.jobs.settings import SETTINGS
from ds.jobs.variables import Value
from hooks.answers import NUMBERS
from scripts import reference

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_question_has_its_row() -> None:
    asked = [name for name in json.loads(_text("cookiecutter.json")) if not name.startswith("_")]
    table = _text("docs/questions.md").split("\n\n")[2]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == asked


def test_every_number_has_the_range_of_the_rules() -> None:
    rows = {
        line.split("`")[1]: line for line in _text("docs/questions.md").splitlines() if "`" in line
    }
    for name, (low, high) in NUMBERS.items():
        assert f" {low} to {high:,} |" in rows[name]


def test_the_dialogue_in_the_readme_has_the_current_questions() -> None:
    asked = json.loads(_text("cookiecutter.json"))
    prompts = [p if isinstance(p, str) else p["__prompt__"] for p in asked["__prompts__"].values()]
    shown = re.findall(r"^  \[(\d+)/(\d+)\] (.{14})", _text("README.md"), re.MULTILINE)
    assert len(shown) > 9
    for number, count, text in shown:
        assert int(count) == len(prompts)
        assert prompts[int(number) - 1][:14] == text


def test_the_settings_page_is_current() -> None:
    assert _text("docs/settings.md") == reference.page(), "run make reference"


def test_every_setting_has_a_type_a_default_and_a_meaning() -> None:
    for name in SETTINGS:
        (row,) = re.findall(rf"^\| `{name}` \|.*", reference.page(), re.MULTILINE)
        assert re.match(r"\| `\w+` \| [a-zN ]+ \| [^|]* \| [^|]+ \| [^|]* \| [^|]+ \|$", row), row


def test_every_finding_has_its_section() -> None:
    sections = re.findall(r"^## (DS-[A-Z-]+)$", _text("docs/findings.md"), re.MULTILINE)
    assert sorted(sections) == sorted(CODES)


EXAMPLES = dict(
    re.findall(
        r"^## (\w+)\n.*?^```python\n(.*?)^```",
        (ROOT / "docs/job-functions.md").read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
)


def test_every_function_of_job_py_has_its_example() -> None:
    assert set(EXAMPLES) == set(FUNCTIONS)


@pytest.mark.parametrize(
    ("function", "group", "arguments", "inputs", "prefix"),
    [
        (
            "arguments",
            {"image": "a.tif", "channels": "red green"},
            "segment /job/inputs/b/a.tif --out /job/output --channel red --channel green",
            ["b/a.tif"],
            "segmented/a.tif",
        ),
        (
            "inputs",
            {"stem": "a"},
            "measure /job/inputs/our-images/a.tif /job/output",
            ["our-images/a.tif", "our-images/a.json"],
            "measured/a",
        ),
        ("output_prefix", {"plate": "P1", "well": "B3"}, None, [], "P1/B/03"),
        ("check_outputs", {"plate": "P1", "pipeline": "p.cppipe"}, None, ["b/p.cppipe"], "P1"),
        ("on_start", {"image": "a.tif"}, None, ["b/a.tif"], "a.tif"),
    ],
)
def test_the_examples_of_functions_work(
    tmp_path: Path,
    function: str,
    group: dict[str, Value],
    arguments: str | None,
    inputs: list[str],
    prefix: str,
) -> None:
    path = tmp_path / "job.py"
    path.write_text(EXAMPLES[function], encoding="utf-8")
    definition = load_job_definition(path)
    assert function in definition.functions
    resolved = resolve_job(definition, {}, Job({}, group), "b")
    assert arguments is None or resolved.arguments == arguments.split()
    assert [f"{one.bucket}/{one.key}" for one in resolved.inputs] == inputs
    assert resolved.output_prefix == prefix


def test_every_make_target_in_the_docs_exists() -> None:
    makefiles = _text("Makefile") + _text("{{cookiecutter.project_slug}}/Makefile")
    targets = set(re.findall(r"^([a-z-]+):", makefiles, re.MULTILINE))
    named: set[str] = set()
    for page in PAGES:
        found = set(re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.MULTILINE))
        assert found <= targets, page.name
        named |= found
    assert {"local", "local-docker", "image"} <= named


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r"- ([\w-]+\.md)", _text("mkdocs.yml")))
    assert listed == {page.name for page in (ROOT / "docs").glob("*.md")}


def test_the_readme_names_what_ci_runs() -> None:
    contributing = _text("README.md").split("## Contributing")[1]
    line = re.search(r"^for target in (.+); do$", _text(".ci/run"), re.MULTILINE)
    assert line
    for target in line[1].split():
        assert f"make {target}" in contributing


def _text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")
