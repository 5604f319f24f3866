"""job.py, the owner's file: the definition of one job, loaded and checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any

from ds.jobs.command import Command, parse_command
from ds.jobs.command_checks import check_command, check_unused
from ds.jobs.output_prefix import check_prefix, prefix_names
from ds.jobs.problems import BadInput, Problem, at, closest
from ds.jobs.text_file import run_python
from ds.jobs.variables import TYPES, name_clashes, name_problem

FUNCTIONS = ("arguments", "inputs", "output_prefix", "check_outputs", "on_start")
"""The functions that job.py may define; the engine has a default for each missing function."""


@dataclass(frozen=True)
class JobDefinition:
    """The content of job.py.

    Attributes:
        command: None if the function `arguments` replaces it.
        types: the type of every variable, including those of config.py.
        output_prefix: None if the function `output_prefix` replaces it.
        functions: the optional functions that job.py defines, by name.
        warnings: problems that are allowed but probably not intended.
    """

    command: Command | None
    types: Mapping[str, str]
    output_prefix: str | None
    functions: Mapping[str, Callable[..., Any]]
    warnings: tuple[Problem, ...] = ()


def load_job_definition(path: Path, config_names: Iterable[str] = ()) -> JobDefinition:
    """Read job.py, or raise BadInput with every problem.

    The settings of the program, `config_names`, are of type text unless VARIABLES defines them.
    """
    module, _ = run_python(path, "job")
    functions = {name: module[name] for name in FUNCTIONS if callable(module.get(name))}
    variables = module.get("VARIABLES", {})
    problems = [*_variable_problems(variables), *_misspelt_functions(module)]
    items = variables.items() if isinstance(variables, dict) else ()
    own = {name: type_ for name, type_ in items if isinstance(name, str) and type_ in TYPES}
    types = dict.fromkeys(config_names, "text") | own
    for one, other in name_clashes(types):
        message = f"has the same name as {other} in the environment"
        problems.append(Problem(f"VARIABLES, {one}", message, "rename one of them"))
    command = None
    text = module.get("COMMAND")
    if isinstance(text, str) and text.strip():
        try:
            command = parse_command(text)
            problems += at(check_command(command, types), "COMMAND")
        except BadInput as error:
            problems += at(error.problems, "COMMAND")
    elif text is not None or "arguments" not in functions:
        hint = "write the command that one job runs"
        problems.append(Problem("COMMAND", "has no value", hint))
    template = module.get("OUTPUT_PREFIX")
    if isinstance(template, str):
        problems += at(check_prefix(template, types), "OUTPUT_PREFIX")
        if command:
            problems += at(check_unused(command, own, prefix_names(template)), "VARIABLES")
    elif template is not None or "output_prefix" not in functions:
        hint = "write where in the bucket the outputs of a job go"
        problems.append(Problem("OUTPUT_PREFIX", "has no value", hint))
    problems = at(problems, path.name)
    if not all(problem.warning for problem in problems):
        raise BadInput(problems)
    return JobDefinition(command, types, template, functions, tuple(problems))


def _variable_problems(variables: object) -> Iterator[Problem]:
    if not isinstance(variables, dict):
        yield Problem("VARIABLES", "is not a dictionary", 'write {"name": "type", ...}')
        return
    for name, type_ in variables.items():
        where = f"VARIABLES, {name}"
        if reason := name_problem(name) if isinstance(name, str) else "is not text":
            yield Problem(where, reason, "give the variable another name")
        if type_ not in TYPES:
            hint = f"use one of {', '.join(TYPES)}"
            yield Problem(where, f"has the unknown type {type_!r}", hint)


def _misspelt_functions(module: Mapping[str, Any]) -> Iterator[Problem]:
    for name, value in module.items():
        if isinstance(value, FunctionType) and name not in FUNCTIONS:
            meant = closest(name, FUNCTIONS)
            if meant and meant not in module:
                message = "is not a function that DS calls"
                yield Problem(f"{name}()", message, f"did you mean {meant}()?", warning=True)
