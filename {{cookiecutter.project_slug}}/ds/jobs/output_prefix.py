"""OUTPUT_PREFIX: where in the bucket the outputs of a job go."""

import re
from collections.abc import Iterable, Iterator, Mapping

from ds.jobs.problems import BadInput, Problem, closest
from ds.jobs.variables import NAME_PATTERN, Value, as_text, braced, control_character

MAX_PREFIX_BYTES = 800  # S3 allows 1024 for a whole key: this leaves room for file names

_PREFIX_REFERENCE = re.compile(r"\{(NAME)\}".replace("NAME", NAME_PATTERN))


def prefix_names(template: str) -> set[str]:
    """Every name that the template refers to as {name}."""
    return set(_PREFIX_REFERENCE.findall(template))


def check_prefix(template: str, variables: Mapping[str, str]) -> list[Problem]:
    """What is wrong with a template, given the variables' types; warnings too.

    Args:
        template: e.g. "results/{plate}/{well}"; a last / may be there.
        variables: type by name, without the built-in ones.
    """
    return [
        *_name_problems(template, variables),
        *_brace_problems(template),
        *_path_problems(_PREFIX_REFERENCE.sub("x", template).removesuffix("/")),
        *_constant(template),
    ]


def render(template: str, values: Mapping[str, Value], job_id: str) -> str:
    """The prefix of one job, without a / at either end.

    Args:
        template: accepted by `check`.
        values: as the job file has them.
        job_id: what {job_id} stands for.

    Raises:
        BadInput: a value is missing, or with these values the prefix escapes, has an empty part
            or a control character, or is too long.
    """
    known = {**values, "job_id": job_id}
    problems = [
        Problem(name, "has no single value for the output prefix", "give it one")
        for name in sorted(prefix_names(template))
        if known.get(name) is None or isinstance(known[name], list)
    ]
    if problems:
        raise BadInput(problems)
    prefix = _PREFIX_REFERENCE.sub(lambda found: _prefix_text(known[found[1]]), template)
    prefix = prefix.removesuffix("/")
    problems = [*_path_problems(prefix)]
    if problems:
        raise BadInput(problems)
    return prefix


def collisions(prefixes: Iterable[str]) -> list[tuple[int, int]]:
    """Pairs (earlier, later) of indexes whose prefixes are the same, or one inside the other.

    Of several that are the same each later one is paired with the first.
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
    """ "a/b/c" -> "a", "a/b"."""
    return (prefix[: slash.start()] for slash in re.finditer("/", prefix))


def _prefix_text(value: Value) -> str:
    if value is None or isinstance(value, list):
        raise TypeError("not one text")
    return as_text(value)


def _name_problems(template: str, variables: Mapping[str, str]) -> Iterator[Problem]:
    for name in sorted(prefix_names(template) - {"job_id"}):
        if name not in variables:
            suggestion = closest(name, [*variables, "job_id"])
            hint = f"did you mean {braced(suggestion)}?" if suggestion else "make it a variable"
            yield Problem("", f"{braced(name)} is not a variable", hint)
        elif variables[name] == "files":
            message = f"{braced(name)} of type files is not one value"
            yield Problem("", message, "use another variable")


def _brace_problems(template: str) -> Iterator[Problem]:
    for brace in re.findall("[{}]", _PREFIX_REFERENCE.sub("", template))[:1]:
        yield Problem("", f"{brace} belongs to no {braced('name')}", "remove it")


def _path_problems(prefix: str) -> Iterator[Problem]:
    """Why a prefix without its last / is no safe place below the bucket's root."""
    parts = prefix.split("/")
    control = control_character(prefix)
    shown = prefix[:100]
    if not prefix:
        yield Problem("", "is empty", "name a place that differs between jobs")
    elif prefix.startswith("s3://"):
        yield Problem("", f"{shown} names a bucket", "outputs go to AWS_BUCKET, write only the key")
    elif prefix.startswith("/"):
        yield Problem("", f"{shown} begins with /", "remove it, a bucket has no root")
    elif "s3:" in parts:
        message = f"{shown} holds the address of another bucket"
        yield Problem("", message, "use another variable in OUTPUT_PREFIX, or {job_id}")
    elif "" in parts:
        message = f"{shown} has an empty part between two /"
        yield Problem("", message, "remove the /, or give the variable a value")
    if not {".", ".."}.isdisjoint(parts):
        yield Problem("", f"{shown} has . or .. as a part", "write the place without it")
    if control is not None:
        message = f"has a control character ({prefix[control]!r})"
        yield Problem("", message, "remove it")
    if len(prefix.encode(errors="replace")) > MAX_PREFIX_BYTES:
        message = f"{shown}... is longer than {MAX_PREFIX_BYTES} bytes"
        yield Problem("", message, "use shorter values, or {job_id}")


def _constant(template: str) -> Iterator[Problem]:
    if template and not prefix_names(template):
        message = "has no variable, so that every job writes to the same place"
        yield Problem("", message, "use one that differs between jobs, or {job_id}", warning=True)
