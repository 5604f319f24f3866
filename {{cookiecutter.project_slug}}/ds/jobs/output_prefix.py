"""OUTPUT_PREFIX: the place in the bucket for the outputs of a job."""

import re
from collections.abc import Iterator, Mapping

from ds.jobs.problems import BadInput, Problem, did_you_mean
from ds.jobs.variables import NAME_PATTERN, Value, as_text, braced, control_character

MAX_PREFIX_BYTES = 800  # S3 allows 1024 bytes for a key; this leaves room for file names

_PREFIX_REFERENCE = re.compile(r"\{(NAME)\}".replace("NAME", NAME_PATTERN))


def prefix_names(template: str) -> set[str]:
    """Return every name that the template uses as {name}."""
    return set(_PREFIX_REFERENCE.findall(template))


def check_prefix(template: str, variables: Mapping[str, str]) -> list[Problem]:
    """Report every problem of a template such as "results/{plate}/{well}", including warnings.

    `variables` maps names, without built-in names, to types.
    """
    problems = list(_name_problems(template, variables))
    for brace in re.findall("[{}]", _PREFIX_REFERENCE.sub("", template))[:1]:
        problems.append(Problem("", f"{brace} is not part of a {braced('name')}", "remove it"))
    problems += _path_problems(_PREFIX_REFERENCE.sub("x", template).removesuffix("/"))
    if template and not prefix_names(template):
        message = "has no variable, so every job writes to the same place"
        hint = "use a variable that differs between jobs, or {job_id}"
        problems.append(Problem("", message, hint, warning=True))
    return problems


def render_prefix(template: str, values: Mapping[str, Value], job_id: str) -> str:
    """Build the prefix of one job from the values in the job file, without a / at either end.

    Raises:
        BadInput: a value is missing, or the resulting prefix leaves the bucket, has an empty part
            or a control character, or is too long.
    """
    known = {**values, "job_id": job_id}
    texts: dict[str, str] = {}
    problems = []
    for name in sorted(prefix_names(template)):
        value = known.get(name)
        if value is None or isinstance(value, list):
            problems.append(Problem(name, "must have a single value for OUTPUT_PREFIX", "set one"))
        else:
            texts[name] = as_text(value)
    if not problems:
        prefix = _PREFIX_REFERENCE.sub(lambda found: texts[found[1]], template).removesuffix("/")
        problems = list(_path_problems(prefix))
    if problems:
        raise BadInput(problems)
    return prefix


def _name_problems(template: str, variables: Mapping[str, str]) -> Iterator[Problem]:
    for name in sorted(prefix_names(template) - {"job_id"}):
        if name not in variables:
            known = [*variables, "job_id"]
            hint = did_you_mean(name, known, "define it as a variable", braced)
            yield Problem("", f"unknown variable {braced(name)}", hint)
        elif variables[name] == "files":
            message = f"{braced(name)} is of type files, which is not a single value"
            yield Problem("", message, "use another variable")


def _path_problems(prefix: str) -> Iterator[Problem]:
    """Explain why a prefix, without its final /, is not a safe place in the bucket."""
    parts = prefix.split("/")
    control = control_character(prefix)
    shown = prefix[:100]
    if not prefix:
        yield Problem("", "is empty", "write a prefix that differs between jobs")
    elif prefix.startswith("s3://"):
        hint = "write only the key: outputs go to AWS_BUCKET"
        yield Problem("", f"{shown} contains a bucket", hint)
    elif prefix.startswith("/"):
        yield Problem("", f"{shown} begins with /", "remove the /")
    elif "s3:" in parts:
        message = f"{shown} contains the address of another bucket"
        yield Problem("", message, "use another variable in OUTPUT_PREFIX, or {job_id}")
    elif "" in parts:
        message = f"{shown} has an empty part between two /"
        yield Problem("", message, "remove the /, or give the variable a value")
    if not {".", ".."}.isdisjoint(parts):
        yield Problem("", f"{shown} contains . or .. as a part", "remove that part")
    if control is not None:
        message = f"contains a control character ({prefix[control]!r})"
        yield Problem("", message, "remove it")
    if len(prefix.encode(errors="replace")) > MAX_PREFIX_BYTES:
        message = f"{shown}... is longer than {MAX_PREFIX_BYTES} bytes"
        yield Problem("", message, "use shorter values, or {job_id}")
