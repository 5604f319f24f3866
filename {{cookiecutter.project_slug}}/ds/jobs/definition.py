"""job.py, the owner's file: the definition of one job, loaded and checked."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any

from ds.jobs.command import Command, parse_command
from ds.jobs.command_checks import check_command, check_unused
from ds.jobs.output_prefix import check_prefix, prefix_names
from ds.jobs.problems import BadInput, Problem, at, closest
from ds.jobs.variables import TYPES, name_clashes, name_problem

FUNCTIONS = ("arguments", "inputs", "output_prefix", "check_outputs", "on_start")
"""The functions that job.py may define; the engine replaces those that are missing."""


@dataclass(frozen=True)
class JobDefinition:
    """The content of job.py.

    Attributes:
        command: the parsed COMMAND; None if `arguments` replaces it.
        types: every variable, including those of config.py, and its type.
        output_prefix: OUTPUT_PREFIX; None if the function replaces it.
        functions: the optional functions that job.py defines, by name.
        warnings: what is allowed but probably not intended.
    """

    command: Command | None
    types: Mapping[str, str]
    output_prefix: str | None
    functions: Mapping[str, Callable[..., Any]]
    warnings: tuple[Problem, ...] = ()


def load_job_definition(path: Path, config_names: Iterable[str] = ()) -> JobDefinition:
    """Read job.py.

    Args:
        path: the file.
        config_names: the settings of the program in config.py; of type text unless VARIABLES
            defines their types.

    Raises:
        BadInput: with every problem.
    """
    module = _execute(path)
    functions = {name: module[name] for name in FUNCTIONS if callable(module.get(name))}
    own, problems = _variables(module.get("VARIABLES", {}))
    problems += _misspelt_functions(module)
    types = dict.fromkeys(config_names, "text") | own
    for one, other in name_clashes(types):
        message = f"has the same name as {other} in the environment"
        problems.append(Problem(f"VARIABLES, {one}", message, "rename one of them"))
    command, found = _command(module, types, functions)
    problems += found
    template, found = _output_prefix(module, types, functions)
    problems += found
    if command is not None and template is not None:
        unused = check_unused(command, own, prefix_names(template))
        problems += at(unused, "VARIABLES")
    problems = at(problems, path.name)
    errors = [problem for problem in problems if not problem.warning]
    if errors:
        raise BadInput(problems)
    return JobDefinition(command, types, template, functions, tuple(problems))


def _execute(path: Path) -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location("job", path)
    if not path.is_file() or spec is None or spec.loader is None:
        hint = "run this command in the folder of the implementation"
        raise BadInput([Problem(str(path), "does not exist", hint)])
    module = importlib.util.module_from_spec(spec)
    sys.modules["job"] = module  # where dataclasses look up their module
    # A __pycache__ would become part of the next image.
    keep, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        column = f", column {error.offset}" if error.offset else ""
        where = f"{path.name} line {error.lineno}{column}" if error.lineno else path.name
        message = f"is not valid Python: {error.msg}"
        raise BadInput([Problem(where, message, "correct it")]) from None
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        # The deepest frame may be in a library.
        lines = [frame.lineno for frame in frames if frame.filename == str(path)]
        where = f"{path.name} line {lines[-1]}" if lines else path.name
        message = f"fails: {type(error).__name__}: {error}"
        raise BadInput([Problem(where, message, "correct it")]) from None
    finally:
        sys.dont_write_bytecode = keep
    return vars(module)


def _misspelt_functions(module: Mapping[str, Any]) -> list[Problem]:
    return [
        Problem(f"{name}()", "is not a function that DS calls", f"did you mean {meant}()?", True)
        for name, value in module.items()
        if isinstance(value, FunctionType) and name not in FUNCTIONS
        if (meant := closest(name, FUNCTIONS)) and meant not in module
    ]


def _variables(variables: object) -> tuple[dict[str, str], list[Problem]]:
    if not isinstance(variables, dict):
        return {}, [Problem("VARIABLES", "is not a dictionary", 'write {"name": "type", ...}')]
    problems = []
    for name, type_ in variables.items():
        where = f"VARIABLES, {name}"
        reason = name_problem(name) if isinstance(name, str) else "is not text"
        if reason:
            problems.append(Problem(where, reason, "give the variable another name"))
        if type_ not in TYPES:
            known = ", ".join(TYPES)
            problems.append(
                Problem(where, f"has the unknown type {type_!r}", f"use one of {known}")
            )
    good = {
        name: type_ for name, type_ in variables.items() if isinstance(name, str) and type_ in TYPES
    }
    return good, problems


def _command(
    module: Mapping[str, Any], types: Mapping[str, str], functions: Mapping[str, Any]
) -> tuple[Command | None, list[Problem]]:
    text = module.get("COMMAND")
    if text is None and "arguments" in functions:
        return None, []
    if not isinstance(text, str) or not text.strip():
        return None, [Problem("COMMAND", "has no value", "write the command that one job runs")]
    try:
        command = parse_command(text)
    except BadInput as error:
        return None, at(error.problems, "COMMAND")
    return command, at(check_command(command, types), "COMMAND")


def _output_prefix(
    module: Mapping[str, Any], types: Mapping[str, str], functions: Mapping[str, Any]
) -> tuple[str | None, list[Problem]]:
    template = module.get("OUTPUT_PREFIX")
    if template is None and "output_prefix" in functions:
        return None, []
    if not isinstance(template, str):
        hint = "write where in the bucket the outputs of a job go"
        return None, [Problem("OUTPUT_PREFIX", "has no value", hint)]
    return template, at(check_prefix(template, types), "OUTPUT_PREFIX")
