"""Reader and checks of config.py, the owner's file with the settings of a run.

Other upper-case names in config.py are settings of the program: `{NAME}` in the command and `$NAME`
in its environment.
"""

from __future__ import annotations

import ast
import re
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, create_model
from pydantic_core import ErrorDetails

from ds.jobs.problems import BadInput, Problem, typo_of
from ds.jobs.settings import (
    INSTEAD,
    MACHINE_TYPE_PATTERN,
    NEEDLESS,
    SETTING_NAMES,
    SETTINGS,
    Settings,
    limits_of,
)
from ds.jobs.text_file import run_python
from ds.jobs.variables import looks_secret, looks_secret_value, name_problem


def execute_config(path: Path) -> tuple[dict[str, object], dict[str, int]]:
    """Run config.py, or raise BadInput.

    Returns:
        The values of its upper-case names and of settings written in lower case, and the line of
        each name's last assignment.
    """
    namespace, source = run_python(path, "config")
    lines = {
        node.id: node.lineno
        for statement in ast.parse(source).body
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    not_settings = (types.ModuleType, types.FunctionType, type)
    found = {
        name: value
        for name, value in namespace.items()
        if (name.isupper() or name.upper() in SETTINGS)
        and not name.startswith("_")
        and not isinstance(value, not_settings)
    }
    return found, lines


def check_config(found: Mapping[str, object], lines: Mapping[str, int] | None = None) -> Settings:
    """Check the result of `execute_config`; raise BadInput with every problem."""
    lines = lines or {}

    def where(name: str) -> str:
        return f"config.py line {lines[name]}, {name}" if name in lines else f"config.py, {name}"

    known = {name: value for name, value in found.items() if name in SETTINGS}
    program = {name: found[name] for name in program_names(found)}
    warnings = []
    problems = []
    for name, value in found.items():
        if name in NEEDLESS:
            message = f"has no effect: {NEEDLESS[name]}"
            warnings.append(Problem(where(name), message, "remove it", warning=True))
        elif name in INSTEAD:
            hint = f"it is passed to your program (in DS, {INSTEAD[name]})"
            warnings.append(Problem(where(name), "is not a DS setting", hint, warning=True))
        elif not name.isupper() and name.upper() in found:
            hint = f"only {name.upper()} is read"
            warnings.append(Problem(where(name), "unknown setting", hint, warning=True))
        elif not name.isupper():
            problems.append(
                (name, Problem(where(name), "unknown setting", f"write {name.upper()}"))
            )
        if name in program and (wrong := _program_problem(name, value)):
            problems.append((name, Problem(where(name), *wrong)))
    for name in _secret_names(known.get("SECRETS")):
        if reason := _secret_name_problem(name, program):
            place = f"{where('SECRETS')}, {name}"
            problems.append(("SECRETS", Problem(place, reason, "give it another name")))
    values: dict[str, Any] = {}
    try:
        values = _ConfigFile(**known).model_dump()
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)
        problems += [(str(detail["loc"][0]), _problem(detail, where)) for detail in details]
    if problems:
        problems.sort(key=lambda item: lines.get(item[0], 0))
        raise BadInput(problem for _, problem in problems)
    values["LOG_GROUP_NAME"] = values["LOG_GROUP_NAME"] or values["APP_NAME"]
    lists = {name: list(value) for name, value in program.items() if isinstance(value, tuple)}
    # `_program_problem` refuses every other type of value.
    return Settings(**values, program=program | lists, warnings=tuple(warnings))  # type: ignore[arg-type]


def program_names(found: Iterable[str]) -> list[str]:
    """Select the names in config.py that are settings of the program."""
    return [name for name in found if name.isupper() and name not in SETTING_NAMES]


# --- Settings of DS -------------------------------------------------------------------------------


def _refuse_boolean(value: object) -> object:
    """Refuse True as a number, because Python treats it as 1."""
    if isinstance(value, bool):
        raise ValueError("is not a number")
    return value


def _as_list(value: object) -> object:
    """Accept 'm5.large' as ['m5.large']."""
    return [value] if isinstance(value, str) else value


def _trimmed(value: object) -> object:
    """Accept ' True ' as 'True'."""
    return value.strip() if isinstance(value, str) else value


def _none_if_empty(value: object) -> object:
    """Accept '' and 0 as None, for no maximum price."""
    return None if value in ("", 0) and not isinstance(value, bool) else value


def _refuse_reserved(value: object) -> object:
    """Refuse names that begin with aws/ (API reference, CreateLogGroup); /aws/ is allowed."""
    if isinstance(value, str) and value.startswith("aws/"):
        raise ValueError("is reserved by AWS")
    return value


_FORMS: dict[Any, Any] = {
    int: Annotated[int, BeforeValidator(_refuse_boolean)],
    float: Annotated[float, BeforeValidator(_refuse_boolean)],
    bool: Annotated[bool, BeforeValidator(_trimmed)],
    "LOG_GROUP_NAME": Annotated[str, BeforeValidator(_refuse_reserved)],
    "MACHINE_PRICE": Annotated[
        float | None, BeforeValidator(_none_if_empty), BeforeValidator(_refuse_boolean)
    ],
    "MACHINE_TYPE": Annotated[
        list[Annotated[str, Field(pattern=f"^{MACHINE_TYPE_PATTERN}$")]],
        BeforeValidator(_as_list),
    ],
    "SECRETS": dict[
        Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")],
        Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:(secretsmanager|ssm):")],
    ],
}
"""The accepted forms of settings, by type or name, if the type alone is not enough."""


def _model() -> Any:
    """Create a pydantic model that checks the values in config.py against `Settings`."""
    definitions: dict[str, Any] = {}
    for name, item in SETTINGS.items():
        form = _FORMS.get(name, _FORMS.get(item.type, item.type))
        arguments = dict(limits_of(name))
        if item.default is not MISSING:
            arguments["default"] = item.default
        elif item.default_factory is not MISSING:
            arguments["default_factory"] = item.default_factory
        definitions[name] = (form, Field(**arguments))
    config = ConfigDict(extra="forbid", allow_inf_nan=False)
    return create_model("ConfigFile", __config__=config, **definitions)


_ConfigFile = _model()


def _problem(detail: ErrorDetails, where: Callable[[str], str]) -> Problem:
    """Reword one of pydantic's errors."""
    name, *inside = map(str, detail["loc"])
    if detail["type"] == "missing":
        return Problem(where(name), "has no value", f"write {name} = ... in it")
    hint = f"must be {allowed(name)}"
    if name != "SECRETS":
        return Problem(where(name), f"is {detail['input']!r:.60}", hint)
    place = ", ".join([where(name), *inside[:1]])
    return Problem(place, "is not a name with its ARN" if inside else "is not a dictionary", hint)


_ALLOWED = {
    "APP_NAME": "1 to 40 letters, digits and -, beginning with a letter",
    "AWS_BUCKET": "the name of a bucket: 3 to 63 characters of a-z, 0-9, . and -",
    "AWS_REGION": "a region such as 'us-east-1'",
    "DOCKERHUB_TAG": "the name of an image such as 'user/name:tag'",
    "MACHINE_TYPE": "a list such as ['m6i.large', 'm5.large']",
    "MACHINE_PRICE": "dollars per hour such as 0.10, or None",
    "WORKING_FOLDER": "'', 'image' or a path that begins with /",
    "LOG_GROUP_NAME": "letters, digits and _ / . # -, not beginning with aws/",
    "SECRETS": '{"NAME": "arn:aws:secretsmanager:..."}',
}
_KINDS: dict[Any, str] = {int: "a whole number", float: "a number", bool: "True or False"}


def allowed(name: str) -> str:
    """Describe the values that a setting can have: "a whole number from 1 to 256"."""
    if name in _ALLOWED:
        return _ALLOWED[name]
    kind = _KINDS.get(SETTINGS[name].type, "text")
    return " ".join(filter(None, [kind, range_of(name), SETTINGS[name].metadata["unit"]]))


def range_of(name: str) -> str:
    """Describe the range of a setting: "from 1 to 256", "of at least 1"; "" if it has none."""
    limits = limits_of(name)
    if "gt" in limits:
        least = f"greater than {limits['gt']}"
        return f"{least} and at most {limits['le']:,}" if "le" in limits else least
    if "ge" not in limits:
        return ""
    least = f"{limits['ge']:,}"
    return f"from {least} to {limits['le']:,}" if "le" in limits else f"of at least {least}"


# --- Settings of the program, secrets -------------------------------------------------------------


def _program_problem(name: str, value: object) -> tuple[str, str] | None:
    """Return what is wrong with a program's setting, and what to do; None if it is valid."""
    if suggestion := typo_of(name, SETTING_NAMES):
        return "unknown setting", f"did you mean {suggestion}? Otherwise give it another name"
    if looks_secret(name) or looks_secret_value(value):
        hint = f'keep it in Secrets Manager and write SECRETS = {{"{name}": "arn:aws:..."}}'
        if name.startswith("AWS_"):
            hint = (
                "remove it: AWS_PROFILE has your permissions, and the task role has those of jobs"
            )
        return "looks like a secret, which must not be stored in a file", hint
    if reason := name_problem(name):
        return reason, "give it another name"
    texts = isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
    if not (texts or value is None or isinstance(value, str | int | float | bool)):
        hint = "must be text, a number, True, False, None or a list of text values"
        return f"is of type {type(value).__name__}", hint
    return None


def _secret_names(secrets: object) -> list[str]:
    return [name for name in secrets if isinstance(name, str)] if isinstance(secrets, dict) else []


def _secret_name_problem(name: str, program: Mapping[str, object]) -> str | None:
    """Explain why a secret cannot have this name in the program's environment, or return None."""
    if name in SETTING_NAMES:
        return "is the name of a DS setting"
    if name in program:
        return "is also the name of a setting of the program"
    return name_problem(name) if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) else None
