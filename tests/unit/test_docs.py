"""What the documentation promises, held against the files it speaks of."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_question_has_its_row_and_no_other() -> None:
    asked = [name for name in json.loads(_text("cookiecutter.json")) if not name.startswith("_")]
    table = _text("docs/questions.md").split("\n\n")[2]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == asked


def test_every_make_target_named_in_the_pages_exists() -> None:
    makefiles = _text("Makefile") + _text("{{cookiecutter.project_slug}}/Makefile")
    targets = set(re.findall(r"^([a-z]+):", makefiles, re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"(?:^|`)make ([a-z]+)", page.read_text(), re.MULTILINE))
        assert named <= targets, page.name


def test_every_page_is_in_the_sites_contents() -> None:
    listed = set(re.findall(r"- ([\w-]+\.md)", _text("mkdocs.yml")))
    assert listed == {page.name for page in (ROOT / "docs").glob("*.md")}


def test_ci_runs_what_the_readme_names_under_contributing() -> None:
    contributing = _text("README.md").split("## Contributing")[1]
    line = re.search(r"^for target in (.+); do$", _text(".ci/run"), re.MULTILINE)
    assert line
    for target in line[1].split():
        assert f"make {target}" in contributing


def _text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")
