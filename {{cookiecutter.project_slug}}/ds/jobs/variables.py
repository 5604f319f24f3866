"""The variables of a job: their names, types and values."""

import json
import math
import re
import shlex
from collections.abc import Iterable
from itertools import pairwise

Value = str | int | float | bool | None | list[str]

TYPES = ("text", "file", "files", "folder", "args", "flag")
BUILT_IN = ("output_dir", "work_dir", "job_id", "cores", "job_json")

NAME_PATTERN = "[A-Za-z_][A-Za-z0-9_-]*"
ENVIRONMENT_NAME_PATTERN = "[A-Za-z_][A-Za-z0-9_]*"

RESERVED_NAMES = frozenset(
    [*BUILT_IN, "group", "groups", "PATH", "HOME", "USER", "SHELL", "IFS", "TMPDIR"]
)
RESERVED_PREFIXES = ("LD_", "PYTHON", "AWS_", "ECS_", "DS_")

# Bash sets these variables: `$SECONDS` in a script would never be the job's value.
SHELL_NAMES = frozenset(
    "_ BASH BASHOPTS BASHPID BASH_ENV BASH_VERSION EPOCHREALTIME EPOCHSECONDS HISTCMD LINENO"  # noqa: SIM905
    " OLDPWD OPTERR OPTIND PPID PS4 PWD RANDOM SECONDS SHELLOPTS SHLVL SRANDOM".split()
)

MAX_KEY_BYTES = 1024  # the limit of S3

# Unicode's categories Cc and Cs, which never change: unicodedata is slow for each character.
_CONTROL = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff]")
_UNFIT = re.compile("[\0\ud800-\udfff]")


def braced(name: str) -> str:
    """Return the name as written in a command: {name}."""
    return "{" + name + "}"


def environment_name(name: str) -> str:
    """Return the name as written in the job's environment: "-" becomes "_"."""
    return name.replace("-", "_")


def name_problem(name: str) -> str | None:
    """Explain why a variable cannot have this name; return None if it can."""
    in_environment = environment_name(name)
    if not re.fullmatch(NAME_PATTERN, name):
        return "must contain only letters, digits, _ and -, and begin with a letter or _"
    if "_comment" in name:
        return "contains _comment, and job files ignore such keys"
    if in_environment in BUILT_IN:
        return "is a built-in name"
    if in_environment in RESERVED_NAMES or in_environment.startswith(RESERVED_PREFIXES):
        return "is a reserved name"
    if in_environment in SHELL_NAMES:
        return "is a name that shells set themselves"
    return None


def name_clashes(names: Iterable[str]) -> list[tuple[str, str]]:
    """Find pairs of names that are equal in the environment: ("a-b", "a_b")."""
    first: dict[str, str] = {}
    pairs = []
    for name in names:
        other = first.setdefault(environment_name(name), name)
        if other != name:
            pairs.append((other, name))
    return pairs


def as_text(value: str | int | float | bool) -> str:
    """Return the value as a program receives it: text unchanged, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def from_text(text: str, type_: str) -> Value:
    """Read a value from a CSV cell or an answer's example, or raise ValueError with the reason."""
    if type_ == "flag" and text:
        word = text.strip().lower()
        if word not in ("true", "false"):
            raise ValueError("must be true or false")
        return word == "true"
    if type_ == "files" and text:
        keys = [key.strip() for key in text.split(",")]
        if "" in keys:
            raise ValueError("must not have an empty item between commas, or before or after them")
        return keys
    return text


def is_empty(value: Value) -> bool:
    """Return whether the value removes its optional part: "", null, false and [], but never 0."""
    return value is None or value is False or value in ("", [])


def split_args(text: str) -> list[str]:
    """Split a value of type `args` like a shell; raise ValueError if its quoting is not valid."""
    return shlex.split(text)


def split_key(value: str, bucket: str) -> tuple[str, str]:
    """Split a value into bucket and key: "s3://other/a" -> ("other", "a"), "a" -> (bucket, "a")."""
    if not value.startswith("s3://"):
        return bucket, value
    other, _, key = value.removeprefix("s3://").partition("/")
    return other, key


def control_character(text: str, allowed: str = "") -> int | None:
    """Return the index of the first control character or lone surrogate, or None."""
    found = (place.start() for place in _CONTROL.finditer(text) if place[0] not in allowed)
    return next(found, None)


def value_problem(value: object, type_: str) -> str | None:
    """Explain why a value in a job file does not fit its type ("must be ..."), or return None.

    Null and "" fit every type. Whether they are allowed depends on their place in the command.
    """
    if value is None or value == "":
        return None
    match type_:
        case "files":
            return _files_problem(value)
        case "file" | "folder":
            return _key_problem(value, type_)
        case "flag":
            return None if isinstance(value, bool) else "must be true or false, without quotes"
        case "args":
            return _args_problem(value)
        case _:
            return _text_problem(value)


def _text_problem(value: object) -> str | None:
    if isinstance(value, str):
        return _characters_problem(value)
    if not isinstance(value, int | float):
        return "must be text, a number, true or false"
    return None if math.isfinite(value) else "must be a finite number"


def _args_problem(value: object) -> str | None:
    if not isinstance(value, str):
        return "must be text, which is split into arguments as in a shell"
    try:
        split_args(value)
    except ValueError:
        return "must be text that a shell can split, but a quote or a backslash is left open"
    return _characters_problem(value)


def _files_problem(value: object) -> str | None:
    if not isinstance(value, list):
        return "must be a list of keys"
    for key in value:
        if problem := "must not be empty" if key == "" else _key_problem(key, "file"):
            return f"{problem} (list item {key!r})"
    return None


def _key_problem(value: object, type_: str) -> str | None:
    if not isinstance(value, str):
        return "must be text: a key in the bucket, or s3://bucket/key"
    bucket, key = split_key(value, "the run's own")
    if not bucket or (not key and type_ == "file"):
        return "must be a key in the bucket, or s3://bucket/key"
    if key.startswith("/"):
        return "must not begin with /"
    if not {".", ".."}.isdisjoint(key.split("/")):
        return "must not contain . or .. as a folder"
    if type_ == "file" and key.endswith("/"):
        return "must be one file, but ends with /"
    if problem := _characters_problem(value):
        return problem
    if len(key.encode()) > MAX_KEY_BYTES:
        return f"must not be longer than {MAX_KEY_BYTES} bytes"
    return None


def _characters_problem(text: str) -> str | None:
    if found := _UNFIT.search(text):
        part = "NUL character" if found[0] == "\0" else "lone surrogate (half a character)"
        return f"must not contain a {part}"
    return None


# --- Secrets --------------------------------------------------------------------------------------

_SECRETS = {"PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "SECRETS", "TOKEN", "TOKENS"}
_SECRETS |= {"CREDENTIAL", "CREDENTIALS", "APIKEY", "ACCESSKEY", "SECRETKEY", "PRIVATEKEY"}

# AWS access keys, private keys and GitHub tokens.
_SECRET_VALUE = re.compile(
    r"\b(AKIA|ASIA)[A-Z0-9]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY|\bgh[pousr]_\w{36}"
)


def looks_secret(name: str) -> bool:
    """Return whether a name suggests that its value is a secret (an object's key is not)."""
    words = re.split("[_-]", name.upper())
    pairs = map("".join, pairwise(words))
    return not _SECRETS.isdisjoint([*words, *pairs])


def looks_secret_value(value: object) -> bool:
    """Return whether a text, or any text in a list, has the form of a well-known secret."""
    texts = value if isinstance(value, list | tuple) else [value]
    return any(isinstance(text, str) and _SECRET_VALUE.search(text) for text in texts)
