"""config.py, the owner's file: every setting with its type, range, unit, default and meaning.

Other upper-case names in config.py are the program's own settings: `{NAME}` in the command and
`$NAME` in its environment.
"""

from __future__ import annotations

import ast
import re
import traceback
import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, create_model
from pydantic_core import ErrorDetails

from ds.jobs.problems import BadInput, Problem
from ds.jobs.settings import Settings
from ds.jobs.variables import name_problem

NEEDLESS = {
    "SQS_MESSAGE_VISIBILITY": "messages of running jobs are renewed by the worker",
    "SECONDS_TO_START": "jobs of one container start at once; write sleep in the command if needed",
    "SQS_QUEUE_NAME": "queues are named after APP_NAME",
    "SQS_DEAD_LETTER_QUEUE": "queues are named after APP_NAME",
    "ECS_CLUSTER": "every run has a cluster of its own",
    "CPU_SHARES": "it follows from DOCKER_CORES and CPUS_PER_JOB",
    "SSH_KEY_NAME": "a key is key_name in files/exampleFleet.json, without .pem",
    "ASSIGN_IP": "it is public_address in files/exampleFleet.json",
    "AUTO_MONITOR": "every run is watched until nothing is left of it",
    "CREATE_DASHBOARD": "no dashboard is made",
    "CLEAN_DASHBOARD": "no dashboard is made",
}
"""Settings of Distributed-Something that mean nothing here, and why."""

OTHERWISE = {
    "SOURCE_BUCKET": "inputs are keys of AWS_BUCKET, or s3://bucket/key, in the job file",
    "WORKSPACE_BUCKET": "inputs are keys of AWS_BUCKET, or s3://bucket/key, in the job file",
    "DESTINATION_BUCKET": "outputs go to AWS_BUCKET",
    "UPLOAD_FLAGS": "outputs are uploaded without flags",
    "DOWNLOAD_FILES": "inputs are always downloaded",
    "SCRIPT_DOWNLOAD_URL": "make the script a shared file variable, or part of the image",
}
"""Settings of single implementations of the family: the program's own here, perhaps by mistake."""


def _no_boolean(value: object) -> object:
    """Python takes True for 1; a number of machines it is not."""
    if isinstance(value, bool):
        raise ValueError("is no number")
    return value


def _one_or_more(value: object) -> object:
    """A single machine type is a list of one."""
    return [value] if isinstance(value, str) else value


def _trimmed(value: object) -> object:
    """' True ' is read like 'True'."""
    return value.strip() if isinstance(value, str) else value


def _none_if_empty(value: object) -> object:
    """No maximum price is written as None, '', or 0."""
    return None if value in ("", 0) and not isinstance(value, bool) else value


def _not_amazons(value: object) -> object:
    """Names that begin with aws/ are AWS's own (API reference, CreateLogGroup); /aws/ is free."""
    if isinstance(value, str) and value.startswith("aws/"):
        raise ValueError("is AWS's own")
    return value


_FORMS: dict[Any, Any] = {
    int: Annotated[int, BeforeValidator(_no_boolean)],
    float: Annotated[float, BeforeValidator(_no_boolean)],
    bool: Annotated[bool, BeforeValidator(_trimmed)],
    "LOG_GROUP_NAME": Annotated[str, BeforeValidator(_not_amazons)],
    "MACHINE_PRICE": Annotated[
        float | None, BeforeValidator(_none_if_empty), BeforeValidator(_no_boolean)
    ],
    "MACHINE_TYPE": Annotated[
        list[Annotated[str, Field(pattern=r"^[a-z0-9-]+\.[a-z0-9-]+$")]],
        BeforeValidator(_one_or_more),
    ],
    "SECRETS": dict[
        Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")],
        Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:(secretsmanager|ssm):")],
    ],
}
"""How settings may be written, by type or name, where Python's own form is not enough."""

SETTINGS = {item.name: item for item in fields(Settings) if item.name.isupper()}
"""The settings that mean something, by name."""


def _validated() -> Any:
    """A pydantic model that holds config.py's values to what `Settings` says."""
    types_of = get_type_hints(Settings)
    definitions: dict[str, Any] = {}
    for name, item in SETTINGS.items():
        form = _FORMS.get(name, _FORMS.get(types_of[name], types_of[name]))
        limits = item.metadata["limits"]
        if item.default is not MISSING:
            limits = {**limits, "default": item.default}
        elif item.default_factory is not MISSING:
            limits = {**limits, "default_factory": item.default_factory}
        definitions[name] = (form, Field(**limits))
    config = ConfigDict(extra="forbid", allow_inf_nan=False)
    return create_model("ConfigFile", __config__=config, **definitions)


_ConfigFile = _validated()

SETTING_NAMES: tuple[str, ...] = (*SETTINGS, *NEEDLESS)
"""All names that the program's own settings cannot have."""


def load(path: Path) -> Settings:
    """Read config.py.

    Args:
        path: the file.

    Raises:
        BadInput: with every problem, each with its line in the file.
    """
    return check(*execute(path), path.name)


def check(
    found: Mapping[str, object], lines: Mapping[str, int] | None = None, file: str = "config.py"
) -> Settings:
    """Settings out of config.py's names.

    Args:
        found: the upper-case names and their values, also settings in small letters.
        lines: in which line each name is set.
        file: config.py's name, for messages.

    Raises:
        BadInput: with every problem.
    """

    def where(name: str) -> str:
        line = (lines or {}).get(name)
        return f"{file} line {line}, {name}" if line else f"{file}, {name}"

    known = {name: value for name, value in found.items() if name in SETTINGS}
    small = {name: name.upper() for name in found if not name.isupper()}
    program = {name: found[name] for name in program_names(found)}
    warnings = tuple(
        Problem(where(name), "is no setting", f"{capitals} is what counts", warning=True)
        for name, capitals in small.items()
        if capitals in found
    )
    warnings += tuple(
        Problem(where(name), f"is not needed: {NEEDLESS[name]}", "remove it", warning=True)
        for name in found
        if name in NEEDLESS
    )
    warnings += tuple(
        Problem(where(name), f"is only the program's own: {OTHERWISE[name]}", hint, warning=True)
        for name in program
        if name in OTHERWISE
        for hint in ("remove it unless your command uses it",)
    )
    problems = [
        Problem(where(name), message, hint)
        for name, value in program.items()
        for message, hint in _program_problems(name, value)
    ]
    problems += [
        Problem(where(name), "is no setting", f"write {capitals}")
        for name, capitals in small.items()
        if capitals not in found
    ]
    problems += [
        Problem(f"{where('SECRETS')}, {name}", reason, "give it another name")
        for name in _secret_names(known.get("SECRETS"))
        if (reason := _secret_name_problem(name, program))
    ]
    values: dict[str, Any] = {}
    try:
        values = _ConfigFile(**known).model_dump()
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=True)
        problems += [_problem(detail, where) for detail in details]
    if problems:
        raise BadInput(sorted(problems, key=lambda problem: _line(problem, lines)))
    values["LOG_GROUP_NAME"] = values["LOG_GROUP_NAME"] or values["APP_NAME"]
    lists = {name: list(value) for name, value in program.items() if isinstance(value, tuple)}
    # `_program_problems` refuses every other type of value.
    return Settings(**values, program=program | lists, warnings=warnings)  # type: ignore[arg-type]


def program_names(found: Iterable[str]) -> list[str]:
    """The names, of those in config.py, that are the program's own settings."""
    return [name for name in found if name.isupper() and name not in SETTING_NAMES]


def meant(name: str) -> str | None:
    """The setting that a name within two letters of it was probably meant to be.

    Of short names fewer letters may differ: GPU is GPUS, but PLUS is a name of its own.
    """
    distances = {known: _distance(name, known) for known in SETTING_NAMES}
    near = [known for known in distances if 0 < distances[known] <= min(2, len(known) // 3)]
    return min(near, key=lambda known: distances[known], default=None)


def looks_secret(name: str) -> bool:
    """Whether a name's words say that its value is a secret (an S3 key is none)."""
    words = re.split(r"[_-]", name.upper())
    pairs = {"".join(words[i : i + 2]) for i in range(len(words))}
    plain = {"PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "SECRETS", "TOKEN", "TOKENS"}
    return bool((plain | {"CREDENTIAL", "CREDENTIALS"}) & set(words)) or bool(
        {"APIKEY", "ACCESSKEY", "SECRETKEY", "PRIVATEKEY"} & (pairs | set(words))
    )


def looks_secret_value(value: object) -> bool:
    """Whether a text has the form of an AWS access key, a private key, or GitHub's tokens."""
    texts = value if isinstance(value, (list, tuple)) else [value]
    form = r"\b(AKIA|ASIA)[A-Z0-9]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY|\bgh[pousr]_\w{36}"
    return any(isinstance(text, str) and re.search(form, text) for text in texts)


def _secret_names(secrets: object) -> list[str]:
    return [name for name in secrets if isinstance(name, str)] if isinstance(secrets, dict) else []


def _secret_name_problem(name: str, program: Mapping[str, object]) -> str | None:
    """Why the program's environment cannot have a secret of this name."""
    if name in SETTING_NAMES:
        return "is a setting's name"
    if name in program:
        return "is the name of a setting of the program, too"
    return name_problem(name) if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        hint = "run this in the implementation's folder"
        raise BadInput([Problem(str(path), "is not there", hint)]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            [Problem(str(path), f"cannot be read: {error}", "save it as UTF-8")]
        ) from None


def execute(path: Path) -> tuple[dict[str, object], dict[str, int]]:
    """Run config.py.

    Returns:
        Its upper-case names with their values, also settings in small letters, and the line where
        each name is set last.

    Raises:
        BadInput: it is not there, is not Python, or fails.
    """
    source = _read(path)
    try:
        tree = ast.parse(source, filename=str(path))
        namespace: dict[str, object] = {"__name__": "config", "__file__": str(path)}
        exec(compile(tree, str(path), "exec"), namespace)
    except SyntaxError as error:
        where = f"{path.name} line {error.lineno}, column {error.offset}"
        raise BadInput([Problem(where, f"is not Python: {error.msg}", "correct it")]) from None
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        line = next((f.lineno for f in reversed(frames) if f.filename == str(path)), "?")
        message = f"fails: {type(error).__name__}: {error}"
        raise BadInput([Problem(f"{path.name} line {line}", message, "correct it")]) from None
    lines = {
        node.id: node.lineno
        for statement in tree.body
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    no_value = (types.ModuleType, types.FunctionType, type)
    found = {
        name: value
        for name, value in namespace.items()
        if (name.isupper() or name.upper() in SETTINGS)
        and not name.startswith("_")
        and not isinstance(value, no_value)
    }
    return found, lines


def _program_problems(name: str, value: object) -> list[tuple[str, str]]:
    """What is wrong with a setting of the program, and what to do."""
    if suggestion := meant(name):
        return [("is no setting", f"did you mean {suggestion}? Else give it another name")]
    secret = "looks like a secret, which no file may hold"
    if name.startswith("AWS_") and (looks_secret(name) or looks_secret_value(value)):
        return [(secret, "remove it: jobs have the rights of their role, you those of AWS_PROFILE")]
    if looks_secret(name) or looks_secret_value(value):
        hint = f'keep it in Secrets Manager and write SECRETS = {{"{name}": "arn:aws:..."}}'
        return [(secret, hint)]
    if reason := name_problem(name):
        return [(reason, "give it another name")]
    texts = isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)
    if not (texts or value is None or isinstance(value, (str, int, float, bool))):
        message = f"is a {type(value).__name__}"
        return [(message, "write a text, a number, True, False, None or a list of texts")]
    return []


def _problem(detail: ErrorDetails, where: Any) -> Problem:
    """One of pydantic's errors in this project's words."""
    name, *inside = map(str, detail["loc"])
    if detail["type"] == "missing":
        return Problem(where(name), "is missing", f"write {name} = ... in it")
    value = "one of its values" if name == "SECRETS" else _short(detail["input"])
    hint = wanted(name)
    if inside and name == "SECRETS":
        return Problem(f"{where(name)}, {inside[0]}", "is no name with its ARN", hint)
    context = detail.get("ctx", {})
    limit = context.get("ge", context.get("gt", context.get("le")))
    comparison = {
        "greater_than_equal": "at least",
        "greater_than": "more than",
        "less_than_equal": "at most",
    }.get(detail["type"])
    if comparison:
        unit = SETTINGS[name].metadata["unit"]
        hint = f"it can be {comparison} {limit:.9g} {unit}".rstrip()
        return Problem(where(name), f"is {value}", hint)
    return Problem(where(name), f"is {value}", hint)


def wanted(name: str) -> str:
    """What to write for a setting: "write a whole number"."""
    special = {
        "APP_NAME": "write a letter, then up to 39 letters, digits and -",
        "AWS_BUCKET": "write a bucket's name: 3 to 63 of a-z, 0-9, . and -",
        "AWS_REGION": "write a region such as 'us-east-1'",
        "DOCKERHUB_TAG": "write an image's name such as 'user/name:tag'",
        "MACHINE_TYPE": "write a list such as ['m6i.large', 'm5.large']",
        "MACHINE_PRICE": "write dollars per hour such as 0.10, or None",
        "WORKING_FOLDER": "write '', 'image' or a path that begins with /",
        "LOG_GROUP_NAME": "write letters, digits and _ / . # -, and aws/ not at the start",
        "SECRETS": 'write {"NAME": "arn:aws:secretsmanager:..."}',
    }
    if name in special:
        return special[name]
    kinds = {"int": "a whole number", "float": "a number", "bool": "True or False"}
    return f"write {kinds.get(str(SETTINGS[name].type), 'a text')}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _line(problem: Problem, lines: Mapping[str, int] | None) -> int:
    name = problem.where.split(", ")[1]
    return (lines or {}).get(name, 0)


def _distance(one: str, other: str) -> int:
    """Letters to insert, remove or replace (Levenshtein)."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        previous, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (a != b))
    return row[len(other)]
