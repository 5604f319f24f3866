"""Check that rendered files contain the answers exactly, each file parsed as its own language."""

import ast
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from cookiecutter.prompt import create_env_with_context
from jinja2 import FileSystemLoader
from markdown_it import MarkdownIt
from markdown_it.token import Token

from ds.jobs.variables import from_text
from hooks.answers import LISTS, example_groups, parse_list
from tests.template import FOLDER, YOURS


class Renderer:
    """Renders the owner's files as cookiecutter does, in a millisecond."""

    def __init__(self, template: Path) -> None:
        self.environment = create_env_with_context({})
        folders = [template / FOLDER, template / "templates"]
        self.environment.loader = FileSystemLoader(folders)

    def files(self, answers: Mapping[str, str]) -> dict[str, str]:
        return {
            name: self.environment.get_template(name).render(cookiecutter=answers) for name in YOURS
        }

    def lists(self, answers: Mapping[str, str]) -> dict[str, list[tuple[str, str, list[str]]]]:
        """Return the lists as templates/variables.jinja parses them."""
        context = {"cookiecutter": answers}
        module = self.environment.get_template("variables.jinja").make_module(context)
        return {
            question: [(each["name"], each["type"], each["examples"]) for each in found]
            for question in LISTS
            for found in [getattr(module, question)]
        }


def assert_unharmed(files: Mapping[str, str], answers: Mapping[str, str]) -> None:
    group, shared, config = (parse_list(answers[question]) for question in LISTS)
    settings = assignments(files["config.py"])
    assert settings["APP_NAME"] == answers["app_name"]
    assert settings["DOCKERHUB_TAG"] == answers["docker_image"]
    assert settings["MEMORY"] == int(answers["memory_mb"])
    types = [type_.strip() for type_ in answers["machine_types"].split(",")]
    assert settings["MACHINE_TYPE"] == types
    for name, type_, (example,) in config:
        assert settings[name] == from_text(example, type_)

    job = assignments(files["job.py"])
    assert job == {
        "COMMAND": answers["command"],
        "VARIABLES": {name: type_ for name, type_, _ in [*group, *shared, *config]},
        "OUTPUT_PREFIX": answers["output_prefix"],
    }

    jobs = json.loads(files["files/exampleJob.json"])
    assert {name: value for name, value in jobs.items() if "_comment" not in name} == {
        **{name: from_text(example, type_) for name, type_, (example,) in shared},
        "groups": example_groups(group),
    }

    dockerfile = files["Dockerfile"].splitlines()
    assert [line for line in dockerfile if line and line[0] != "#"] == [
        f"FROM {answers['docker_base_image']}",
        *(line for line in dockerfile if line.startswith("LABEL ")),
    ]
    assert labels(dockerfile) == {
        "title": answers["project_name"],
        "description": answers["description"],
        "authors": answers["maintainer"],
    }

    tokens = MarkdownIt("commonmark").enable("table").parse(files["README.md"])
    lines = [text_of(token) for token in tokens if token.type == "inline"]
    name, description, maintainer = (
        answers[question].strip() for question in ("project_name", "description", "maintainer")
    )
    assert lines[0] == name
    if description:
        assert lines[1] == f"{name}: {description}"
    if maintainer:
        assert lines[-1].startswith(f"Questions: {maintainer}. License: ")
    blocks = [token.content for token in tokens if token.type == "fence"]
    assert blocks == [f"{answers['command']}\n", f"{answers['output_prefix']}\n"]
    cells = {code for token in tokens if token.type == "inline" for code in codes_of(token)}
    for name, _, examples in [*group, *shared, *config]:
        assert {name, *filter(None, examples[:3])} <= cells
    if answers["license"] in ("MIT", "BSD-3-Clause"):
        assert f"(c) {answers['maintainer'] or 'the authors of '}" in files["LICENSE"]


def assignments(source: str) -> dict[str, object]:
    return {
        target.id: ast.literal_eval(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def labels(lines: Iterable[str]) -> dict[str, str]:
    """Parse labels as Docker does: in double quotes, a backslash escapes the next character."""
    found = {}
    for line in lines:
        label = re.fullmatch(r'LABEL org\.opencontainers\.image\.(\w+)="((?:[^"\\$]|\\.)*)"', line)
        if line.startswith("LABEL"):
            assert label, line
            found[label[1]] = re.sub(r"\\(.)", r"\1", label[2])
    return found


def text_of(token: Token) -> str:
    return "".join(child.content for child in token.children or [])


def codes_of(token: Token) -> list[str]:
    return [child.content for child in token.children or [] if child.type == "code_inline"]
