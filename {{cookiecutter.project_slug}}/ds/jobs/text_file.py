"""Readers of files that users write, with the same error messages for all of them."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from ds.jobs.problems import BadInput, Problem

_Hook = Callable[[list[tuple[str, Any]]], dict[str, Any]]


def read_text(path: Path, missing: str) -> str:
    """Read a text file, or raise BadInput; `missing` is the hint if the file does not exist."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        problem = Problem(str(path), "does not exist", missing)
    except UnicodeDecodeError as error:
        message = f"cannot be read: byte {error.start} is not UTF-8"
        problem = Problem(str(path), message, "save it as UTF-8")
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        problem = Problem(str(path), message, "check that it is a file that you can read")
    raise BadInput([problem])


def read_json(path: Path, missing: str, form: str, hook: _Hook = dict) -> dict[str, Any]:
    """Read a JSON object from a file, or raise BadInput; `form` is the hint for any other value.

    `hook` creates each object in the file from its keys and values.
    """
    text = read_text(path, missing)
    where, hint = path.name, "correct it"
    try:
        document = json.loads(text, object_pairs_hook=hook)
    except json.JSONDecodeError as error:
        where += f" line {error.lineno}, column {error.colno}"
        message = f"is not valid JSON: {error.msg}"
    except RecursionError:
        message = "cannot be read: it is nested too deeply"
    except ValueError as error:
        message = f"cannot be read: {error}"
    else:
        if isinstance(document, dict):
            return document
        message, hint = "is not a JSON object", form
    raise BadInput([Problem(where, message, hint)])


def run_python(path: Path, name: str) -> tuple[dict[str, Any], str]:
    """Run a file as the module `name`, or raise BadInput; return its names and its text."""
    source = read_text(path, "run this command in the folder of the implementation")
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # dataclasses look up their module here
    # The __pycache__ of an imported module would become part of the next image.
    keep, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        exec(compile(source, str(path), "exec", dont_inherit=True), vars(module))
    except SyntaxError as error:
        line, message = error.lineno, f"is not valid Python: {error.msg}"
        column = f", column {error.offset}" if error.offset else ""
    except (Exception, SystemExit) as error:
        # The deepest frame may be in a library.
        frames = traceback.extract_tb(error.__traceback__)
        line = next((f.lineno for f in reversed(frames) if f.filename == str(path)), None)
        message, column = f"fails: {type(error).__name__}: {error}", ""
    else:
        return vars(module), source
    finally:
        sys.dont_write_bytecode = keep
    where = f"{path.name} line {line}{column}" if line else path.name
    raise BadInput([Problem(where, message, "correct it")])
