"""The rules of the answers with their cases; the file that saves the answers."""

import ast
import json
import sys
from collections.abc import Mapping

import pytest
import yaml
from cookiecutter.prompt import create_env_with_context
from hypothesis import given
from hypothesis import strategies as st

import hooks.answers
from ds.jobs.problems import BadInput
from hooks import build
from hooks.answers import QUESTIONS, answers_file, check_answers, collisions, parse_list
from tests.template import ROOT, default_answers

OWN = {
    "command": "measure {image} {output_dir}",
    "group_variables": "image=a|b",
    "output_prefix": "out/{image}",
}
"""Valid answers that are not those of HelloWorld."""


def problems_of(changes: Mapping[str, str], *, updating: bool = False) -> list[str]:
    """Return the refusals, as a person reads them."""
    found = check_answers(default_answers(**changes), updating=updating)
    return [str(problem) for problem in found if not problem.warning]


def test_the_questions_are_those_of_cookiecutter_json() -> None:
    asked = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
    assert tuple(name for name in asked if not name.startswith("_")) == QUESTIONS
    assert tuple(asked["__prompts__"]) == QUESTIONS


def test_the_default_answers_are_valid() -> None:
    assert check_answers(default_answers()) == []


def test_the_written_hook_is_what_make_hooks_writes() -> None:
    assert (ROOT / "hooks" / "pre_gen_project.py").read_text(encoding="utf-8") == build.build()


def test_a_name_that_two_modules_of_the_hook_define_is_refused() -> None:
    with pytest.raises(SystemExit, match="check_twice is defined twice"):
        build.refuse_doubles("def check_twice(): ...\n\ncheck_twice = 1\n")


ACCEPTED = [
    {},
    OWN,
    {**OWN, "shared_variables": " ", "config_variables": ""},
    {**OWN, "group_variables": "image:file=a.tif|b.tif;"},
    {**OWN, "group_variables": "image=a|b; plate=P1", "output_prefix": "{plate}/{image}"},
    {**OWN, "shared_variables": "x=a=b:c; m:file=s3://bucket/key"},
    {**OWN, "shared_variables": "list:files=a.tif, b.tif; on:flag=TRUE; more:args=-v 'a b'"},
    {**OWN, "config_variables": "LANGUAGE=en; MODEL:file=m.bin"},
    {**OWN, "output_prefix": "{job_id}"},
    {"project_name": "Größe 👩‍🔬 `x` [bold] \"y\" 'z' \\", "project_slug": "x", "app_name": "x"},
    {"docker_base_image": "123.dkr.ecr.us-east-1.amazonaws.com/a/b__c:1.0_x"},
    {"docker_base_image": "localhost:5000/a@sha256:" + "0" * 64},
    {"expected_number_files": "0", "job_timeout_minutes": "660", "ebs_gb": "16384"},
    {"machine_types": "m6i.large"},
    {"maintainer": ""},
]


@pytest.mark.parametrize("changes", ACCEPTED)
def test_valid_answers_are_accepted(changes: dict[str, str]) -> None:
    assert problems_of(changes) == []


# Answers, and how each reported problem begins.
REFUSED: list[tuple[dict[str, str], list[str]]] = [
    ({"project_name": " "}, ["question project_name: is empty"]),
    ({"project_slug": "../x"}, ["question project_slug: '../x' is not a valid name"]),
    ({"project_slug": "/tmp/x"}, ["question project_slug"]),
    ({"project_slug": ".."}, ["question project_slug"]),
    ({"project_slug": ".git"}, ["question project_slug"]),
    ({"project_slug": "a b"}, ["question project_slug"]),
    ({"project_slug": ""}, ["question project_slug"]),
    ({"project_slug": "x" * 101}, ["question project_slug: 'xxx"]),
    ({"app_name": "1x"}, ["question app_name: '1x' is not a valid name"]),
    ({"app_name": "x" * 41}, ["question app_name"]),
    ({"app_name": "a_b"}, ["question app_name"]),
    ({"description": "a\nb"}, ["question description: contains U+000A (a control character); rem"]),
    (
        {"description": "a\u202eb"},
        ["question description: contains U+202E (RIGHT-TO-LEFT OVERRIDE)"],
    ),
    ({"description": "\udc80"}, ["question description: contains U+DC80"]),
    ({"description": "{{ 1 }}"}, ["question description: contains {{, which would run"]),
    ({"description": "{% if %}"}, ["question description: contains {%"]),
    ({"maintainer": "${#a[@]}"}, ["question maintainer: contains {#"]),
    (
        {"docker_base_image": "a b"},
        ["question docker_base_image: 'a b' is not a valid image name"],
    ),
    ({"docker_base_image": ""}, ["question docker_base_image"]),
    ({"docker_base_image": "User/Image"}, ["question docker_base_image"]),
    ({"docker_image": "a@sha256:" + "0" * 64}, ["question docker_image: has a digest"]),
    (
        {"memory_mb": "4 GB"},
        ["question memory_mb: is '4 GB'; must be a whole number from 128 to 25,000,000"],
    ),
    ({"memory_mb": "010"}, ["question memory_mb: is '010'; must be a whole number"]),
    ({"memory_mb": "٤٠٠٠"}, ["question memory_mb"]),
    ({"memory_mb": "-1"}, ["question memory_mb"]),
    (
        {"job_timeout_minutes": "661"},
        ["question job_timeout_minutes: is 661; must be a whole number from"],
    ),
    ({"gpus": "17"}, ["question gpus: is 17"]),
    (
        {"gpus": "1", "docker_cores": "2"},
        ["question gpus: 1 cannot be divided among docker_cores = 2 jobs; must be a multiple"],
    ),
    ({"gpus": "1", "docker_cores": "0"}, ["question docker_cores: is 0"]),
    ({"machine_types": ""}, ["question machine_types: '' is not an EC2 instance type"]),
    ({"machine_types": "m5.large, m5.large"}, ["question machine_types: m5.large is listed twice"]),
    ({**OWN, "group_variables": ""}, ["question group_variables: is empty"]),
    ({**OWN, "group_variables": "image"}, ["question group_variables, image: has no ="]),
    (
        {**OWN, "group_variables": "image:fil=a"},
        ["question group_variables, image: has the unknown type"],
    ),
    (
        {**OWN, "group_variables": "image:=a"},
        ["question group_variables, image: has the unknown type ''"],
    ),
    ({**OWN, "group_variables": "image=a|b; x=1|2|3"}, ["question group_variables, image: has 2"]),
    ({**OWN, "group_variables": "image=a|b; image=c|d"}, ["question group_variables, image: is"]),
    (
        {**OWN, "shared_variables": "image=c"},
        ["question shared_variables, image: is defined twice"],
    ),
    ({**OWN, "shared_variables": "a-b=1; a_b=2"}, ["question shared_variables, a_b: is def"]),
    ({**OWN, "shared_variables": "x=a|b"}, ["question shared_variables, x: contains |"]),
    (
        {**OWN, "shared_variables": "PATH=a"},
        ["question shared_variables, PATH: is a reserved name"],
    ),
    ({**OWN, "shared_variables": "AWS_X=a"}, ["question shared_variables, AWS_X"]),
    (
        {**OWN, "shared_variables": "=a"},
        ["question shared_variables, : must contain only letters"],
    ),
    ({**OWN, "shared_variables": "x y=a"}, ["question shared_variables, x y: must contain"]),
    (
        {**OWN, "shared_variables": "x:file=/etc/passwd"},
        ["question shared_variables, x: '/etc/pas"],
    ),
    ({**OWN, "shared_variables": "x:folder=a/../b"}, ["question shared_variables, x: 'a/../b'"]),
    (
        {**OWN, "shared_variables": "x:flag=maybe"},
        ["question shared_variables, x: 'maybe' must be"],
    ),
    ({**OWN, "shared_variables": "x:args='a"}, ["question shared_variables, x"]),
    ({**OWN, "config_variables": "language=en"}, ["question config_variables, language: is not a"]),
    ({**OWN, "config_variables": "A-B=en"}, ["question config_variables, A-B: is not a valid"]),
    ({**OWN, "config_variables": "MEMORY=1"}, ["question config_variables, MEMORY: is the name"]),
    (
        {**OWN, "config_variables": "MEMORI=1"},
        ["question config_variables, MEMORI: looks like a typo"],
    ),
    ({**OWN, "config_variables": "ECS_X=1"}, ["question config_variables, ECS_X: is a reserved"]),
    ({**OWN, "config_variables": "DB_PASSWORD=1"}, ["question config_variables, DB_PASSWORD: loo"]),
    ({**OWN, "command": ""}, ["question command"]),
    ({**OWN, "command": "a {image} > b"}, ["question command, column 11: unquoted >"]),
    ({**OWN, "command": "a {imagee}"}, ["question command, column 3: unknown variable {imagee}"]),
    ({**OWN, "command": "a [b {image}"}, ["question command, column 3: [ is not closed"]),
    ({**OWN, "command": "bash -c 'a {image}'"}, ["question command, column 9"]),
    ({**OWN, "output_prefix": ""}, ["question output_prefix: is empty; write where"]),
    ({**OWN, "output_prefix": "/{image}"}, ["question output_prefix: /x begins with /"]),
    ({**OWN, "output_prefix": "../{image}"}, ["question output_prefix: ../x contains . or .."]),
    ({**OWN, "output_prefix": "{imag}"}, ["question output_prefix: unknown variable {imag}; did"]),
    ({**OWN, "output_prefix": "all"}, ["question output_prefix: examples 1 and 2 write to 'all';"]),
    (
        {**OWN, "group_variables": "image=a|a/b", "output_prefix": "{image}"},
        ["question output_prefix: examples 1 and 2 write to 'a' and 'a/b', one inside the other"],
    ),
    ({**OWN, "group_variables": "image=a|.."}, ["question output_prefix, example 2"]),
    ({**OWN, "group_variables": "image=a|a"}, ["question output_prefix: examples 1 and 2"]),
]


@pytest.mark.parametrize(("changes", "expected"), REFUSED)
def test_bad_answers_are_refused(changes: dict[str, str], expected: list[str]) -> None:
    told = problems_of(changes)
    assert len(told) == len(expected)
    for line, beginning in zip(told, expected, strict=True):
        assert line.startswith(beginning)
        assert "; " in line


def test_all_problems_are_reported_at_once_in_the_order_of_the_questions() -> None:
    changes = {**OWN, "app_name": "1", "gpus": "x", "command": "a > b", "ebs_gb": "1"}
    places = [line.split(":")[0] for line in problems_of(changes)]
    expected = ["app_name", "command, column 3", "gpus", "ebs_gb"]
    assert places == [f"question {place}" for place in expected]


def problems_and_warnings_of(changes: Mapping[str, str]) -> list[str]:
    """Return place and beginning of every problem, including warnings."""
    found = check_answers(default_answers(**changes))
    lines = [str(problem).split(";")[0].removeprefix("question ") for problem in found]
    return sorted(lines, key=lambda line: QUESTIONS.index(line.split(":")[0].split(",")[0]))


# Several mistakes, and everything that is reported of them at once.
TOGETHER: dict[str, tuple[dict[str, str], list[str]]] = {
    "a newcomer's eight": (
        {
            "command": "m {image} {output_dir} {script} {sigma}",
            "group_variables": "image=a|b; x:fles=1|2|3",
            "shared_variables": "sigma; AWS_BUCKET=x; script:file=/abs.awk",
            "config_variables": "API_KEY=abc; MEMORYY=3",
            "output_prefix": "/{imag}",
        },
        [
            "command: {x} is never used",
            "group_variables, x: has the unknown type 'fles'",
            "group_variables, image: has 2 examples, but x has 3",
            "shared_variables, sigma: has no =",
            "shared_variables, AWS_BUCKET: is a reserved name",
            "shared_variables, script: '/abs.awk' must not begin with /",
            "config_variables, API_KEY: looks like a secret, which must not be stored in a file",
            "config_variables, MEMORYY: looks like a typo of the setting MEMORY",
            "output_prefix: unknown variable {imag}",
            "output_prefix: /x begins with /",
        ],
    ),
    "a wrong type hides neither unknown names nor the prefix": (
        {**OWN, "group_variables": "image:fles=a|b", "command": "a {imagee} {output_dir}"}
        | {"output_prefix": "/{image}/../{x}"},
        [
            "command, column 3: unknown variable {imagee}",
            "group_variables, image: has the unknown type 'fles'",
            "output_prefix: unknown variable {x}",
            "output_prefix: /x/../x begins with /",
            "output_prefix: /x/../x contains . or .. as a part",
        ],
    ),
    "a wrong type causes no other problem": (
        {**OWN, "group_variables": "image:fles=a, b|c"},
        ["group_variables, image: has the unknown type 'fles'"],
    ),
    "examples collide whatever their type is": (
        {**OWN, "group_variables": "image:fil=a|a"},
        [
            "group_variables, image: has the unknown type 'fil'",
            "output_prefix: examples 1 and 2 write to 'out/a'",
        ],
    ),
    "examples collide though another list is wrong": (
        {**OWN, "shared_variables": "x", "output_prefix": "all"},
        [
            "shared_variables, x: has no =",
            "output_prefix: has no variable, so every job writes to the same place",
            "output_prefix: examples 1 and 2 write to 'all'",
        ],
    ),
    "a wrong value elsewhere does not hide that examples collide": (
        {**OWN, "group_variables": "image=a|a; x:flag=maybe"}
        | {"command": "m {image} {output_dir} [-x {x}]"},
        [
            "group_variables, x: 'maybe' must be true or false",
            "output_prefix: examples 1 and 2 write to 'out/a'",
        ],
    ),
    "a wrong value in the prefix is reported once": (
        {**OWN, "group_variables": "image:file=/a|/a"},
        ["group_variables, image: '/a' must not begin with /"] * 2,
    ),
    "a job id is not known without all its values": (
        {**OWN, "group_variables": "image=a|a; plate", "output_prefix": "{job_id}"},
        ["group_variables, plate: has no ="],
    ),
    "a name that is defined twice has no value": (
        {**OWN, "group_variables": "image=a|b; image=c|c"},
        ["group_variables, image: is defined twice, also as image of group_variables"],
    ),
    "the job does not have an id then either": (
        {**OWN, "group_variables": "image=a|b; image=c|c", "output_prefix": "{job_id}"},
        ["group_variables, image: is defined twice, also as image of group_variables"],
    ),
    "a name without = is a name": (
        {**OWN, "shared_variables": "sigma; mask:file m.png; size 2"}
        | {"command": "m {sigma} {mask} {size} {image} {output_dir}"},
        [
            "shared_variables, sigma: has no =",
            "shared_variables, mask: has no =",
            "shared_variables, size 2: has no =",
        ],
    ),
    "a value that was cut at its ; is not checked further": (
        {**OWN, "group_variables": "image=a|b; x:args='-a; -b'|c|d; y=1|2|3"}
        | {"command": "m {image} {output_dir} {x} {y}"},
        [
            "group_variables, -b'|c|d: has no =",
            "group_variables, image: has 2 examples, but y has 3",
        ],
    ),
    "so is one that no prefix needs": (
        {**OWN, "shared_variables": "x='a; b'", "command": "m {image} {output_dir} {x}"},
        ["shared_variables, b': has no ="],
    ),
    "an entry without a name may be the unknown variable": (
        {**OWN, "shared_variables": "=1", "command": "m {image} {output_dir} {sigma}"},
        [
            "shared_variables, : must contain only letters, digits, _ and -, and begin "
            "with a letter or _"
        ],
    ),
    "so may one whose name is not valid, if it is similar": (
        {**OWN, "shared_variables": "my mask=1", "command": "m {image} {output_dir} {my_mask} {z}"}
        | {"output_prefix": "{image}/{mask}/{y}"},
        [
            "command, column 34: unknown variable {z}",
            "shared_variables, my mask: must contain only letters, digits, _ and -, and begin "
            "with a letter or _",
            "output_prefix: unknown variable {y}",
        ],
    ),
    "a variable that a typo stands for is used": (
        {**OWN, "shared_variables": "column=1; row=2; size=3"}
        | {"command": "m {image} {output_dir} {colum}", "output_prefix": "{image}/{siz}"},
        [
            "command, column 24: unknown variable {colum}",
            "command: {row} is never used",
            "output_prefix: unknown variable {siz}",
        ],
    ),
    "so is output_dir": (
        {**OWN, "command": "m {image} {outputdir}"},
        ["command, column 11: unknown variable {outputdir}"],
    ),
    "with an invalid command no variable is unused": (
        {**OWN, "command": "m > x", "shared_variables": "x=1"},
        ["command, column 3: unquoted > needs a shell, but the command does not run in one"],
    ),
    "a list of invalid entries is not empty": (
        {**OWN, "group_variables": "image"},
        ["group_variables, image: has no ="],
    ),
    "without group_variables any name may be one of them": (
        {**OWN, "group_variables": " ;", "output_prefix": "/{well}"},
        ["group_variables: is empty", "output_prefix: /x begins with /"],
    ),
}


@pytest.mark.parametrize("case", TOGETHER)
def test_certain_problems_are_reported_at_once_and_no_others(case: str) -> None:
    changes, expected = TOGETHER[case]
    lines = problems_and_warnings_of(changes)
    assert len(lines) == len(expected), lines
    for line, beginning in zip(lines, expected, strict=True):
        assert line.startswith(beginning)


@pytest.mark.parametrize(
    ("groups", "hint"),
    [
        ("p=1; image=a|b", "add {image} to it"),
        ("p=1; my image=a|b; image=a|b", "add {image} to it"),
        ("p=1; my image=a|b; image=a", "write different values for each example"),
    ],
)
def test_the_hint_for_equal_prefixes_is_a_variable_that_differs(groups: str, hint: str) -> None:
    *_, told = problems_of({**OWN, "group_variables": groups, "output_prefix": "{p}"})
    assert told.startswith("question output_prefix: examples 1 and 2")
    assert told.endswith(f"; {hint}")


@pytest.mark.parametrize(
    ("prefixes", "pairs"),
    [
        (["a", "b", "ab", "a-b"], []),
        (["a/b", "a/bc", "a/c"], []),
        (["a", "b", "a"], [(0, 2)]),
        (["a", "a", "a"], [(0, 1), (0, 2)]),
        (["a", "a/b"], [(0, 1)]),
        (["a/b/c", "x", "a"], [(0, 2)]),
        (["a/b/c", "a/b", "a"], [(0, 1), (0, 2), (1, 2)]),
    ],
)
def test_colliding_prefixes_are_found(prefixes: list[str], pairs: list[tuple[int, int]]) -> None:
    assert collisions(prefixes) == pairs


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({**OWN, "command": "a {image}"}, "question command: {output_dir} is never used"),
        ({**OWN, "shared_variables": "x=1"}, "question command: {x} is never used"),
    ],
)
def test_what_may_be_intended_is_a_warning(changes: dict[str, str], expected: str) -> None:
    (problem,) = check_answers(default_answers(**changes))
    assert problem.warning
    assert str(problem).startswith(expected)


@pytest.mark.parametrize("answer", [None, True, 4000, ["m5.large"], {"a": "b"}])
def test_an_answer_that_is_not_text_is_refused(answer: object) -> None:
    (problem,) = check_answers({**default_answers(), "memory_mb": answer})
    assert str(problem).startswith(f"question memory_mb: is {answer!r}, which is not text")


DAMAGING = [
    {"project_slug": "../x"},
    {"description": "a\nb"},
    {"description": "{{ 1 }}"},
    {"memory_mb": "4 GB"},
    {**OWN, "group_variables": "image"},
    {**OWN, "group_variables": ""},
    {**OWN, "config_variables": "a b=1"},
    {**OWN, "config_variables": "MEMORY=1"},
]


@pytest.mark.parametrize("changes", DAMAGING)
def test_an_update_refuses_answers_that_would_damage_files(changes: dict[str, str]) -> None:
    assert problems_of(changes, updating=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"app_name": "1x"},
        {"memory_mb": "1"},
        {"machine_types": "m5"},
        {"docker_image": "A B"},
        {**OWN, "command": "a > b"},
        {**OWN, "output_prefix": "all"},
        {**OWN, "config_variables": "MEMORI=1"},
    ],
)
def test_an_update_warns_of_all_other_problems(changes: dict[str, str]) -> None:
    assert problems_of(changes)
    assert problems_of(changes, updating=True) == []
    assert check_answers(default_answers(**changes), updating=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" ; ", []),
        ("a=", [("a", "text", [""])]),
        ("a = b c ", [("a", "text", ["b c"])]),
        ("a=b=c:d", [("a", "text", ["b=c:d"])]),
        ("a : file = x | y;b=z;", [("a", "file", ["x", "y"]), ("b", "text", ["z"])]),
    ],
)
def test_lists_of_variables(text: str, expected: list[tuple[str, str, list[str]]]) -> None:
    assert parse_list(text) == expected


def test_every_invalid_entry_of_a_list_is_reported() -> None:
    with pytest.raises(BadInput) as error:
        parse_list("a; b:textt=c; d:image=e")
    assert [str(problem).split(";")[0] for problem in error.value.problems] == [
        "a: has no =",
        "b: has the unknown type 'textt'",
        "d: has the unknown type 'image'",
    ]


@given(st.text(), st.text("{}%# '\"\\\r\n\t\x85\u2028:-|>a", max_size=30))
def test_the_answers_file_gives_the_same_answers_again(one: str, other: str) -> None:
    answers = dict.fromkeys(QUESTIONS, other) | {"description": one}
    read = yaml.safe_load(answers_file(answers))["default_context"]
    environment = create_env_with_context({})
    assert {name: environment.from_string(text).render() for name, text in read.items()} == answers


def test_the_hook_imports_only_the_standard_library() -> None:
    tree = ast.parse((ROOT / "hooks" / "pre_gen_project.py").read_text(encoding="utf-8"))
    modules = {
        name
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert {module.split(".")[0] for module in modules} <= set(sys.stdlib_module_names)


def test_every_rule_refuses_something() -> None:
    """Every rule of the module has a refusal in the table above."""
    rules = {name: rule for name, rule in vars(hooks.answers).items() if name.endswith("_rule")}
    del rules["text_rule"]
    answers = [default_answers(**changes) for changes, _ in REFUSED]
    for name, rule in rules.items():
        assert any(list(rule(each)) for each in answers), name
