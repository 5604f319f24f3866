"""The answers to the template's questions: what is wrong with them, and the file that keeps them.

Standard library and the command language only: `make hooks` of the template writes this module
into the hook that refuses answers, so generation and the engine have one set of rules.
"""

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import NamedTuple

from ds.jobs.command import check_command, check_unused, names, parse
from ds.jobs.output_prefix import check_prefix, collisions, prefix_names, render
from ds.jobs.problems import BadInput, Problem, at, closest
from ds.jobs.variables import (
    BUILT_IN,
    NAME_PATTERN,
    TYPES,
    Value,
    environment_name,
    from_text,
    name_problem,
    value_problem,
)

QUESTIONS = (
    "project_name",
    "project_slug",
    "app_name",
    "description",
    "maintainer",
    "license",
    "docker_base_image",
    "command",
    "group_variables",
    "shared_variables",
    "config_variables",
    "output_prefix",
    "expected_number_files",
    "docker_image",
    "docker_cores",
    "cpus_per_job",
    "memory_mb",
    "gpus",
    "machine_types",
    "ebs_gb",
    "job_timeout_minutes",
)
"""Every question of the template, in its order."""

LISTS = ("group_variables", "shared_variables", "config_variables")

NUMBERS = {
    "expected_number_files": (0, 1_000_000),
    "docker_cores": (1, 256),
    "cpus_per_job": (1, 192),
    "memory_mb": (128, 25_000_000),
    "gpus": (0, 16),
    "ebs_gb": (30, 16_384),
    "job_timeout_minutes": (1, 660),
}
"""Smallest and largest value of each question that takes a whole number."""

Answers = Mapping[str, str]
Rule = Callable[[Answers], Iterable[Problem]]


# --- Lists of variables ---------------------------------------------------------------------------


class Variable(NamedTuple):
    """One entry of a list: `name:type=example|example`."""

    name: str
    type: str
    examples: list[str]


def parse_list(text: str) -> list[Variable]:
    """Read the answer to one of LISTS: `name=value; name:type=value|value`.

    Plain splitting: `templates/variables.jinja` does the same, without these refusals.

    Raises:
        BadInput: with every problem.
    """
    variables, _, problems = _read_list(text)
    if problems:
        raise BadInput(problems)
    return variables


class _List(NamedTuple):
    """What can be read of a list, however much of it is wrong.

    A type that is none is read as text, which fits every place. A variable whose value may have
    been cut at a ; has no examples.
    """

    variables: list[Variable]
    without_value: list[str]  # names, or the whole text where there is none to be had
    problems: list[Problem]


_WITHOUT_VALUE = re.compile(rf"({NAME_PATTERN})(?:[\s:][^'\"|]*)?")  # else the rest of a cut value


def _read_list(text: str) -> _List:
    read = _List([], [], [])
    for entry in filter(str.strip, text.split(";")):
        key, equals, value = entry.partition("=")
        name, colon, type_ = (part.strip() for part in key.partition(":"))
        if not equals:
            hint = "write name=value; a value cannot hold ; here, such a one goes into the job file"
            read.problems.append(Problem(name, "has no =", hint))
            named = _WITHOUT_VALUE.fullmatch(entry.strip())
            read.without_value.append(named[1] if named else entry.strip())
            if read.variables and not named:
                read.variables[-1] = read.variables[-1]._replace(examples=[])
            continue
        if colon and type_ not in TYPES:
            suggestion = closest(type_, TYPES)
            hint = f"did you mean {suggestion}?" if suggestion else f"use one of {', '.join(TYPES)}"
            read.problems.append(Problem(name, f"has no type {type_!r}", hint))
        examples = [example.strip() for example in value.split("|")]
        read.variables.append(Variable(name, type_ if type_ in TYPES else "text", examples))
    return read


def example_groups(variables: Iterable[Variable]) -> list[dict[str, Value]]:
    """The groups of the example job file: examples are taken in step, a single one by all.

    Raises:
        ValueError: an example is no value of its variable's type.
    """
    variables = list(variables)
    count = max((len(variable.examples) for variable in variables), default=0)
    return [
        {
            name: from_text(examples[index if len(examples) > 1 else 0], type_)
            for name, type_, examples in variables
        }
        for index in range(count)
    ]


def _lists(answers: Answers) -> dict[str, list[Variable]]:
    """The variables of each list, as far as they can be read."""
    return {question: _read_list(answers[question]).variables for question in LISTS}


def _types(answers: Answers, wanted: Iterable[str]) -> dict[str, str]:
    """Type by name; a wanted name is there as text if it may be that of an unreadable entry.

    Without group_variables any name may be one that is still to be written there.
    """
    types = {}
    for question in LISTS:
        variables, without_value, _ = _read_list(answers[question])
        types.update(dict.fromkeys(without_value, "text"))
        types.update({name: type_ for name, type_, _ in variables})
    unreadable = [name for name in types if not re.fullmatch(NAME_PATTERN, name)]
    if not any(_read_list(answers["group_variables"])):
        unreadable.append("")
    for name in wanted:
        if name not in types and any(_may_stand_for(entry, name) for entry in unreadable):
            types[name] = "text"
    return types


def _may_stand_for(entry: str, name: str) -> bool:
    return not entry or closest(name, [entry, *re.findall(NAME_PATTERN, entry)]) is not None


def _slips(wanted: Iterable[str], types: Mapping[str, str]) -> set[str | None]:
    """The names that unknown ones were probably meant to be."""
    known = [*types, *BUILT_IN]
    return {closest(name, known) for name in wanted if name not in known}


# --- Rules: what would damage the files that are written ------------------------------------------


def text_rule(answers: Mapping[str, object]) -> Iterator[Problem]:
    """An answers file in YAML can hold numbers, lists and nothing at all; the answers are text."""
    for question in QUESTIONS:
        if not isinstance(answers[question], str):
            hint = "write it as text in quotes, '' for none"
            yield Problem(
                f"question {question}", f"is {answers[question]!r}, which is no text", hint
            )


def characters_rule(answers: Answers) -> Iterator[Problem]:
    """One printable line without Jinja: cruft renders stored answers again at every update."""
    for question in QUESTIONS:
        where = f"question {question}"
        for character in answers[question]:
            if not _is_printable(character):
                name = unicodedata.name(character, "a control character")
                yield Problem(where, f"holds U+{ord(character):04X} ({name})", "remove it")
                break
        if opener := re.search(r"\{[{%#]", answers[question]):
            message = f"holds {opener[0]}, which would be run as template code"
            yield Problem(where, message, "put a blank between the two, or the text into a script")


def slug_rule(answers: Answers) -> Iterator[Problem]:
    """The folder lies in the folder where the template was called, never elsewhere."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", answers["project_slug"]):
        message = f"{_shown(answers['project_slug'])} is no name for the folder"
        hint = "write a letter or digit, then at most 99 letters, digits, and . _ -"
        yield Problem("question project_slug", message, hint)


_NUMBER = re.compile("0|[1-9][0-9]{0,9}")  # 010 is no number in Python


def number_rule(answers: Answers) -> Iterator[Problem]:
    """Numbers are written into config.py as they are."""
    for question in NUMBERS:
        if not _NUMBER.fullmatch(answers[question]):
            message = f"{_shown(answers[question])} is no whole number"
            yield Problem(f"question {question}", message, "write digits only, such as 4")


def list_rule(answers: Answers) -> Iterator[Problem]:
    """The lists can be read; only groups have examples."""
    for question in LISTS:
        variables, without_value, problems = _read_list(answers[question])
        yield from at(problems, f"question {question}")
        if question == "group_variables" and not variables and not without_value:
            hint = "name what differs from job to job, with examples: well=A01|A02"
            yield Problem(f"question {question}", "is empty", hint)
        for name, _, examples in variables:
            if question != "group_variables" and len(examples) > 1:
                message = "holds |, which separates the examples of group_variables"
                hint = "write one value without it; others go into job file or config.py"
                yield Problem(f"question {question}, {name}", message, hint)


def name_rule(answers: Answers) -> Iterator[Problem]:
    """Names are names, and each is there once."""
    seen: dict[str, str] = {}
    for question, variables in _lists(answers).items():
        for variable in variables:
            where = f"question {question}, {variable.name}"
            if reason := name_problem(variable.name):
                yield Problem(where, reason, "give the variable another name")
            elif question == "config_variables" and not re.fullmatch(
                "[A-Z][A-Z0-9_]*", variable.name
            ):
                message = "is no name for a setting"
                yield Problem(where, message, "use capitals, digits and _: LANGUAGE=en")
            name = environment_name(variable.name)
            if name in seen:
                message = f"is there already, as {seen[name]}"
                yield Problem(where, message, "keep one of the two, or rename one")
            seen[name] = f"{variable.name} of {question}"


def setting_rule(setting_names: Collection[str], answers: Answers) -> Iterator[Problem]:
    """config.py has one line for each name."""
    for variable in _lists(answers)["config_variables"]:
        if variable.name in setting_names:
            message = "is the name of a setting of DS"
            where = f"question config_variables, {variable.name}"
            yield Problem(where, message, "give the variable another name")


# --- Rules: what could not run --------------------------------------------------------------------


def name_like_setting_rule(setting_names: Collection[str], answers: Answers) -> Iterator[Problem]:
    """A slip in a setting's name would silently leave the setting at its default."""
    for variable in _lists(answers)["config_variables"]:
        where = f"question config_variables, {variable.name}"
        if variable.name in setting_names:
            continue
        if suggestion := meant(variable.name, setting_names):
            message = f"is nearly the setting {suggestion}"
            hint = "did you mean it? Then set it in config.py afterwards; else choose another name"
            yield Problem(where, message, hint)
        elif looks_secret(variable.name):
            hint = "leave it out; SECRETS in config.py takes its place in Secrets Manager"
            yield Problem(where, "looks like a secret, which no file may hold", hint)


def required_rule(answers: Answers) -> Iterator[Problem]:
    """What cannot be empty, beside what has a rule of its own."""
    if not answers["project_name"].strip():
        yield Problem("question project_name", "is empty", "write a name")


def app_name_rule(answers: Answers) -> Iterator[Problem]:
    """Queues, clusters and roles are named after it."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,39}", answers["app_name"]):
        message = f"{_shown(answers['app_name'])} cannot name things on AWS"
        hint = "write a letter, then at most 39 letters, digits and -"
        yield Problem("question app_name", message, hint)


_PATH = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?:[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]+)?/)?{_PATH}(?:/{_PATH})*"
    r"(?P<tag>:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?P<digest>@sha256:[0-9a-f]{64})?"
)


def image_rule(answers: Answers) -> Iterator[Problem]:
    """Names of images, as Docker reads them ("Docker image reference grammar")."""
    for question in ("docker_base_image", "docker_image"):
        image = answers[question]
        found = _IMAGE.fullmatch(image) if len(image) <= 255 else None
        if not found:
            message = f"{_shown(image)} is no name of an image"
            hint = "write it as in docker pull, in small letters: user/program:1.0"
            yield Problem(f"question {question}", message, hint)
        elif found["digest"] and question == "docker_image":
            message = "has a digest, but the image is still to be made"
            yield Problem(f"question {question}", message, "write name:tag")


def range_rule(answers: Answers) -> Iterator[Problem]:
    """Numbers that a setting can have."""
    for question, (least, most) in NUMBERS.items():
        answer = answers[question]
        if _NUMBER.fullmatch(answer) and not least <= int(answer) <= most:
            message = f"is {answer}"
            yield Problem(f"question {question}", message, f"write a number from {least} to {most}")


def machine_rule(answers: Answers) -> Iterator[Problem]:
    """EC2 instance types, each once."""
    where = "question machine_types"
    types = [type_.strip() for type_ in answers["machine_types"].split(",")]
    for type_ in dict.fromkeys(types):
        if not re.fullmatch(r"[a-z][a-z0-9-]*\.[a-z0-9-]+", type_):
            message = f"{_shown(type_)} is no EC2 machine type"
            yield Problem(where, message, "write types with commas between: m6i.large, m5.large")
        elif types.count(type_) > 1:
            yield Problem(where, f"{type_} is there twice", "remove one")


def example_rule(answers: Answers) -> Iterator[Problem]:
    """Examples fit their types, and make whole groups."""
    lists = _lists(answers)
    for question, variables in lists.items():
        for name, type_, examples in variables:
            where = f"question {question}, {name}"
            for example in examples:
                if reason := _example_problem(example, type_):
                    hint = f"write a value of type {type_}"
                    yield Problem(where, f"{_shown(example)} {reason}", hint)
    counts = {name: len(examples) for name, _, examples in lists["group_variables"] if examples}
    most = max(counts.values(), default=1)
    for name, count in counts.items():
        if count not in (1, most):
            longest = next(other for other in counts if counts[other] == most)
            message = f"has {count} examples, but {longest} has {most}"
            hint = "give equally many, taken in step, or one for all"
            yield Problem(f"question group_variables, {name}", message, hint)


def command_rule(answers: Answers) -> Iterator[Problem]:
    """The command can be read, and fits the variables."""
    try:
        command = parse(answers["command"])
    except BadInput as error:
        yield from at(error.problems, "question command")
        return
    types = _types(answers, names(command))
    for problem in at(check_command(command, types), "question command"):
        # What is never used has no place in the command.
        unused = problem.where == "question command"
        if not unused or _slips(names(command), types).isdisjoint({"output_dir", "job_json"}):
            yield problem


def unused_rule(setting_names: Collection[str], answers: Answers) -> Iterator[Problem]:
    """A variable is there to be used, unless it must be renamed or a slip may be its use."""
    try:
        command = parse(answers["command"])
    except BadInput:
        return
    in_prefix = prefix_names(answers["output_prefix"])
    slips = _slips(names(command) | in_prefix, _types(answers, ()))
    used = in_prefix | {name for name in slips if name}
    renamed = {
        problem.where
        for rule in (
            name_rule,
            partial(setting_rule, setting_names),
            partial(name_like_setting_rule, setting_names),
        )
        for problem in rule(answers)
    }
    told = [
        name
        for question, variables in _lists(answers).items()
        for name, _, _ in variables
        if f"question {question}, {name}" not in renamed
    ]
    yield from at(check_unused(command, told, used), "question command")


def output_prefix_rule(answers: Answers) -> Iterator[Problem]:
    """Every example job has a place of its own."""
    where = "question output_prefix"
    if not answers["output_prefix"].strip():
        hint = "write where the outputs of one job go, such as results/{well}"
        yield Problem(where, "is empty", hint)
        return
    types = _types(answers, prefix_names(answers["output_prefix"]))
    problems = check_prefix(answers["output_prefix"], types)
    yield from at(problems, where)
    if not any(not problem.warning for problem in problems):
        yield from _example_prefix_problems(answers, where)


def _example_prefix_problems(answers: Answers, where: str) -> Iterator[Problem]:
    lists = _lists(answers)
    if not prefix_names(answers["output_prefix"]) <= _sure_names(answers):
        return
    counts = {len(examples) for _, _, examples in lists["group_variables"]} - {0, 1}
    if len(counts) > 1:
        return
    values = {
        question: [
            # Text, so that what is no value of its type can be compared, too.
            variable if _fits(variable) else variable._replace(type="text")
            for variable in variables
            if variable.examples
        ]
        for question, variables in lists.items()
    }
    fixed = [*values["shared_variables"], *values["config_variables"]]
    common = {name: from_text(examples[0], type_) for name, type_, examples in fixed}
    groups = example_groups(values["group_variables"])
    prefixes = []
    for number, group in enumerate(groups, 1):
        job_id = hashlib.sha256(json.dumps(group, sort_keys=True).encode()).hexdigest()[:16]
        try:
            prefixes.append(render(answers["output_prefix"], {**common, **group}, job_id))
        except BadInput as error:
            yield from at(error.problems, f"{where}, example {number}")
            return
    for one, other in collisions(prefixes)[:1]:
        message = f"examples {one + 1} and {other + 1} write to {_shown(prefixes[one])}"
        if prefixes[one] != prefixes[other]:
            message += f" and {_shown(prefixes[other])}, one inside the other"
        missing = [
            f"{{{name}}}"
            for name in groups[one]
            if groups[one][name] != groups[other][name] and not name_problem(name)
        ]
        hint = f"put {missing[0]} into it" if missing else "give each example other values"
        yield Problem(where, message, hint)


def _sure_names(answers: Answers) -> set[str]:
    """The names whose values in the examples are known, whatever is wrong elsewhere."""
    lists = _lists(answers)
    everything = [variable for variables in lists.values() for variable in variables]
    times = Counter(variable.name for variable in everything)
    sure = {v.name for v in everything if v.examples and _fits(v) and times[v.name] == 1}
    once = all(times[variable.name] == 1 for variable in lists["group_variables"])
    if once and not _read_list(answers["group_variables"]).without_value:
        sure.add("job_id")
    return sure


def _fits(variable: Variable) -> bool:
    return not any(_example_problem(example, variable.type) for example in variable.examples)


# --- All rules ------------------------------------------------------------------------------------


def check_answers(
    answers: Mapping[str, object], setting_names: Collection[str], *, updating: bool = False
) -> list[Problem]:
    """Everything that is wrong with the answers, in the order of the questions.

    Args:
        answers: one text for each of QUESTIONS.
        setting_names: the settings that config.py can hold.
        updating: whether an implementation that was accepted once is rendered again: then only
            what would damage its files is refused, the rest warns.
    """
    if problems := list(text_rule(answers)):
        return problems
    texts = {question: str(answers[question]) for question in QUESTIONS}
    damaging: list[Rule] = [
        characters_rule,
        slug_rule,
        number_rule,
        list_rule,
        name_rule,
        partial(setting_rule, setting_names),
    ]
    failing: list[Rule] = [
        partial(name_like_setting_rule, setting_names),
        required_rule,
        app_name_rule,
        image_rule,
        range_rule,
        machine_rule,
        example_rule,
        command_rule,
        partial(unused_rule, setting_names),
        output_prefix_rule,
    ]
    problems = [problem for rule in damaging for problem in rule(texts)]
    for rule in failing:
        for problem in rule(texts):
            problems.append(replace(problem, warning=problem.warning or updating))
    return sorted(problems, key=_question_number)


def _question_number(problem: Problem) -> int:
    return QUESTIONS.index(re.split("[ ,]", problem.where)[1])


# --- The file that keeps answers ------------------------------------------------------------------


def answers_file(answers: Mapping[str, object]) -> str:
    """YAML for `cookiecutter --config-file`, from which the same answers come back.

    Cookiecutter renders what it reads there, so Jinja's openers are written as Jinja strings, and
    so are carriage returns, which Jinja would turn into line feeds.
    """
    lines = ["default_context:"]
    for question in QUESTIONS:
        answer = answers.get(question)
        text = "" if answer is None else str(answer)
        text = re.sub(r"\{[{%#\r]|\r", _jinja_string, text)
        if re.search(r"[^\w./:-]", text) and text.isprintable() and text == text.strip():
            lines.append(f"  {question}: |-\n    {text}")
        else:
            lines.append(f'  {question}: "{"".join(map(_yaml_character, text))}"')
    return "\n".join(lines) + "\n"


def _jinja_string(found: re.Match[str]) -> str:
    text = found[0].replace("\r", r"\r")
    return f"{{{{ '{text}' }}}}"


def _yaml_character(character: str) -> str:
    plain = character.isprintable() and character not in '"\\'
    return character if plain else f"\\U{ord(character):08X}"


# --- Names in config.py ---------------------------------------------------------------------------


def meant(name: str, setting_names: Iterable[str]) -> str | None:
    """The setting that a name within two letters of it was probably meant to be.

    Of short names fewer letters may differ: GPU is GPUS, but PLUS is a name of its own.
    """
    distances = {known: _distance(name, known) for known in setting_names}
    near = [known for known in distances if 0 < distances[known] <= min(2, len(known) // 3)]
    return min(near, key=lambda known: distances[known], default=None)


def _distance(one: str, other: str) -> int:
    """Letters to insert, remove or replace (Levenshtein)."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        previous, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (a != b))
    return row[len(other)]


_SECRETS = {"PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "SECRETS", "TOKEN", "TOKENS"}
_SECRETS |= {"CREDENTIAL", "CREDENTIALS", "APIKEY", "ACCESSKEY", "SECRETKEY", "PRIVATEKEY"}


def looks_secret(name: str) -> bool:
    """Whether a name's words say that its value is a secret (an S3 key is none)."""
    words = re.split("[_-]", name.upper())
    pairs = map("".join, pairwise(words))
    return not _SECRETS.isdisjoint([*words, *pairs])


# --- Texts ----------------------------------------------------------------------------------------


def _is_printable(character: str) -> bool:
    """No control, direction or invisible character; those that join letters and emoji are fine."""
    unseen = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    return not unseen or character in "\u200c\u200d"


def _example_problem(example: str, type_: str) -> str | None:
    try:
        return value_problem(from_text(example, type_), type_)
    except ValueError as error:
        return str(error)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
