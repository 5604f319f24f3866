"""Twenty real command lines run as in the manuals of their programs, or are refused with a hint.

Run as a program, with the engine on PYTHONPATH, it writes their table in docs/commands.md again.
"""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from ds.jobs.command import command_arguments, parse_command
from ds.jobs.command_checks import check_command
from ds.jobs.problems import BadInput, Problem
from ds.jobs.variables import Value

PROGRAMS: list[dict[str, Any]] = yaml.safe_load(
    Path(__file__).with_name("twenty_commands.yaml").read_text(encoding="utf-8")
)
PAGE = Path(__file__).parents[2] / "docs" / "commands.md"
MARK = "<!-- written by tests/unit/test_twenty_commands.py -->\n"
BUILT_IN: dict[str, Value] = {
    "output_dir": "/out",
    "work_dir": "/scratch",
    "job_id": "0" * 16,
    "cores": 1,
}
JOBS = [
    pytest.param(
        entry.get("instead", entry["command"]),
        entry["variables"],
        job,
        id=f"{entry['program']}-{number}",
    )
    for entry in PROGRAMS
    for number, job in enumerate(entry["jobs"], 1)
]
REFUSED = [pytest.param(entry, id=entry["program"]) for entry in PROGRAMS if entry.get("refused")]


def problems_of(text: str, variables: dict[str, str]) -> list[Problem]:
    try:
        return check_command(parse_command(text), variables)
    except BadInput as refused:
        return list(refused.problems)


@pytest.mark.parametrize(("text", "variables", "job"), JOBS)
def test_the_program_gets_the_arguments_of_its_manual(
    text: str, variables: dict[str, str], job: dict[str, Any]
) -> None:
    command = parse_command(text)
    assert command_arguments(command, variables, {**BUILT_IN, **job["values"]}) == job["arguments"]


@pytest.mark.parametrize(("text", "variables", "job"), JOBS)
def test_these_commands_have_no_problems_and_no_warnings(
    text: str, variables: dict[str, str], job: dict[str, Any]
) -> None:
    assert problems_of(text, variables) == []


@pytest.mark.parametrize("entry", REFUSED)
def test_a_command_that_cannot_work_is_refused_with_place_and_hint(entry: dict[str, Any]) -> None:
    problems = [
        problem
        for problem in problems_of(entry["command"], entry["variables"])
        if not problem.warning
    ]
    assert [problem.where for problem in problems] == [told["where"] for told in entry["refused"]]
    for problem, told in zip(problems, entry["refused"], strict=True):
        assert told["what"] in problem.message
        assert told["todo"] in problem.hint


def test_they_are_twenty_and_hard_enough() -> None:
    hard = [entry for entry in PROGRAMS if set(entry["command"]) & set("[]'\"|;$>&")]
    assert len({entry["program"] for entry in PROGRAMS}) == 20
    assert len(hard) >= 8
    assert len(REFUSED) == 4


def test_the_page_shows_them_as_they_are() -> None:
    _, mark, section = PAGE.read_text(encoding="utf-8").partition(MARK)
    assert mark
    assert section == table(), f"run {Path(__file__).name} to write it again"


def table() -> str:
    """Write a row for each program, and below it the result of each command."""
    rows = ["", "| program | its manual, and what to note | answer |", "|---|---|---|"]
    details: list[str] = []
    for entry in PROGRAMS:
        answer = f"refused at {entry['refused'][0]['where']}" if "refused" in entry else "runs"
        anchor = entry["program"].lower().replace(" ", "-")
        rows.append(f"| [{entry['program']}](#{anchor}) | {entry['manual']} | {answer} |")
        details += ["", f"### {entry['program']}", *block(entry["command"])]
        if "refused" in entry:
            problems = problems_of(entry["command"], entry["variables"])
            told = [str(problem) for problem in problems if not problem.warning]
            details += ["", "is refused:", *block("\n".join(told))]
            details += ["", "Instead:", *block(entry["instead"])]
        for job in entry["jobs"]:
            values = ", ".join(f"`{name}` {shown(value)}" for name, value in job["values"].items())
            details += ["", f"With {values}:", *block(shlex.join(job["arguments"]))]
    return "\n".join([*rows, *details, ""])


def block(text: str) -> list[str]:
    return ["", "```text", text, "```"]


def shown(value: Value) -> str:
    return f"`{json.dumps(value, ensure_ascii=False)}`"


if __name__ == "__main__":
    before = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    PAGE.write_text(before + MARK + table(), encoding="utf-8")
