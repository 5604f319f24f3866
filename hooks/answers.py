"""The answers to the template's questions: their checks, and the file that saves them.

Standard library and ds.jobs only: `make hooks` writes this module into the hook that refuses
answers, so generation and the engine have one set of rules.
"""

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from ds.jobs.command import parse_command
from ds.jobs.command_checks import check_command, check_unused
from ds.jobs.output_prefix import check_prefix, prefix_names, render_prefix
from ds.jobs.problems import BadInput, Problem, at, closest, did_you_mean, typo_of
from ds.jobs.settings import IMAGE_NAME, MACHINE_TYPE_PATTERN, SETTING_NAMES, limits_of
from ds.jobs.variables import (
    BUILT_IN,
    NAME_PATTERN,
    TYPES,
    Value,
    environment_name,
    from_text,
    looks_secret,
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
"""Every question of the template, in order."""

LISTS = ("group_variables", "shared_variables", "config_variables")

SETTING_OF = {
    "expected_number_files": "EXPECTED_NUMBER_FILES",
    "docker_cores": "DOCKER_CORES",
    "cpus_per_job": "CPUS_PER_JOB",
    "memory_mb": "MEMORY",
    "gpus": "GPUS",
    "ebs_gb": "EBS_VOL_SIZE",
    "job_timeout_minutes": "JOB_TIMEOUT_MINUTES",
}
"""The setting of each question that must be answered with a whole number."""

NARROWER = {
    "expected_number_files": {"le": 1_000_000},
    "memory_mb": {"ge": 128},
    "ebs_gb": {"ge": 30},
    "job_timeout_minutes": {"ge": 1},
}
"""Narrower limits than those of the settings, for a new implementation: the default machine image
needs a disk of 30 GB, and the other values would be mistakes."""


def _range(question: str) -> tuple[int, int]:
    limits = {**limits_of(SETTING_OF[question]), **NARROWER.get(question, {})}
    return limits["ge"], limits["le"]


NUMBERS = {question: _range(question) for question in SETTING_OF}
"""The smallest and largest answer to each question in `SETTING_OF`."""

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

    Use only split and strip, because `templates/variables.jinja` does the same without the checks.

    Raises:
        BadInput: every problem.
    """
    variables, _, problems = _read_list(text)
    if problems:
        raise BadInput(problems)
    return variables


class _List(NamedTuple):
    """The valid parts of a list.

    A variable of an unknown type becomes text, which is valid everywhere. A variable whose value
    may have been cut at a semicolon has no examples.
    """

    variables: list[Variable]
    without_value: list[str]  # names, or the whole entry if it has no name
    problems: list[Problem]


_WITHOUT_VALUE = re.compile(rf"({NAME_PATTERN})(?:[\s:][^'\"|]*)?")  # else the rest of a cut value


def _read_list(text: str) -> _List:
    read = _List([], [], [])
    for entry in filter(str.strip, text.split(";")):
        key, equals, value = entry.partition("=")
        name, colon, type_ = (part.strip() for part in key.partition(":"))
        if not equals:
            hint = "write name=value; a value with ; must be in the job file instead"
            read.problems.append(Problem(name, "has no =", hint))
            named = _WITHOUT_VALUE.fullmatch(entry.strip())
            read.without_value.append(named[1] if named else entry.strip())
            if read.variables and not named:
                read.variables[-1] = read.variables[-1]._replace(examples=[])
            continue
        if colon and type_ not in TYPES:
            hint = did_you_mean(type_, TYPES, f"use one of {', '.join(TYPES)}")
            read.problems.append(Problem(name, f"has the unknown type {type_!r}", hint))
        examples = [example.strip() for example in value.split("|")]
        read.variables.append(Variable(name, type_ if type_ in TYPES else "text", examples))
    return read


def example_groups(variables: Iterable[Variable]) -> list[dict[str, Value]]:
    """Build the groups of the example job file: group N has the Nth or the only example.

    Raises:
        ValueError: an example is not a value of its variable's type.
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
    """Return the valid variables of each list."""
    return {question: _read_list(answers[question]).variables for question in LISTS}


def _types(answers: Answers, wanted: Iterable[str]) -> dict[str, str]:
    """Return types by name, including each wanted name that an invalid entry may stand for.

    If group_variables is empty, these are all wanted names.
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


def _typos(wanted: Iterable[str], types: Mapping[str, str]) -> set[str | None]:
    """Return the known names that the unknown names probably stand for."""
    known = [*types, *BUILT_IN]
    return {closest(name, known) for name in wanted if name not in known}


# --- Rules: answers that would damage the generated files -----------------------------------------


def text_rule(answers: Mapping[str, object]) -> Iterator[Problem]:
    """Require text: an answers file in YAML can have numbers, lists and empty values."""
    for question in QUESTIONS:
        if not isinstance(answers[question], str):
            hint = "write it as text in quotes, or '' for no value"
            message = f"is {answers[question]!r}, which is not text"
            yield Problem(f"question {question}", message, hint)


def characters_rule(answers: Answers) -> Iterator[Problem]:
    """Require one printable line without Jinja: cruft renders answers again at every update."""
    for question in QUESTIONS:
        where = f"question {question}"
        for character in answers[question]:
            if not _is_printable(character):
                name = unicodedata.name(character, "a control character")
                yield Problem(where, f"contains U+{ord(character):04X} ({name})", "remove it")
                break
        if opener := re.search(r"\{[{%#]", answers[question]):
            message = f"contains {opener[0]}, which would run as template code"
            hint = "put a space between the two characters, or put the text in a script"
            yield Problem(where, message, hint)


def slug_rule(answers: Answers) -> Iterator[Problem]:
    """Require a valid folder name, without path separators."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", answers["project_slug"]):
        message = f"{_shown(answers['project_slug'])} is not a valid name for a folder"
        hint = "must be 1 to 100 letters, digits, and . _ -, beginning with a letter or digit"
        yield Problem("question project_slug", message, hint)


_NUMBER = re.compile("0|[1-9][0-9]{0,9}")  # 010 is not a number in Python


def number_rule(answers: Answers) -> Iterator[Problem]:
    """Require whole numbers, which are written into config.py unchanged."""
    for question in NUMBERS:
        if not _NUMBER.fullmatch(answers[question]):
            message = f"is {_shown(answers[question])}"
            yield Problem(f"question {question}", message, _number_hint(question))


def _number_hint(question: str) -> str:
    least, most = NUMBERS[question]
    return f"must be a whole number from {least} to {most:,}"


def list_rule(answers: Answers) -> Iterator[Problem]:
    """Require valid lists, and several examples only for groups."""
    for question in LISTS:
        variables, without_value, problems = _read_list(answers[question])
        yield from at(problems, f"question {question}")
        if question == "group_variables" and not variables and not without_value:
            hint = "write the variables that differ between jobs, with examples: well=A01|A02"
            yield Problem(f"question {question}", "is empty", hint)
        for name, _, examples in variables:
            if question != "group_variables" and len(examples) > 1:
                message = "contains |, which separates examples in group_variables"
                hint = "write one value without |; add others to the job file or config.py later"
                yield Problem(f"question {question}, {name}", message, hint)


def name_rule(answers: Answers) -> Iterator[Problem]:
    """Require valid names, each defined once."""
    seen: dict[str, str] = {}
    for question, variables in _lists(answers).items():
        for variable in variables:
            where = f"question {question}, {variable.name}"
            if reason := name_problem(variable.name):
                yield Problem(where, reason, "give the variable another name")
            elif question == "config_variables" and not re.fullmatch(
                "[A-Z][A-Z0-9_]*", variable.name
            ):
                message = "is not a valid name for a setting"
                yield Problem(where, message, "use upper-case letters, digits and _: LANGUAGE=en")
            name = environment_name(variable.name)
            if name in seen:
                message = f"is defined twice, also as {seen[name]}"
                yield Problem(where, message, "keep one of them, or rename one")
            seen[name] = f"{variable.name} of {question}"


def setting_rule(answers: Answers) -> Iterator[Problem]:
    """Refuse a setting of the program with the name of a DS setting."""
    for variable in _lists(answers)["config_variables"]:
        if variable.name in SETTING_NAMES:
            message = "is the name of a DS setting"
            where = f"question config_variables, {variable.name}"
            yield Problem(where, message, "give the variable another name")


# --- Rules: answers that cannot run ---------------------------------------------------------------


def name_like_setting_rule(answers: Answers) -> Iterator[Problem]:
    """Refuse a secret, and a typo of a DS setting, which would keep its default."""
    for variable in _lists(answers)["config_variables"]:
        where = f"question config_variables, {variable.name}"
        if variable.name in SETTING_NAMES:
            continue
        if suggestion := typo_of(variable.name, SETTING_NAMES):
            message = f"looks like a typo of the setting {suggestion}"
            hint = f"set {suggestion} in config.py later, or use another name"
            yield Problem(where, message, hint)
        elif looks_secret(variable.name):
            message = "looks like a secret, which must not be stored in a file"
            hint = "remove it here; keep it in Secrets Manager and add it to SECRETS in config.py"
            yield Problem(where, message, hint)


def required_rule(answers: Answers) -> Iterator[Problem]:
    """Require a name for the project."""
    if not answers["project_name"].strip():
        yield Problem("question project_name", "is empty", "write a name")


def app_name_rule(answers: Answers) -> Iterator[Problem]:
    """Require a name that is valid for queues, clusters and roles."""
    if not re.fullmatch(limits_of("APP_NAME")["pattern"], answers["app_name"]):
        message = f"{_shown(answers['app_name'])} is not a valid name for AWS resources"
        hint = "must be 1 to 40 letters, digits and -, beginning with a letter"
        yield Problem("question app_name", message, hint)


def image_rule(answers: Answers) -> Iterator[Problem]:
    """Require valid image names; the image to build has no digest yet."""
    for question in ("docker_base_image", "docker_image"):
        image = answers[question]
        found = IMAGE_NAME.fullmatch(image) if len(image) <= 255 else None
        if not found:
            message = f"{_shown(image)} is not a valid image name"
            hint = "use the form of docker pull, in lower case: user/program:1.0"
            yield Problem(f"question {question}", message, hint)
        elif found["digest"] and question == "docker_image":
            message = "has a digest, but the image does not exist yet"
            yield Problem(f"question {question}", message, "write name:tag")


def range_rule(answers: Answers) -> Iterator[Problem]:
    """Require numbers within their ranges."""
    for question, (least, most) in NUMBERS.items():
        answer = answers[question]
        if _NUMBER.fullmatch(answer) and not least <= int(answer) <= most:
            yield Problem(f"question {question}", f"is {answer}", _number_hint(question))


def machine_rule(answers: Answers) -> Iterator[Problem]:
    """Require valid EC2 instance types, each listed once."""
    where = "question machine_types"
    types = [type_.strip() for type_ in answers["machine_types"].split(",")]
    for type_ in dict.fromkeys(types):
        if not re.fullmatch(MACHINE_TYPE_PATTERN, type_):
            message = f"{_shown(type_)} is not an EC2 instance type"
            yield Problem(where, message, "write types separated by commas: m6i.large, m5.large")
        elif types.count(type_) > 1:
            yield Problem(where, f"{type_} is listed twice", "remove one of them")


def example_rule(answers: Answers) -> Iterator[Problem]:
    """Require examples of the right type, and the same number of examples for each variable."""
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
            hint = "write the same number of examples, or one for all groups"
            yield Problem(f"question group_variables, {name}", message, hint)


def command_rule(answers: Answers) -> Iterator[Problem]:
    """Require a valid command that fits the variables."""
    try:
        command = parse_command(answers["command"])
    except BadInput as error:
        yield from at(error.problems, "question command")
        return
    types = _types(answers, command.names)
    for problem in at(check_command(command, types), "question command"):
        # Only "{output_dir} is never used" has no column; a misspelled name may be its use.
        unused = problem.where == "question command"
        if not unused or _typos(command.names, types).isdisjoint({"output_dir", "job_json"}):
            yield problem


def unused_rule(answers: Answers) -> Iterator[Problem]:
    """Warn about unused variables, except those to rename and those whose use may be misspelled."""
    try:
        command = parse_command(answers["command"])
    except BadInput:
        return
    in_prefix = prefix_names(answers["output_prefix"])
    typos = _typos(command.names | in_prefix, _types(answers, ()))
    used = in_prefix | {name for name in typos if name}
    renamed = {
        problem.where
        for rule in (name_rule, setting_rule, name_like_setting_rule)
        for problem in rule(answers)
    }
    kept = [
        name
        for question, variables in _lists(answers).items()
        for name, _, _ in variables
        if f"question {question}, {name}" not in renamed
    ]
    yield from at(check_unused(command, kept, used), "question command")


def output_prefix_rule(answers: Answers) -> Iterator[Problem]:
    """Require a separate output prefix for each example job."""
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
            # Values that do not fit their type are compared as text.
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
            prefixes.append(render_prefix(answers["output_prefix"], {**common, **group}, job_id))
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
        hint = f"add {missing[0]} to it" if missing else "write different values for each example"
        yield Problem(where, message, hint)


def collisions(prefixes: Iterable[str]) -> list[tuple[int, int]]:
    """Find index pairs (earlier, later) of prefixes that are equal or inside one another.

    If several prefixes are equal, each later prefix is paired with the first.
    """
    first: dict[str, int] = {}
    pairs = []
    for index, prefix in enumerate(prefixes):
        earlier = first.setdefault(prefix, index)
        if earlier != index:
            pairs.append((earlier, index))
    for prefix, index in first.items():
        for outer in _outer(prefix):
            if outer in first:
                pairs.append((min(first[outer], index), max(first[outer], index)))
    return sorted(pairs)


def _outer(prefix: str) -> Iterator[str]:
    """Return "a" and "a/b" for "a/b/c"."""
    return (prefix[: slash.start()] for slash in re.finditer("/", prefix))


def _sure_names(answers: Answers) -> set[str]:
    """Return the names whose example values are known despite other problems."""
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


def check_answers(answers: Mapping[str, object], *, updating: bool = False) -> list[Problem]:
    """Report every problem of the answers, in the order of the questions.

    Args:
        answers: one text for each of QUESTIONS.
        updating: whether an existing implementation is rendered again. If so, only answers that
            would damage its files are refused, and all other problems are warnings.
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
        setting_rule,
    ]
    failing: list[Rule] = [
        name_like_setting_rule,
        required_rule,
        app_name_rule,
        image_rule,
        range_rule,
        machine_rule,
        example_rule,
        command_rule,
        unused_rule,
        output_prefix_rule,
    ]
    problems = [problem for rule in damaging for problem in rule(texts)]
    for rule in failing:
        for problem in rule(texts):
            problems.append(replace(problem, warning=problem.warning or updating))
    return sorted(problems, key=_question_number)


def _question_number(problem: Problem) -> int:
    return QUESTIONS.index(re.split("[ ,]", problem.where)[1])


# --- The file that saves answers ------------------------------------------------------------------


def answers_file(answers: Mapping[str, object]) -> str:
    """Write YAML for `cookiecutter --config-file` that gives the same answers again.

    Cookiecutter renders these answers, so Jinja's opening tags are written as Jinja strings. So are
    carriage returns, because Jinja would replace them with line feeds.
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


# --- Texts ----------------------------------------------------------------------------------------


def _is_printable(character: str) -> bool:
    """Refuse control, direction and invisible characters, except letter and emoji joiners."""
    unseen = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    return not unseen or character in "\u200c\u200d"


def _example_problem(example: str, type_: str) -> str | None:
    try:
        return value_problem(from_text(example, type_), type_)
    except ValueError as error:
        return str(error)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
