"""Every answer is refused with a clear line, or is unchanged in the new repository."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from ds.control.files.job_file import read_job_file
from ds.control.files.project import load_project
from ds.jobs.variables import TYPES
from hooks.answers import LISTS, QUESTIONS, BadInput, check_answers, parse_list
from tests.bake.unharmed import Renderer, assert_unharmed
from tests.template import YOURS, default_answers

Bake = Callable[..., Path]

BASE = default_answers(
    command="measure {image} {output_dir}", group_variables="image=a|b", output_prefix="o/{image}"
)

NASTY = "'\"\\$`{}[]()<>|;=:,#%&*!~@^-+/. aZ0é漢\u200d👩\t"
WORST = [
    "",
    " ",
    "'",
    '"',
    "'''",
    '"""',
    "\\",
    "a\\",
    "$(touch pwned) `touch pwned`",
    '"; import os; "',
    "{{ cookiecutter }}",
    "{%",
    "{#",
    "}} %} #}",
    "[bold]x[/bold]",
    "a\nb",
    "a\r\n",
    "\x1b[31m",
    "\x00",
    "\u2028",
    "\ud800",
    "../x",
    "/x",
    "</code> & &amp; <b>",
    "# x #",
    "- x",
    "1. x",
    "``a`b",
    "|a|",
    "%s %d {0} {x!r}",
    "é漢👩‍🔬",
    "x" * 5000,
    "EOF",
]

texts = st.one_of(
    st.sampled_from(WORST),
    st.text(NASTY, max_size=40),
    st.text(max_size=40),
    st.integers().map(str),
)
words = st.text(NASTY, max_size=20).map(shlex.quote)
commands = st.lists(words, max_size=4).map(
    lambda found: shlex.join(["run", "{image}"]) + " " + " ".join(found)
)
names = st.one_of(st.from_regex("[A-Z][A-Z0-9_]{0,8}", fullmatch=True), st.text(NASTY, max_size=5))
entries = st.builds(
    "{}{}{}={}".format,
    names,
    st.sampled_from(["", ":", " : "]),
    st.sampled_from(["", *TYPES]),
    st.text(NASTY, max_size=15) | st.sampled_from(["true", "FALSE", "a,b", "a|b"]),
)
lists = st.lists(entries, max_size=3).map(";".join)


def answers_to(question: str) -> st.SearchStrategy[str]:
    if question == "group_variables":
        examples = st.tuples(texts, texts).map("|".join)
        return st.one_of(texts, lists, examples.map("image={}".format))
    if question == "output_prefix":
        return st.one_of(texts, texts.map("{}{{image}}".format))
    if question in LISTS:
        return st.one_of(texts, lists)
    if question == "command":
        return st.one_of(texts, commands)
    if question == "license":
        return st.sampled_from(["BSD-3-Clause", "MIT", "Apache-2.0", "GPL-3.0-or-later", "none"])
    if question == "machine_types":
        return st.one_of(
            texts, st.lists(st.sampled_from(["m5.large", " c5.x", "u-6tb1.56xlarge"])).map(",".join)
        )
    return texts


@pytest.fixture(scope="module")
def renderer(template: Path) -> Renderer:
    return Renderer(template)


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_answer_is_refused_or_unharmed(renderer: Renderer, question: str) -> None:
    accepted = 0

    @settings(max_examples=500, deadline=None, database=None)
    @given(answers_to(question))
    def holds(answer: str) -> None:
        nonlocal accepted
        answers = {**BASE, question: answer}
        problems = [problem for problem in check_answers(answers) if not problem.warning]
        if problems:
            assert all(each.where and each.message and each.hint for each in problems)
            return
        accepted += 1
        files = renderer.files(answers)
        assert_unharmed(files, answers)

    for worst in WORST if question != "license" else []:
        holds = example(worst)(holds)
    holds()
    assert accepted


@settings(max_examples=500, deadline=None, database=None)
@given(st.one_of(lists, texts))
@example("a=b=c; d:file=e:f|g=h;;i = ")
def check_parsers(renderer: Renderer, text: str) -> None:
    try:
        expected = parse_list(text)
    except BadInput:
        return
    assert renderer.lists(dict.fromkeys(LISTS, text)) == dict.fromkeys(LISTS, expected)


def test_both_parsers_of_the_lists_agree(renderer: Renderer) -> None:
    check_parsers(renderer)


def test_thirty_hostile_repositories_work(bake: Bake) -> None:
    """Complete repositories from the worst answers that the rules accept."""
    made = 0

    @settings(
        max_examples=30,
        phases=[Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        st.fixed_dictionaries(
            {
                "project_name": accepted("project_name"),
                "description": accepted("description"),
                "maintainer": accepted("maintainer"),
                "license": accepted("license"),
                "command": accepted("command"),
                "shared_variables": accepted("shared_variables"),
                "config_variables": accepted("config_variables"),
            }
        )
    )
    def works(changes: dict[str, str]) -> None:
        nonlocal made
        answers = {**BASE, **changes}
        if any(not problem.warning for problem in check_answers(answers)):
            return  # each is valid, but two have the same name
        folder = bake(**answers)
        files = {name: folder / name for name in YOURS if (folder / name).exists()}
        held = {name: path.read_text(encoding="utf-8") for name, path in files.items()}
        assert_unharmed({"LICENSE": "", **held}, answers)
        mine = load_project(folder)
        assert (
            read_job_file(
                folder / "files" / "exampleJob.json", mine.definition, mine.settings.program
            ).count
            == 2
        )
        assert not (folder / "pwned").exists()
        made += 1

    works()
    assert made > 20


def accepted(question: str) -> st.SearchStrategy[str]:
    def is_good(answer: str) -> bool:
        problems = check_answers({**BASE, question: answer})
        return all(problem.warning for problem in problems)

    return answers_to(question).filter(is_good)
