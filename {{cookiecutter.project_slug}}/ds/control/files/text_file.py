"""Files that a person writes, read with one wording for what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ds.jobs.problems import BadInput, Problem

_Hook = Callable[[list[tuple[str, Any]]], dict[str, Any]]


def read_text(path: Path, missing: str) -> str:
    """Read a text file; `missing` is what to do if it does not exist.

    Raises:
        BadInput: the file cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        problem = Problem(str(path), "does not exist", missing)
    except UnicodeDecodeError as error:
        message = f"cannot be read: byte {error.start} is not UTF-8"
        problem = Problem(str(path), message, "save it as UTF-8")
    except OSError as error:
        problem = Problem(str(path), f"cannot be read: {error.strerror}", missing)
    raise BadInput([problem])


def read_json(path: Path, missing: str, form: str, hook: _Hook = dict) -> dict[str, Any]:
    """Read a file with a JSON object; `form` is what to write if it is not one.

    Raises:
        BadInput: the file cannot be read, or is not a JSON object.
    """
    text = read_text(path, missing)
    try:
        document = json.loads(text, object_pairs_hook=hook)
    except json.JSONDecodeError as error:
        where = f"{path.name} line {error.lineno}, column {error.colno}"
        message = f"is not valid JSON: {error.msg}"
        raise BadInput([Problem(where, message, "correct it")]) from None
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise BadInput([Problem(path.name, f"cannot be read: {reason}", "correct it")]) from None
    if not isinstance(document, dict):
        raise BadInput([Problem(path.name, "is not a JSON object", form)])
    return document
