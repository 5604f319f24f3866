"""Refuse answers that cannot become a working repository, before anything is written.

Written by `make hooks` from modules of the engine, answers.py and refuse.py: edit those.
"""

# {% raw %} Cookiecutter does not render this part:
import hashlib
import json
import math
import os
import re
import shlex
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from functools import cached_property
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

# === jobs/problems.py


@dataclass(frozen=True)
class Problem:
    """One mistake, in the form that users read: "{where}: {message}; {hint}".

    Attributes:
        where: the place, such as "job.py, COMMAND, column 14"; "" if the caller adds it.
        message: what is wrong.
        hint: what to do.
        warning: whether it may be intended; a warning never causes a refusal.
        code: the kind of problem, if `check` reports it, such as "DS-MEMORY".
    """

    where: str
    message: str
    hint: str
    warning: bool = False
    code: str = ""

    @property
    def statement(self) -> str:
        """The place and the message, without the hint."""
        return f"{self.where}: {self.message}" if self.where else self.message

    def __str__(self) -> str:
        return f"{self.statement}; {self.hint}"


Located = tuple[int, Problem]
"""An offset in a text, and a problem that has no place yet."""


class BadInput(Exception):
    """Input that cannot be used, with every problem and not only the first."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


def at(problems: Iterable[Problem], where: str) -> list[Problem]:
    """Prefix the place of each problem: "column 3" becomes "job.py, COMMAND, column 3"."""
    return [
        replace(problem, where=", ".join(place for place in (where, problem.where) if place))
        for problem in problems
    ]


def at_offsets(text: str, found: Iterable[Located]) -> list[Problem]:
    """Sort problems by their offsets in a text; add "column 14", or "line 2, column 3"."""
    return [
        replace(problem, where=_line_and_column(text, offset))
        for offset, problem in sorted(found, key=itemgetter(0))
    ]


def _line_and_column(text: str, offset: int) -> str:
    line = text.count("\n", 0, offset) + 1
    column = offset - text.rfind("\n", 0, offset)
    return f"column {column}" if "\n" not in text.strip() else f"line {line}, column {column}"


def closest(name: str, known: Iterable[str]) -> str | None:
    """Find a known name to suggest for an unknown name. Case and "-" or "_" do not matter."""
    folded = {_folded(other): other for other in known}
    matches = get_close_matches(_folded(name), folded, n=1, cutoff=0.7)
    return folded[matches[0]] if matches else None


def did_you_mean(
    name: str, known: Iterable[str], otherwise: str, written: Callable[[str], str] = str
) -> str:
    """Return the hint for an unknown name: the closest known name, or else `otherwise`."""
    suggestion = closest(name, known)
    return f"did you mean {written(suggestion)}?" if suggestion else otherwise


def _folded(name: str) -> str:
    return name.casefold().replace("-", "_")


def typo_of(name: str, known: Iterable[str]) -> str | None:
    """Find the known name that differs from `name` in one or two letters; else return None.

    This is stricter than `closest`, because the name is refused. The limit is lower for short
    names: GPU is a typo of GPUS, but PLUS may be a name that the owner chose.
    """
    distances = {other: _distance(name, other) for other in known}
    near = [other for other in distances if 0 < distances[other] <= min(2, len(other) // 3)]
    return min(near, key=lambda other: distances[other], default=None)


def _distance(one: str, other: str) -> int:
    """Count the letters to insert, remove or replace (Levenshtein)."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        previous, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (a != b))
    return row[len(other)]


# === jobs/variables.py


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


# === jobs/command.py


# --- What a command is ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Text:
    """Literal text; `quote` is "'", '"', a backslash for an escaped character, or ""."""

    text: str
    quote: str
    offset: int


@dataclass(frozen=True)
class Reference:
    """`{name}`, unquoted or inside double quotes."""

    name: str
    quote: str
    offset: int


@dataclass(frozen=True)
class Word:
    """One word of the command: one argument, unless its variable has several values or none."""

    parts: tuple[Text | Reference, ...]
    offset: int

    @cached_property
    def references(self) -> list[Reference]:
        """The variables in the word."""
        return [part for part in self.parts if isinstance(part, Reference)]

    @property
    def texts(self) -> list[Text]:
        """The literal parts of the word."""
        return [part for part in self.parts if isinstance(part, Text)]

    @cached_property
    def literal(self) -> str | None:
        """The text of the word if it contains no variables, else None."""
        return None if self.references else "".join(part.text for part in self.texts)

    @cached_property
    def lone(self) -> Reference | None:
        """The unquoted variable that is the whole word, else None."""
        (part, *others) = self.parts
        return part if isinstance(part, Reference) and not part.quote and not others else None


@dataclass(frozen=True)
class Bracket:
    """`[...]`: words that are removed together if one of their variables is empty."""

    words: tuple[Word, ...]
    offset: int

    @cached_property
    def names(self) -> set[str]:
        """The names of the variables in the words."""
        return {reference.name for word in self.words for reference in word.references}


@dataclass(frozen=True)
class Command:
    """A command that `parse_command` accepted."""

    text: str
    items: tuple[Word | Bracket, ...]

    @property
    def words(self) -> list[Word]:
        """All words in order, including those in brackets."""
        return [word for item in self.items for word in words_of(item)]

    @property
    def names(self) -> set[str]:
        """Every name that is used as {name}, including built-in names."""
        return {reference.name for word in self.words for reference in word.references}


def words_of(item: Word | Bracket) -> tuple[Word, ...]:
    """Return the words of a bracket, or a single word as a tuple."""
    return item.words if isinstance(item, Bracket) else (item,)


# --- From text to words ---------------------------------------------------------------------------

_NO_SHELL = "needs a shell, but the command does not run in one"

_OUTSIDE_QUOTES = re.compile(
    r"""
      (?P<blank>     [ \t\r\n]+ )
    | (?P<joined>    \\\r?\n )
    | (?P<escaped>   \\. )
    | (?P<single>    '[^']*' )
    | (?P<double>    "(?:[^"\\]|\\.)*" )
    | (?P<unclosed>  ['"].* | \\ )
    | (?P<reference> \{NAME\} )
    | (?P<opening>   \[ )
    | (?P<closing>   \] )
    | (?P<hash>      [#] )
    | (?P<operator>  \$\{SHELL\} | \$SHELL | \$\( | [<>|&;]+\(? | [$()`] )
    | (?P<text>      [^ \t\r\n\\'"{}[\]#$<>|&;()`]+ | [{}] )
    """.replace("NAME", NAME_PATTERN).replace("SHELL", ENVIRONMENT_NAME_PATTERN),
    re.VERBOSE | re.DOTALL,
)

_INSIDE_DOUBLE_QUOTES = re.compile(
    r"""
      (?P<joined>    \\\r?\n )
    | (?P<escaped>   \\[$`"\\] )
    | (?P<reference> \{NAME\} )
    | (?P<operator>  \$\{SHELL\} | \$SHELL | \$[({0-9?@*!$#-] | ` )
    | (?P<text>      [^\\{$`]+ | . )
    """.replace("NAME", NAME_PATTERN).replace("SHELL", ENVIRONMENT_NAME_PATTERN),
    re.VERBOSE | re.DOTALL,
)

_ENDS_WORD = re.compile(r"[ \t\r\n]|\\\r?\n|\Z")
_TEXT_IN_BRACKETS = re.compile(r"\[[^][{}'\"\\ \t\r\n]*\]")
_ASSIGNMENT = re.compile(ENVIRONMENT_NAME_PATTERN + r"\+?=")


def parse_command(text: str) -> Command:
    """Read a command, or raise BadInput with every problem and its column."""
    scanner = _Scanner(text)
    scanner.scan()
    command = Command(text, tuple(scanner.items))
    found = scanner.found or [*_missing_program(command), *_constant_brackets(command)]
    if found:
        raise BadInput(at_offsets(text, found))
    return command


class _Scanner:
    """Reads the text once, from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.items: list[Word | Bracket] = []
        self.found: list[Located] = []
        self.parts: list[Text | Reference] | None = None  # of the word being read
        self.word_offset = 0
        self.bracket: list[Word] | None = None  # words of the bracket being read
        self.bracket_offset = 0
        self.closers: list[str] = []  # the closing characters of each refused $( or `
        self.brackets_refused = False  # in this word, so that they are reported once
        self.refused_openings = 0  # not closed yet

    def scan(self) -> None:
        index = control_character(self.text, allowed="\t\r\n")
        if index is not None:
            self.refuse(index, f"contains a control character ({self.text[index]!r})", "remove it")
            return
        for token in _OUTSIDE_QUOTES.finditer(self.text):
            self.read(token.lastgroup, token.group(), token.start())
        self.end_word()
        if self.bracket is not None:
            hint = "close it, or quote it if it is text"
            self.refuse(self.bracket_offset, "[ is not closed", hint)

    def read(self, kind: str | None, token: str, offset: int, quote: str = "") -> None:
        match kind:
            case "blank":
                self.end_word()
            case "joined":
                pass
            case "escaped":
                self.add(Text(token[1], quote or "\\", offset))
            case "single":
                self.add(Text(token[1:-1], "'", offset))
            case "double":
                self.add(Text("", '"', offset))
                for inner in _INSIDE_DOUBLE_QUOTES.finditer(token[1:-1]):
                    self.read(inner.lastgroup, inner.group(), offset + 1 + inner.start(), '"')
            case "unclosed" if token == "\\":
                hint = "remove it, or write two"
                self.refuse(offset, "the command ends with a backslash", hint)
            case "unclosed":
                hint = f"close it, or write \\{token[0]} if it is text"
                self.refuse(offset, f"the quote {token[0]} is not closed", hint)
            case "reference":
                self.add(Reference(token[1:-1], quote, offset))
            case "opening":
                self.opening(offset)
            case "closing":
                self.closing(offset)
            case "hash":
                if self.parts is None:
                    hint = "remove it, or quote it if it is text"
                    self.refuse(offset, "# would begin a comment in a shell", hint)
                self.add(Text("#", "", offset))
            case "operator":
                self.operator(token, offset, quote)
            case _:
                self.add(Text(token, quote, offset))

    def refuse(self, offset: int, message: str, hint: str) -> None:
        self.found.append((offset, Problem("", message, hint)))

    def add(self, part: Text | Reference) -> None:
        """Add a part to the current or a new word; join text that has the same quotes."""
        if self.parts is None:
            self.parts, self.word_offset = [], part.offset
        last = self.parts[-1] if self.parts else None
        if isinstance(part, Text) and isinstance(last, Text) and last.quote == part.quote:
            self.parts[-1] = Text(last.text + part.text, last.quote, last.offset)
        else:
            self.parts.append(part)

    def end_word(self) -> None:
        self.brackets_refused = False
        if self.parts is not None:
            words = self.items if self.bracket is None else self.bracket
            words.append(Word(tuple(self.parts), self.word_offset))
            self.parts = None

    def operator(self, token: str, offset: int, quote: str) -> None:
        self.add(Text(token, quote, offset))
        if token in self.closers:
            self.closers.remove(token)
            return
        if token[-1] in "(`":
            self.closers.append(")" if token[-1] == "(" else "`")
        name = token.strip("${}")
        if re.fullmatch(ENVIRONMENT_NAME_PATTERN, name):
            hint = f"write {braced(name)} for a variable, or use single quotes for text or code"
        elif quote:
            hint = "use single quotes, or put a backslash before it"
        else:
            hint = "use bash -c '...' with \"$name\" for a variable, or quote it if it is text"
        shown = f"{token} in double quotes" if quote else f"unquoted {token}"
        self.refuse(offset, f"{shown} {_NO_SHELL}", hint)

    def opening(self, offset: int) -> None:
        text = _TEXT_IN_BRACKETS.match(self.text, offset)
        if self.parts is not None:
            self.refuse_bracket(offset, "[ inside a word is not an optional part")
        elif text:
            message = f"{text[0]} has no variable, so it is not an optional part"
            self.refuse_bracket(offset, message)
        elif self.bracket is not None:
            self.refuse_bracket(offset, "[ inside another [ ] is not an optional part")
        else:
            self.bracket, self.bracket_offset = [], offset

    def closing(self, offset: int) -> None:
        if self.refused_openings or self.bracket is None:
            self.refuse_bracket(offset, "] has no opening [")
        else:
            if not _ENDS_WORD.match(self.text, offset + 1):
                hint = "put a space after it, or quote it if it is text"
                self.refuse(offset, "] must end a word", hint)
            self.end_word()
            self.items.append(Bracket(tuple(self.bracket), self.bracket_offset))
            self.bracket = None

    def refuse_bracket(self, offset: int, message: str) -> None:
        """Refuse a bracket once per word, and do not report the matching closing bracket."""
        sign = self.text[offset]
        if not (self.brackets_refused or (sign == "]" and self.refused_openings)):
            self.refuse(offset, message, "quote the word if it is text")
        self.brackets_refused = True
        self.refused_openings = max(0, self.refused_openings + (1 if sign == "[" else -1))
        self.add(Text(sign, "", offset))


def _missing_program(command: Command) -> Iterator[Located]:
    """Report a command whose program may be removed, or comes after an assignment."""
    if not command.items:
        yield 0, Problem("", "the command is empty", "write the program and its arguments")
    elif all(isinstance(item, Bracket) for item in command.items):
        hint = "move the program out of the brackets"
        yield 0, Problem("", "every part is optional", hint)
    for item in command.items:
        for word in words_of(item)[:1]:
            first = word.parts[0]
            text = first.text if isinstance(first, Text) and not first.quote else ""
            if assignment := _ASSIGNMENT.match(text):
                message = f"{assignment[0]}... {_NO_SHELL}"
                yield word.offset, Problem("", message, "write env before it")
        if isinstance(item, Word):
            return


def _constant_brackets(command: Command) -> Iterator[Located]:
    for item in command.items:
        if isinstance(item, Bracket) and item.names <= set(BUILT_IN):
            message = "[ ] has no variable that can be empty, so it is not an optional part"
            hint = "quote it if it is text, otherwise remove the [ ]"
            yield item.offset, Problem("", message, hint)


# --- The arguments of one job ---------------------------------------------------------------------


def command_arguments(
    command: Command, variables: Mapping[str, str], values: Mapping[str, Value]
) -> list[str]:
    """Build the arguments of one job from a command that `check_command` accepted.

    `variables` maps names to types. `values` maps names, including built-in names, to values: a
    local path for `file` and `folder`, a list for `files` and `args`, None for no value.

    Raises:
        BadInput: a required value is null, or a required file is empty. The place is the name of
            the variable, because the job file must be changed.
    """
    words: list[Word] = []
    for item in command.items:
        removed = isinstance(item, Bracket) and any(is_empty(values.get(n)) for n in item.names)
        words += () if removed else words_of(item)
    if missing := list(_missing_values(words, variables, values)):
        raise BadInput(missing)
    result = [argument for word in words for argument in _expanded(word, variables, values)]
    if not "".join(result[:1]):
        raise BadInput([Problem("COMMAND", "has no program", "give its variable a value")])
    return result


def _missing_values(
    words: Iterable[Word], variables: Mapping[str, str], values: Mapping[str, Value]
) -> Iterator[Problem]:
    """Report values that must not be empty. Text can be empty: "" is a valid argument."""
    for name in dict.fromkeys(reference.name for word in words for reference in word.references):
        is_input = variables.get(name) in ("file", "files", "folder")
        if values.get(name) is None or (is_input and is_empty(values[name])):
            hint = f"set one, or make its part of COMMAND optional: [--option {braced(name)}]"
            yield Problem(name, "has no value", hint)


def _expanded(word: Word, variables: Mapping[str, str], values: Mapping[str, Value]) -> list[str]:
    if word.literal is not None:
        return [word.literal]
    if word.lone:
        value = values[word.lone.name]
        if variables.get(word.lone.name) == "flag":
            return []
        if isinstance(value, list):
            return value
    return ["".join(_written(part, values) for part in word.parts)]


def _written(part: Text | Reference, values: Mapping[str, Value]) -> str:
    if isinstance(part, Text):
        return part.text
    value = values[part.name]
    if value is None or isinstance(value, list):
        raise TypeError(f"{part.name} is not a single text: check_command was not called")
    return as_text(value)


# === jobs/command_checks.py


def check_command(command: Command, variables: Mapping[str, str]) -> list[Problem]:
    """Report every problem of a command, including warnings.

    `variables` maps names, without built-in names, to types.
    """
    types = {**dict.fromkeys(BUILT_IN, "text"), **variables}
    codes = list(_codes(command, types))
    code_words = [code.word for code in codes]
    found = [
        *_wrong_references(command, types, code_words),
        *_variables_in_code(codes, types),
        *_typos_in_code(codes, types),
        *_unexpected_text(command, types, code_words),
    ]
    problems = at_offsets(command.text, found)
    if {"output_dir", "job_json"}.isdisjoint(command.names | names_in_code(command)):
        hint = "only files in {output_dir} are uploaded: let the program write there"
        problems.append(Problem("", "{output_dir} is never used", hint, warning=True))
    return problems


def check_unused(
    command: Command, variables: Iterable[str], also_used: Collection[str] = ()
) -> list[Problem]:
    """Warn about each variable that neither the command nor `also_used` names.

    A script in the program's image may still read it from the environment. {job_json} uses all
    variables.
    """
    used = command.names | set(also_used)
    in_code = names_in_code(command)
    if "job_json" in used | in_code:
        return []
    problems = []
    for name in variables:
        read_as = environment_name(name)
        if name not in used and read_as not in in_code:
            hint = f"use it or remove it, unless the program reads ${read_as}"
            problems.append(Problem("", f"{braced(name)} is never used", hint, warning=True))
    return problems


def names_in_code(command: Command) -> set[str]:
    """Return the environment names in the command's code: $name in a shell, else every word."""
    return {name for code in _codes(command, {}) for name in code.interpreter.names(code.text)}


def _wrong_references(
    command: Command, types: Mapping[str, str], code_words: Collection[Word]
) -> Iterator[Located]:
    """Report unknown names, and variables whose type cannot be used in their position."""
    for item in command.items:
        for word in words_of(item):
            for reference in word.references if word not in code_words else ():
                written, type_ = braced(reference.name), types.get(reference.name)
                message = f"{written} is of type {type_}"
                if type_ is None:
                    message = f"unknown variable {written}"
                    otherwise = "define it as a variable, or use single quotes if it is text"
                    hint = did_you_mean(reference.name, types, otherwise, braced)
                elif type_ == "flag" and not isinstance(item, Bracket):
                    message += ", which only controls an optional part"
                    hint = f"write [--option {written}]"
                elif type_ in ("files", "args", "flag") and reference != word.lone:
                    message += " and must be a separate word, without quotes"
                    hint = "put spaces around it"
                else:
                    continue
                yield reference.offset, Problem("", message, hint)


# --- Text that is probably a mistake --------------------------------------------------------------


def _unexpected_text(
    command: Command, types: Mapping[str, str], code_words: Collection[Word]
) -> Iterator[Located]:
    """Warn about text that the program receives unchanged, which may be a mistake."""
    for word in command.words:
        for text in word.texts:
            if text.quote == "'":
                if word not in code_words:
                    yield from _quoted_names(text, types)
                continue
            yield from _formats(text, types)
            if not text.quote:
                yield from _expansions(text, text is word.parts[0])
                yield from _typography(text)


def _quoted_names(text: Text, types: Mapping[str, str]) -> Iterator[Located]:
    for name in sorted(_literal_names(text.text) & types.keys()):
        message = f"{braced(name)} in single quotes is text, not a variable"
        yield text.offset, Problem("", message, "use double quotes if you want its value", True)


def _formats(text: Text, types: Mapping[str, str]) -> Iterator[Located]:
    for found in re.finditer(r"\{\s*(NAME)\b[^{}]*\}?".replace("NAME", NAME_PATTERN), text.text):
        if found[1] in types:
            message = f"{found[0]} is text, not a variable"
            yield text.offset, Problem("", message, f"write {braced(found[1])}", warning=True)


def _expansions(text: Text, begins_word: bool) -> Iterator[Located]:
    found = re.search(r"[*?]|\{[^{}]*(?:,|\.\.)[^{}]*\}", text.text)
    if found is None and begins_word:
        found = re.match("~", text.text)
    if found:
        message = f"{found[0]} is not expanded, because the command does not run in a shell"
        hint = "quote it if it is text, otherwise use bash -c '...'"
        yield text.offset, Problem("", message, hint, warning=True)


# Word processors and web pages write these for ' " - and a space.
_TYPOGRAPHIC = re.compile(
    "[\u2018\u2019\u201a\u201c\u201d\u201e\u00a0\u2002-\u200b\u202f\u2010-\u2015\u2212]"
)


def _typography(text: Text) -> Iterator[Located]:
    if found := _TYPOGRAPHIC.search(text.text):
        message = f"{found[0]} (U+{ord(found[0]):04X}) is not a plain quote, hyphen or space"
        hint = "replace it with the plain character, or quote it if it is text"
        yield text.offset, Problem("", message, hint, warning=True)


# --- Code for an interpreter ----------------------------------------------------------------------


@dataclass(frozen=True)
class _Interpreter:
    """How an interpreter receives code, and how that code reads an environment variable."""

    program: str  # pattern of the program's base name
    code_option: str  # pattern of the option before the code (same or previous word)
    valued_option: str  # pattern of options whose value is the next word
    variable: str  # how the code reads NAME
    arguments: str  # how the code reads the arguments that follow it
    first_argument: str  # what these arguments must begin with
    use: str  # pattern of a name in use
    takes_more: bool = False  # more options with code may follow

    def names(self, code: str) -> set[str]:
        return set(re.findall(self.use, code))


_ANY_WORD = f"({ENVIRONMENT_NAME_PATTERN})"

_SHELL = _Interpreter(
    "bash|sh|zsh|dash|ksh",
    "-[A-Za-z]*c[A-Za-z]*",
    "[-+][A-Za-z]*[oO]|--rcfile|--init-file",
    '"$NAME"',
    '"$@"',
    "a word such as bash and",
    r"\$(?:\{[#!]?)?" + _ANY_WORD,
)

_INTERPRETERS = (
    _SHELL,
    _Interpreter(
        r"python[0-9.]*",
        "-[bBdEiIOPqRsSuvx]*c",
        "-[WX]",
        'os.environ["NAME"]',
        "sys.argv[1:]",
        "",
        _ANY_WORD,
    ),
    _Interpreter(
        "perl", "-[0-9acflnpsStTuUwWX]*[eE]", "-[IM]", "$ENV{NAME}", "@ARGV", "", _ANY_WORD, True
    ),
    _Interpreter(
        "R|Rscript", "-e", "(?!)", 'Sys.getenv("NAME")', "commandArgs(TRUE)", "", _ANY_WORD, True
    ),
)


@dataclass(frozen=True)
class _Code:
    """A word that an interpreter runs as code."""

    word: Word
    interpreter: _Interpreter
    program: str

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.word.texts)


def _codes(command: Command, types: Mapping[str, str]) -> Iterator[_Code]:
    """Find the code arguments of every interpreter, at any position in the command."""
    words = [word for word in command.words if not _is_flag(word, types)]
    for index, word in enumerate(words):
        program = (word.literal or "").rpartition("/")[2]
        for interpreter in _INTERPRETERS:
            if re.fullmatch(interpreter.program, program):
                for code in _codes_after(interpreter, words[index + 1 :]):
                    yield _Code(code, interpreter, program)


def _is_flag(word: Word, types: Mapping[str, str]) -> bool:
    return word.lone is not None and types.get(word.lone.name) == "flag"


def _codes_after(interpreter: _Interpreter, words: Iterable[Word]) -> Iterator[Word]:
    """Find the code words among an interpreter's arguments, up to its script."""
    code_is_next = value_is_next = False
    for word in words:
        start = word.parts[0].text if isinstance(word.parts[0], Text) else ""
        option = re.match(interpreter.code_option, start)
        if value_is_next:
            value_is_next = False
        elif option and (len(word.parts) > 1 or option.end() < len(start)):
            yield word  # perl -e'...'
        elif option:
            code_is_next = True
            value_is_next = bool(re.fullmatch(interpreter.valued_option, start))
        elif re.fullmatch(interpreter.valued_option, start):
            value_is_next = True
        elif start[:1] in ("-", "+") and len(start) > 1:
            continue
        elif code_is_next:
            yield word
            code_is_next = False
            if not interpreter.takes_more:
                return
        else:
            return


def _variables_in_code(codes: Iterable[_Code], types: Mapping[str, str]) -> Iterator[Located]:
    """Refuse {name} in code: a value such as $(rm ...) would run. The environment is safe."""
    for code in codes:
        places = dict.fromkeys(_literal_names(code.text) & types.keys(), code.word.offset)
        for reference in code.word.references:
            places.setdefault(reference.name, reference.offset)
        for name, offset in places.items():
            message = f"{braced(name)} cannot be used in {code.program} code"
            hint = "use single quotes; it is not a variable"
            if name in types:
                hint = _how_code_reads(name, types[name], code.interpreter)
            yield offset, Problem("", message, hint)


def _how_code_reads(name: str, type_: str, interpreter: _Interpreter) -> str:
    """Explain how code reads a variable. In the environment, a list is one shell-quoted string."""
    if type_ in ("files", "args"):
        after = f"{interpreter.first_argument} {braced(name)}".lstrip()
        start = f"write {interpreter.arguments} in the code"
        return f"{start}, put the code in single quotes, and add {after} after it"
    read = interpreter.variable.replace("NAME", environment_name(name))
    if type_ == "flag":
        return f"compare {read} with the text true in the code, and put the code in single quotes"
    return f"write {read} in the code, and put the code in single quotes"


def _typos_in_code(codes: Iterable[_Code], types: Mapping[str, str]) -> Iterator[Located]:
    """Warn about $plte if the variable is $plate: a shell would continue with an empty value."""
    known = {environment_name(name) for name in types}
    not_typos = known | RESERVED_NAMES | SHELL_NAMES
    for code in codes:
        if code.interpreter is _SHELL:
            own = set(re.findall(_ANY_WORD, re.sub(_SHELL.use, "", code.text)))
            for name in sorted(_SHELL.names(code.text) - own - not_typos):
                if suggestion := closest(name, known):
                    message = f"unknown variable ${name}"
                    hint = f"did you mean ${suggestion}?"
                    yield code.word.offset, Problem("", message, hint, warning=True)


def _literal_names(text: str) -> set[str]:
    """Find names written as {name}, but not as ${name}."""
    return set(re.findall(r"(?<!\$)\{(NAME)\}".replace("NAME", NAME_PATTERN), text))


# === jobs/output_prefix.py


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


# === jobs/outputs.py


@dataclass(frozen=True)
class OutputFile:
    """An output file: its path relative to the output folder or prefix, and its size in bytes."""

    path: str
    size: int


@dataclass(frozen=True)
class OutputRule:
    """The settings EXPECTED_NUMBER_FILES, MIN_FILE_SIZE_BYTES and NECESSARY_STRING."""

    expected_number_files: int = 1
    min_file_size_bytes: int = 1
    necessary_string: str = ""

    def counts(self, file: OutputFile) -> bool:
        """Return whether a file is large enough and its path contains the necessary string."""
        return file.size >= self.min_file_size_bytes and self.necessary_string in file.path

    def missing(self, files: Iterable[OutputFile]) -> str | None:
        """Explain why a job's outputs are not complete; return None if they are."""
        files = list(files)
        found = sum(map(self.counts, files))
        if found >= self.expected_number_files:
            return None
        named = f" and {self.necessary_string!r} in the name" if self.necessary_string else ""
        return (
            f"output files are missing: expected {self.expected_number_files} of at least "
            f"{self.min_file_size_bytes} bytes{named}, found {found} (of {len(files)} written)"
        )

    def already_done(self, files: Iterable[OutputFile]) -> bool:
        """Return whether a job with these files can be skipped; never if no files are expected."""
        return self.expected_number_files > 0 and self.missing(files) is None


# === jobs/settings.py


LONGEST_JOB_MINUTES = 660
"""SQS hides a message for at most 12 hours ("Amazon SQS visibility timeout"), so a longer job would
start a second time."""

MACHINE_TYPE_PATTERN = r"[a-z][a-z0-9-]*\.[a-z0-9-]+"

_PATH = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
IMAGE_NAME = re.compile(
    rf"(?:[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]+)?/)?{_PATH}(?:/{_PATH})*"
    r"(?P<tag>:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?P<digest>@sha256:[0-9a-f]{64})?"
)
"""The name of an image, at most 255 characters long ("Docker image reference grammar")."""


def setting(default: Any, doc: str, *, unit: str = "", **limits: Any) -> Any:
    """Declare a setting; use `...` as the default if config.py must set it.

    `doc` is its line in docs/settings.md. `limits` are arguments of pydantic's `Field`: ge, gt, le,
    pattern, min_length.
    """
    metadata = {"doc": doc, "unit": unit, "limits": limits}
    if default is ...:
        return field(metadata=metadata)
    if isinstance(default, list | dict):
        return field(default_factory=lambda: copy(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class JobSettings:
    """The settings that a worker needs; `program` has all other upper-case names in config.py."""

    APP_NAME: str = setting(
        ..., "Name of the run and of everything it creates", pattern=r"^[A-Za-z][A-Za-z0-9-]{0,39}$"
    )
    AWS_BUCKET: str = setting(
        "your-bucket-name",
        "Bucket of the inputs, outputs and logs",
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
    )
    LOG_GROUP_NAME: str = setting(
        "", "CloudWatch log group; APP_NAME if empty", pattern=r"^[A-Za-z0-9_/.#-]{0,500}$"
    )

    DOCKER_CORES: int = setting(1, "Jobs that run at a time in one container", ge=1, le=256)
    CPUS_PER_JOB: int = setting(1, "CPU cores of each job", ge=1, le=192)
    WORKING_FOLDER: str = setting(
        "",
        "Working directory of the command: '' for a new one, 'image' for the image's, or a path",
        pattern=r"^(|image|/.*)$",
    )

    JOB_TIMEOUT_MINUTES: float = setting(
        60, "Maximum duration of the command", unit="minutes", gt=0, le=LONGEST_JOB_MINUTES
    )
    JOB_RETRIES: int = setting(3, "Attempts before a failing job is dead", ge=1, le=100)
    CHECK_IF_DONE_BOOL: bool = setting(False, "Skip jobs whose outputs already exist")
    EXPECTED_NUMBER_FILES: int = setting(
        1, "Minimum number of output files per job (fewer = failed)", ge=0
    )
    MIN_FILE_SIZE_BYTES: int = setting(1, "Smaller files do not count", unit="bytes", ge=0)
    NECESSARY_STRING: str = setting("", "Only files with this text in their name count")

    program: Mapping[str, Value] = field(
        default_factory=dict, metadata={"variable": "DS_CONFIG_VARIABLES"}
    )

    @property
    def record_group(self) -> str:
        """The log group for the records."""
        return f"{self.LOG_GROUP_NAME}_records"

    @property
    def output_rule(self) -> OutputRule:
        """The rule that decides whether a job's outputs are complete."""
        return OutputRule(
            self.EXPECTED_NUMBER_FILES, self.MIN_FILE_SIZE_BYTES, self.NECESSARY_STRING
        )


@dataclass(frozen=True, kw_only=True)
class Settings(JobSettings):
    """All settings of a run, and `warnings` about values that are probably not intended."""

    DOCKERHUB_TAG: str = setting("", "Image of the program with the worker", pattern=r"^\S*$")

    AWS_REGION: str = setting(
        "us-east-1", "AWS region for everything", pattern=r"^[a-z]{2}(-[a-z]+)+-\d$"
    )
    AWS_PROFILE: str = setting("default", "Your AWS CLI profile")

    CLUSTER_MACHINES: int = setting(1, "Number of machines", ge=1, le=10_000)
    TASKS_PER_MACHINE: int = setting(1, "Containers on each machine", ge=1, le=100)
    MACHINE_TYPE: Sequence[str] = setting(
        ["m6i.large", "m6a.large", "m5.large"],
        "EC2 instance types to choose from; more types mean fewer interruptions",
        min_length=1,
    )
    MACHINE_PRICE: float | None = setting(
        None,
        "Maximum spot price per machine; None caps it at the on-demand price",
        unit="$/hour",
        gt=0,
    )
    EBS_VOL_SIZE: int = setting(40, "Disk of each machine", unit="GB", ge=8, le=16_384)
    MAX_HOURS: float = setting(72, "Maximum lifetime of each machine", unit="hours", gt=0, le=8760)
    MEMORY: int = setting(4000, "Memory of the container", unit="MB", ge=6, le=25_000_000)
    GPUS: int = setting(0, "GPUs of the container", ge=0, le=16)
    SECRETS: Mapping[str, str] = setting(
        {}, "Secrets of the program: environment variable and its ARN in Secrets Manager or SSM"
    )

    warnings: tuple[Problem, ...] = ()


SETTINGS = {item.name: item for item in fields(Settings) if item.name.isupper()}
"""The settings by name."""

NEEDLESS = {
    "SQS_MESSAGE_VISIBILITY": "the worker extends the visibility timeout while a job runs",
    "SECONDS_TO_START": "all jobs of a container start at once; use sleep in the command if needed",
    "SQS_QUEUE_NAME": "queues are named after APP_NAME",
    "SQS_DEAD_LETTER_QUEUE": "queues are named after APP_NAME",
    "ECS_CLUSTER": "every run has its own cluster",
    "CPU_SHARES": "it is computed from DOCKER_CORES and CPUS_PER_JOB",
    "SSH_KEY_NAME": "use key_name in files/exampleFleet.json, without .pem",
    "ASSIGN_IP": "use public_address in files/exampleFleet.json",
    "AUTO_MONITOR": "every run is monitored until everything is deleted",
    "CREATE_DASHBOARD": "DS does not create dashboards",
    "CLEAN_DASHBOARD": "DS does not create dashboards",
}
"""Settings of Distributed-Something that have no effect in DS, each with the reason."""

INSTEAD = {
    "SOURCE_BUCKET": "inputs are keys in AWS_BUCKET, or s3://bucket/key, in the job file",
    "WORKSPACE_BUCKET": "inputs are keys in AWS_BUCKET, or s3://bucket/key, in the job file",
    "DESTINATION_BUCKET": "outputs are uploaded to AWS_BUCKET",
    "UPLOAD_FLAGS": "outputs are uploaded without flags",
    "DOWNLOAD_FILES": "inputs are always downloaded",
    "SCRIPT_DOWNLOAD_URL": "a script is a shared variable of type file, or part of the image",
}
"""Settings of individual Distributed-Something implementations, and what DS does instead."""

SETTING_NAMES = (*SETTINGS, *NEEDLESS)
"""All names that the program's settings cannot have."""


def limits_of(name: str) -> Mapping[str, Any]:
    """Return the limits of a setting, as passed to `setting`."""
    limits: Mapping[str, Any] = SETTINGS[name].metadata["limits"]
    return limits


# === hooks/answers.py


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


# {% endraw %}

# === hooks/refuse.py


# Cookiecutter renders only this expression; the answers arrive as data, never as code.
CONTEXT = json.loads({{ '%r'|format(cookiecutter|jsonify) }})  # type: ignore  # fmt: skip  # noqa: F821
UNDER_CRUFT = "_commit" in CONTEXT


def main() -> int:
    """Report all problems on stderr, and return the exit code: 1 if answers are refused."""
    problems = check_answers(CONTEXT, updating=UNDER_CRUFT)
    refused = [problem for problem in problems if not problem.warning]
    warnings = [problem for problem in problems if problem.warning]
    if refused:
        write_lines("", "Refused. Nothing was written:", *(f"  {problem}" for problem in refused))
    if warnings:
        write_lines("", "Warnings:", *(f"  {problem}" for problem in warnings))
    if refused:
        write_lines("", *how_to_try_again(output_folder()))
        write_lines("", "(cookiecutter's own error follows.)", "")
    return 1 if refused else 0


def write_lines(*lines: str) -> None:
    """Write lines to stderr, with control characters escaped."""
    for line in lines:
        safe = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
        sys.stderr.write(safe + "\n")


def output_folder() -> Path:
    """Return the output folder, or its parent if cookiecutter is about to delete that folder."""
    project = Path.cwd()
    folder = Path(CONTEXT.get("_output_dir", project.parent)).resolve()
    return project.parent if folder.is_relative_to(project) else folder


def how_to_try_again(folder: Path) -> list[str]:
    """Save the answers in a file, and return lines that explain how to use the file."""
    if UNDER_CRUFT:
        command = """cruft update --variables-to-update '{"QUESTION": "ANSWER"}'"""
        return ["Change the answers; in an implementation run:", "", f"  {command}"]
    try:
        file = write_new_file(folder, answers_file(CONTEXT))
    except OSError as error:
        return [f"Your answers could not be saved: {error}"]
    words = ["cookiecutter", CONTEXT["_template"]]
    if CONTEXT["_checkout"]:
        words += ["--checkout", CONTEXT["_checkout"]]
    if os.environ.get("PWD") != str(folder):
        words += ["--output-dir", str(folder)]
    words += ["--config-file", str(file)]
    return [
        f"Your answers are saved in {file.name}. Correct them there, then run:",
        "",
        f"  {shlex.join(words)}",
    ]


def write_new_file(folder: Path, text: str) -> Path:
    """Write a file with the first unused name, because users may have edited existing files."""
    number = 1
    while True:
        file = folder / f"answers{f'-{number}' if number > 1 else ''}.yaml"
        try:
            with file.open("x", encoding="utf-8") as stream:
                stream.write(text)
        except FileExistsError:
            if file.is_file() and file.read_text(encoding="utf-8", errors="replace") == text:
                return file
            number += 1
        else:
            return file


if __name__ == "__main__":
    sys.exit(main())
