"""Refuse answers that cannot become a working repository, before anything is written.

Written by `make hooks` out of the engine's modules and hooks/refuse.py: edit those.
"""

# {% raw %} Code of the engine, which cookiecutter does not render:
import hashlib
import json
import math
import os
import re
import shlex
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

SETTING_NAMES = (
    "APP_NAME",
    "AWS_BUCKET",
    "LOG_GROUP_NAME",
    "DOCKER_CORES",
    "CPUS_PER_JOB",
    "WORKING_FOLDER",
    "JOB_TIMEOUT_MINUTES",
    "JOB_RETRIES",
    "CHECK_IF_DONE_BOOL",
    "EXPECTED_NUMBER_FILES",
    "MIN_FILE_SIZE_BYTES",
    "NECESSARY_STRING",
    "DOCKERHUB_TAG",
    "AWS_REGION",
    "AWS_PROFILE",
    "CLUSTER_MACHINES",
    "TASKS_PER_MACHINE",
    "MACHINE_TYPE",
    "MACHINE_PRICE",
    "EBS_VOL_SIZE",
    "MAX_HOURS",
    "MEMORY",
    "GPUS",
    "SECRETS",
    "SQS_MESSAGE_VISIBILITY",
    "SECONDS_TO_START",
    "SQS_QUEUE_NAME",
    "SQS_DEAD_LETTER_QUEUE",
    "ECS_CLUSTER",
    "CPU_SHARES",
    "SSH_KEY_NAME",
    "ASSIGN_IP",
    "AUTO_MONITOR",
    "CREATE_DASHBOARD",
    "CLEAN_DASHBOARD",
)


# === jobs/problems.py


@dataclass(frozen=True)
class Problem:
    """One mistake, as a person reads it: "{where}: {what}; {todo}".

    Args:
        where: the place, e.g. "job.py, COMMAND, column 14"; "" if the caller adds it by `at`.
        what: what is wrong, without a final period.
        todo: what to do about it, without a final period.
        warning: true if it may be meant so; nothing is refused for it.
    """

    where: str
    message: str
    hint: str
    warning: bool = False

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.message}; {self.hint}"


class BadInput(Exception):
    """What a person wrote cannot be used. Holds every problem found, not only the first."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


def at(problems: Iterable[Problem], where: str) -> list[Problem]:
    """The problems with their place inside `where`: "column 3" in "job.py, COMMAND, column 3"."""
    return [
        replace(problem, where=", ".join(place for place in (where, problem.where) if place))
        for problem in problems
    ]


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` may be a slip of, or None. Case, "-" and "_" do not count."""
    folded = {_folded(other): other for other in known}
    matches = get_close_matches(_folded(name), folded, n=1, cutoff=0.7)
    return folded[matches[0]] if matches else None


def _folded(name: str) -> str:
    return name.casefold().replace("-", "_")


# === jobs/variables.py


Value = str | int | float | bool | None | list[str]

TYPES = ("text", "file", "files", "folder", "args", "flag")
BUILT_IN = ("output_dir", "work_dir", "job_id", "cores", "job_json")

NAME_PATTERN = "[A-Za-z_][A-Za-z0-9_-]*"

RESERVED_NAMES = frozenset(
    [*BUILT_IN, "group", "groups", "PATH", "HOME", "USER", "SHELL", "IFS", "TMPDIR"]
)
RESERVED_PREFIXES = ("LD_", "PYTHON", "AWS_", "ECS_", "DS_")

# Bash sets these itself: `$SECONDS` in a script would never be the job's value.
SHELL_NAMES = frozenset(
    "_ BASH BASHOPTS BASHPID BASH_ENV BASH_VERSION EPOCHREALTIME EPOCHSECONDS HISTCMD LINENO"  # noqa: SIM905
    " OLDPWD OPTERR OPTIND PPID PS4 PWD RANDOM SECONDS SHELLOPTS SHLVL SRANDOM".split()
)

MAX_KEY_BYTES = 1024  # of S3

# Unicode's categories Cc and Cs, which never change; asking unicodedata for each character is slow.
_CONTROL = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff]")
_UNFIT = re.compile("[\0\ud800-\udfff]")


def braced(name: str) -> str:
    """The name as it is written in a command: {name}."""
    return "{" + name + "}"


def environment_name(name: str) -> str:
    """The name as the job's environment has it: "-" becomes "_"."""
    return name.replace("-", "_")


def name_problem(name: str) -> str | None:
    """Why this cannot be the name of a variable, and what to do, in one sentence; else None."""
    in_environment = environment_name(name)
    if not re.fullmatch(NAME_PATTERN, name):
        return "a name has letters, digits, _ and -, and begins with a letter or _"
    if "_comment" in name:
        return "job files ignore every key with _comment in it, choose another name"
    if in_environment in BUILT_IN:
        return "this name is built in, choose another one"
    if in_environment in RESERVED_NAMES or in_environment.startswith(RESERVED_PREFIXES):
        return "this name is reserved, choose another one"
    if in_environment in SHELL_NAMES:
        return "shells set this name themselves, choose another one"
    return None


def name_clashes(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of different names that are one in the environment: ("a-b", "a_b")."""
    first: dict[str, str] = {}
    pairs = []
    for name in names:
        other = first.setdefault(environment_name(name), name)
        if other != name:
            pairs.append((other, name))
    return pairs


def as_text(value: str | int | float | bool) -> str:
    """The value as a program gets it: text as it is, numbers and true, false as JSON has them."""
    return value if isinstance(value, str) else json.dumps(value)


def from_text(text: str, type_: str) -> Value:
    """The value that a CSV cell, or an example in an answer, stands for.

    Raises:
        ValueError: the text is no value of that type; its message says why.
    """
    if type_ == "flag" and text:
        if text.strip().lower() not in ("true", "false"):
            raise ValueError("must be true or false")
        return text.strip().lower() == "true"
    if type_ == "files" and text:
        keys = [key.strip() for key in text.split(",")]
        if "" in keys:
            raise ValueError("has nothing between two commas, or at an end")
        return keys
    return text


def is_empty(value: Value) -> bool:
    """Whether the value leaves out its bracket: "", null, false and []; never 0."""
    return value is None or value is False or value in ("", [])


def split_args(text: str) -> list[str]:
    """The arguments that a value of type `args` stands for, split by shell quoting.

    Raises:
        ValueError: a quote is not closed, or the text ends with a backslash.
    """
    return shlex.split(text)


def split_key(value: str, bucket: str) -> tuple[str, str]:
    """Bucket and key of a value: "s3://other/a/b" -> ("other", "a/b"), "a/b" -> (bucket, "a/b")."""
    if not value.startswith("s3://"):
        return bucket, value
    other, _, key = value.removeprefix("s3://").partition("/")
    return other, key


def control_character(text: str, allowed: str = "") -> int | None:
    """Where the first control character or lone surrogate is that is not allowed; else None."""
    found = (place.start() for place in _CONTROL.finditer(text) if place[0] not in allowed)
    return next(found, None)


def value_problem(value: object, type_: str) -> str | None:
    """Why a job file's value does not fit its variable's type ("must be ..."); else None.

    An empty value (null, "", [] for files) fits every type: whether it may be empty is decided by
    where the command uses it.
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
    if not math.isfinite(value):
        return "must be a finite number"
    return None


def _args_problem(value: object) -> str | None:
    if not isinstance(value, str):
        return "must be text, which is split as in a shell"
    try:
        split_args(value)
    except ValueError:
        return "must be text that a shell can split, but a quote or backslash is left open"
    return _characters_problem(value)


def _files_problem(value: object) -> str | None:
    if not isinstance(value, list):
        return "must be a list of keys"
    for key in value:
        if problem := "must not be empty" if key == "" else _key_problem(key, "file"):
            return f"{problem} (in its list: {key!r})"
    return None


def _key_problem(value: object, type_: str) -> str | None:
    if not isinstance(value, str):
        return "must be text: a key of the bucket, or s3://bucket/key"
    bucket, key = split_key(value, "the run's own")
    if not bucket or (not key and type_ == "file"):
        return "must be a key of the bucket, or s3://bucket/key"
    if key.startswith("/"):
        return "must not begin with /, a key has no root"
    if not {".", ".."}.isdisjoint(key.split("/")):
        return "must not have . or .. as a folder"
    if type_ == "file" and key.endswith("/"):
        return "must be one file, but ends with /"
    if problem := _characters_problem(value):
        return problem
    if len(key.encode()) > MAX_KEY_BYTES:
        return f"must not be longer than {MAX_KEY_BYTES} bytes"
    return None


def _characters_problem(text: str) -> str | None:
    found = _UNFIT.search(text)
    if found is None:
        return None
    if found[0] == "\0":
        return "must not hold a NUL character"
    return "must not hold half a character (a lone surrogate)"


# === jobs/command.py


# --- What a command is ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Text:
    """Literal text. `quote` is "'" or '"', a backslash for an escaped character, "" for none."""

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
    """One word of the command: one argument, but for variables that are several or none."""

    parts: tuple[Text | Reference, ...]
    offset: int

    @cached_property
    def references(self) -> list[Reference]:
        return [part for part in self.parts if isinstance(part, Reference)]

    @property
    def texts(self) -> list[Text]:
        return [part for part in self.parts if isinstance(part, Text)]

    @cached_property
    def literal(self) -> str | None:
        """The word's text where no variable is in it, else None."""
        return None if self.references else "".join(part.text for part in self.texts)

    @cached_property
    def lone(self) -> Reference | None:
        """The variable that is the whole word, unquoted; else None."""
        (part, *others) = self.parts
        return part if isinstance(part, Reference) and not part.quote and not others else None


@dataclass(frozen=True)
class Bracket:
    """`[...]`: words that are left out together when a variable in them is empty."""

    words: tuple[Word, ...]
    offset: int

    @cached_property
    def names(self) -> set[str]:
        return {reference.name for word in self.words for reference in word.references}


@dataclass(frozen=True)
class Command:
    """A command that `parse` accepted."""

    text: str
    items: tuple[Word | Bracket, ...]

    @property
    def words(self) -> list[Word]:
        """All words in order, with those in brackets."""
        return [word for item in self.items for word in _words_of(item)]


def _words_of(item: Word | Bracket) -> tuple[Word, ...]:
    return item.words if isinstance(item, Bracket) else (item,)


# --- Problems at a place of the text --------------------------------------------------------------


@dataclass(frozen=True, order=True)
class _Finding:
    offset: int
    message: str
    hint: str
    warning: bool = False


def _told(text: str, findings: Iterable[_Finding]) -> list[Problem]:
    """The findings as problems, in the order of their places."""
    return [
        Problem(_place(text, finding.offset), finding.message, finding.hint, finding.warning)
        for finding in sorted(findings)
    ]


def _place(text: str, offset: int) -> str:
    """ "column 14", or "line 2, column 3"; both count from 1."""
    line = text.count("\n", 0, offset) + 1
    column = offset - text.rfind("\n", 0, offset)
    return f"column {column}" if "\n" not in text.strip() else f"line {line}, column {column}"


# --- From text to words ---------------------------------------------------------------------------

_ENVIRONMENT_NAME = "[A-Za-z_][A-Za-z0-9_]*"

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
    """.replace("NAME", NAME_PATTERN).replace("SHELL", _ENVIRONMENT_NAME),
    re.VERBOSE | re.DOTALL,
)

_INSIDE_DOUBLE_QUOTES = re.compile(
    r"""
      (?P<joined>    \\\r?\n )
    | (?P<escaped>   \\[$`"\\] )
    | (?P<reference> \{NAME\} )
    | (?P<operator>  \$\{SHELL\} | \$SHELL | \$[({0-9?@*!$#-] | ` )
    | (?P<text>      [^\\{$`]+ | . )
    """.replace("NAME", NAME_PATTERN).replace("SHELL", _ENVIRONMENT_NAME),
    re.VERBOSE | re.DOTALL,
)

_BLANKS = " \t\r\n"
_ENDS_WORD = re.compile(r"[ \t\r\n]|\\\r?\n|\Z")
_TEXT_IN_BRACKETS = re.compile(r"\[[^][{}'\"\\ \t\r\n]*\]")
_ASSIGNMENT = re.compile(_ENVIRONMENT_NAME + r"\+?=")

_USE_SHELL = "write bash -c '...' with \"$name\" for a variable, or quote it if it is text"


def parse(text: str) -> Command:
    """Read a command.

    Raises:
        BadInput: every problem with its column; no other exception, whatever the text.
    """
    scanner = _Scanner(text)
    scanner.scan()
    command = Command(text, tuple(scanner.items))
    findings = scanner.findings or [*_no_program(command), *_idle_brackets(command)]
    if findings:
        raise BadInput(_told(text, findings))
    return command


class _Scanner:
    """Reads the text once, from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.items: list[Word | Bracket] = []
        self.findings: list[_Finding] = []
        self.parts: list[Text | Reference] | None = None  # of the word being read
        self.word_offset = 0
        self.bracket: list[Word] | None = None  # words of the bracket being read
        self.bracket_offset = 0
        self.closers: list[str] = []  # what ends a $( or ` that was refused already
        self.brackets_refused = False  # in this word: told once
        self.refused_openings = 0  # not closed yet

    def scan(self) -> None:
        index = control_character(self.text, allowed="\t\r\n")
        if index is not None:
            self.refuse(index, f"has a control character ({self.text[index]!r})", "remove it")
            return
        for token in _OUTSIDE_QUOTES.finditer(self.text):
            self.read(token.lastgroup, token.group(), token.start())
        self.end_word()
        if self.bracket is not None:
            self.refuse(self.bracket_offset, "[ is never closed", "close it, or write it in quotes")

    def read(self, kind: str | None, token: str, offset: int) -> None:
        match kind:
            case "blank":
                self.end_word()
            case "joined":
                pass
            case "escaped":
                self.add(Text(token[1], "\\", offset))
            case "single":
                self.add(Text(token[1:-1], "'", offset))
            case "double":
                self.double_quoted(token[1:-1], offset)
            case "unclosed":
                self.unclosed(token[0], offset)
            case "reference":
                self.add(Reference(token[1:-1], "", offset))
            case "opening":
                self.opening(offset)
            case "closing":
                self.closing(offset)
            case "hash":
                self.hash(offset)
            case "operator":
                self.operator(token, offset)
            case _:
                self.add(Text(token, "", offset))

    def refuse(self, offset: int, message: str, hint: str) -> None:
        self.findings.append(_Finding(offset, message, hint))

    def add(self, part: Text | Reference) -> None:
        """Put a part to the word, which begins here if none does; join it to text like it."""
        if self.parts is None:
            self.parts, self.word_offset = [], part.offset
        last = self.parts[-1] if self.parts else None
        if isinstance(part, Text) and isinstance(last, Text) and last.quote == part.quote:
            self.parts[-1] = Text(last.text + part.text, last.quote, last.offset)
        else:
            self.parts.append(part)

    def end_word(self) -> None:
        self.brackets_refused = False
        if self.parts is None:
            return
        word = Word(tuple(self.parts), self.word_offset)
        self.parts = None
        if self.bracket is None:
            self.items.append(word)
        else:
            self.bracket.append(word)

    def double_quoted(self, inside: str, offset: int) -> None:
        self.add(Text("", '"', offset))
        for token in _INSIDE_DOUBLE_QUOTES.finditer(inside):
            place = offset + 1 + token.start()
            match token.lastgroup:
                case "joined":
                    pass
                case "escaped":
                    self.add(Text(token.group()[1], '"', place))
                case "reference":
                    self.add(Reference(token.group()[1:-1], '"', place))
                case "operator":
                    self.operator(token.group(), place, '"')
                case _:
                    self.add(Text(token.group(), '"', place))

    def unclosed(self, character: str, offset: int) -> None:
        if character == "\\":
            self.refuse(offset, "a backslash ends the command", "remove it, or double it")
        else:
            self.refuse(
                offset,
                f"the quote {character} is never closed",
                f"close it, or write \\{character} if it is text",
            )

    def hash(self, offset: int) -> None:
        if self.parts is None:
            self.refuse(offset, "# begins a comment in a shell", "remove it, or write it in quotes")
        self.add(Text("#", "", offset))

    def operator(self, token: str, offset: int, quote: str = "") -> None:
        self.add(Text(token, quote, offset))
        if token in self.closers:
            self.closers.remove(token)
            return
        if token[-1] in "(`":
            self.closers.append(")" if token[-1] == "(" else "`")
        where = "in double quotes" if quote else "unquoted"
        name = token.strip("${}")
        if re.fullmatch(_ENVIRONMENT_NAME, name):
            hint = f"write {braced(name)} for a variable, or single quotes if it is text or code"
        elif quote:
            hint = "write it in single quotes, or a backslash before it"
        else:
            hint = _USE_SHELL
        self.refuse(offset, f"{token} {where} needs a shell, and none runs", hint)

    def opening(self, offset: int) -> None:
        text = _TEXT_IN_BRACKETS.match(self.text, offset)
        if self.parts is not None:
            self.no_bracket(offset, "[ inside a word is not an optional part")
        elif text:
            message = f"{text.group()} has no variable, so it is not an optional part"
            self.no_bracket(offset, message)
        elif self.bracket is not None:
            self.no_bracket(offset, "[ inside another [ ] is not an optional part")
        else:
            self.bracket, self.bracket_offset = [], offset

    def closing(self, offset: int) -> None:
        if self.refused_openings or self.bracket is None:
            self.no_bracket(offset, "] closes nothing")
        else:
            if not _ENDS_WORD.match(self.text, offset + 1):
                self.refuse(
                    offset, "] must end a word", "put a blank after it, or write it in quotes"
                )
            self.end_word()
            self.items.append(Bracket(tuple(self.bracket), self.bracket_offset))
            self.bracket = None

    def no_bracket(self, offset: int, message: str) -> None:
        """Refuse a bracket, but neither the others of its word nor the one that closes it."""
        sign = self.text[offset]
        if not (self.brackets_refused or (sign == "]" and self.refused_openings)):
            self.refuse(offset, message, "write the word in quotes if it is text")
        self.brackets_refused = True
        self.refused_openings = max(0, self.refused_openings + (1 if sign == "[" else -1))
        self.add(Text(sign, "", offset))


def _no_program(command: Command) -> Iterator[_Finding]:
    """The first word that is always there is the program; what stands before it may be one too."""
    if not command.items:
        yield _Finding(0, "the command is empty", "write the program and its arguments")
    elif all(isinstance(item, Bracket) for item in command.items):
        yield _Finding(0, "every part is optional", "take the program out of the brackets")
    for item in command.items:
        for word in _words_of(item)[:1]:
            first = word.parts[0]
            text = first.text if isinstance(first, Text) and not first.quote else ""
            if assignment := _ASSIGNMENT.match(text):
                message = f"{assignment[0]}... needs a shell, and none runs"
                yield _Finding(word.offset, message, "write env before it")
        if isinstance(item, Word):
            return


def _idle_brackets(command: Command) -> Iterator[_Finding]:
    for item in command.items:
        if isinstance(item, Bracket) and item.names <= set(BUILT_IN):
            message = "[ ] has no variable that can be empty, so it is not an optional part"
            yield _Finding(
                item.offset, message, "write it in quotes if it is text, else without [ ]"
            )


# --- Against the variables ------------------------------------------------------------------------


def names(command: Command) -> set[str]:
    """Every name that the command refers to as {name}, built-in ones too."""
    return {reference.name for word in command.words for reference in word.references}


def mentioned(command: Command) -> set[str]:
    """Environment names that code in the command uses: $name, ${name}; any word of other code."""
    return {name for code in _codes(command, {}) for name in code.language.names(code.text)}


def check_command(command: Command, variables: Mapping[str, str]) -> list[Problem]:
    """What is wrong with a command, given the variables and their types; warnings too.

    Args:
        command: from `parse`.
        variables: type by name, without the built-in ones.
    """
    types = {**dict.fromkeys(BUILT_IN, "text"), **variables}
    codes = list(_codes(command, types))
    code_words = [code.word for code in codes]
    findings = [
        *_unknown(command, types, code_words),
        *_misplaced(command, types, code_words),
        *_variables_in_code(codes, types),
        *_slips_in_code(codes, types),
        *_looks_meant(command, types, code_words),
    ]
    return [*_told(command.text, findings), *_no_output(command)]


def check_unused(
    command: Command, variables: Iterable[str], also_used: Collection[str] = ()
) -> list[Problem]:
    """A warning for each variable that neither the command nor `also_used` names.

    A script of the program's image may still read it from the environment. {job_json} uses all.
    """
    used = names(command) | set(also_used)
    in_code = mentioned(command)
    if "job_json" in used | in_code:
        return []
    return [
        Problem(
            "",
            f"{braced(name)} is never used",
            f"use it or remove it, unless the program reads ${environment_name(name)}",
            warning=True,
        )
        for name in variables
        if name not in used and environment_name(name) not in in_code
    ]


def _no_output(command: Command) -> Iterator[Problem]:
    if {"output_dir", "job_json"}.isdisjoint(names(command) | mentioned(command)):
        hint = "only what lies in {output_dir} is kept: tell the program to write there"
        yield Problem("", "{output_dir} is never used", hint, warning=True)


def _unknown(
    command: Command, types: Mapping[str, str], code_words: Collection[Word]
) -> Iterator[_Finding]:
    for word in command.words:
        for reference in word.references if word not in code_words else ():
            if reference.name not in types:
                suggestion = closest(reference.name, types)
                hint = "make it a variable, or write it in single quotes if it is text"
                if suggestion:
                    hint = f"did you mean {braced(suggestion)}?"
                message = f"{braced(reference.name)} is not a variable"
                yield _Finding(reference.offset, message, hint)


def _misplaced(
    command: Command, types: Mapping[str, str], code_words: Collection[Word]
) -> Iterator[_Finding]:
    for item in command.items:
        for word in _words_of(item):
            if word in code_words:
                continue
            for reference in word.references:
                type_ = types.get(reference.name, "text")
                message = f"{braced(reference.name)} of type {type_}"
                if type_ == "flag" and isinstance(item, Word):
                    message += " only decides whether a [ ] is there"
                    hint = f"write [--option {braced(reference.name)}]"
                    yield _Finding(reference.offset, message, hint)
                elif type_ in ("files", "args", "flag") and reference != word.lone:
                    message += " must be a word of its own, without quotes"
                    yield _Finding(reference.offset, message, "put blanks around it")


def _looks_meant(
    command: Command, types: Mapping[str, str], code_words: Collection[Word]
) -> Iterator[_Finding]:
    """Warnings: text that stays as it is, where a person probably expected something else."""
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


def _quoted_names(text: Text, types: Mapping[str, str]) -> Iterator[_Finding]:
    for name in sorted(_literal_names(text.text) & types.keys()):
        message = f"{braced(name)} in single quotes stays text"
        hint = "write it in double quotes if its value is meant"
        yield _Finding(text.offset, message, hint, warning=True)


def _formats(text: Text, types: Mapping[str, str]) -> Iterator[_Finding]:
    for found in re.finditer(r"\{\s*(NAME)\b[^{}]*\}?".replace("NAME", NAME_PATTERN), text.text):
        if found[1] in types:
            hint = f"write {braced(found[1])}"
            yield _Finding(text.offset, f"{found[0]} stays text", hint, warning=True)


def _expansions(text: Text, begins_word: bool) -> Iterator[_Finding]:
    found = re.search(r"[*?]|\{[^{}]*(?:,|\.\.)[^{}]*\}", text.text)
    if found is None and begins_word:
        found = re.match("~", text.text)
    if found:
        message = f"{found[0]} stays as it is, since no shell runs to expand it"
        hint = "write it in quotes if that is meant, else bash -c '...'"
        yield _Finding(text.offset, message, hint, warning=True)


# Word processors and web pages write these for ' " - and a blank.
_TYPOGRAPHIC = re.compile(
    "[\u2018\u2019\u201a\u201c\u201d\u201e\u00a0\u2002-\u200b\u202f\u2010-\u2015\u2212]"
)


def _typography(text: Text) -> Iterator[_Finding]:
    if found := _TYPOGRAPHIC.search(text.text):
        message = (
            f"{found[0]} (U+{ord(found[0]):04X}) is no quote, hyphen or blank of a command line"
        )
        hint = "write the plain one, or put it in quotes if it is text"
        yield _Finding(text.offset, message, hint, warning=True)


# --- Code for an interpreter ----------------------------------------------------------------------


@dataclass(frozen=True)
class _Language:
    """How an interpreter is given code, and how that code reads an environment variable."""

    program: str  # pattern of the program's base name
    code_option: str  # pattern of the option that says: code follows (in the same word, or next)
    valued_option: str  # pattern of options whose value is the next word
    variable: str  # how the code reads NAME
    arguments: str  # how it reads what follows it
    first_argument: str  # what must stand there first
    use: str  # pattern of a name in use
    takes_more: bool = False  # after the code, more options with code may follow

    def names(self, code: str) -> set[str]:
        return set(re.findall(self.use, code))


_ANY_WORD = f"({_ENVIRONMENT_NAME})"

_SHELL = _Language(
    "bash|sh|zsh|dash|ksh",
    "-[A-Za-z]*c[A-Za-z]*",
    "[-+][A-Za-z]*[oO]|--rcfile|--init-file",
    '"$NAME"',
    '"$@"',
    "a word such as bash and",
    r"\$(?:\{[#!]?)?" + _ANY_WORD,
)

_LANGUAGES = (
    _SHELL,
    _Language(
        r"python[0-9.]*",
        "-[bBdEiIOPqRsSuvx]*c",
        "-[WX]",
        'os.environ["NAME"]',
        "sys.argv[1:]",
        "",
        _ANY_WORD,
    ),
    _Language(
        "perl", "-[0-9acflnpsStTuUwWX]*[eE]", "-[IM]", "$ENV{NAME}", "@ARGV", "", _ANY_WORD, True
    ),
    _Language(
        "R|Rscript", "-e", "(?!)", 'Sys.getenv("NAME")', "commandArgs(TRUE)", "", _ANY_WORD, True
    ),
)


@dataclass(frozen=True)
class _Code:
    """A word that an interpreter runs as code."""

    word: Word
    language: _Language
    program: str

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.word.texts)


def _codes(command: Command, types: Mapping[str, str]) -> Iterator[_Code]:
    """The code arguments of every interpreter, wherever it stands among the words."""
    words = [word for word in command.words if not _is_flag(word, types)]
    for index, word in enumerate(words):
        program = (word.literal or "").rpartition("/")[2]
        for language in _LANGUAGES:
            if re.fullmatch(language.program, program):
                for code in _codes_after(language, words[index + 1 :]):
                    yield _Code(code, language, program)


def _is_flag(word: Word, types: Mapping[str, str]) -> bool:
    return word.lone is not None and types.get(word.lone.name) == "flag"


def _codes_after(language: _Language, words: Iterable[Word]) -> Iterator[Word]:
    """The code words among an interpreter's arguments, up to its script or its script's."""
    code_is_next = value_is_next = False
    for word in words:
        start = word.parts[0].text if isinstance(word.parts[0], Text) else ""
        option = re.match(language.code_option, start)
        if value_is_next:
            value_is_next = False
        elif option and (len(word.parts) > 1 or option.end() < len(start)):
            yield word  # perl -e'...'
        elif option:
            code_is_next = True
            value_is_next = bool(re.fullmatch(language.valued_option, start))
        elif re.fullmatch(language.valued_option, start):
            value_is_next = True
        elif start[:1] in ("-", "+") and len(start) > 1:
            continue
        elif code_is_next:
            yield word
            code_is_next = False
            if not language.takes_more:
                return
        else:
            return


def _variables_in_code(codes: Iterable[_Code], types: Mapping[str, str]) -> Iterator[_Finding]:
    """A value put into code would be run: $(rm ...) in a file name. The environment is safe."""
    for code in codes:
        places = dict.fromkeys(_literal_names(code.text) & types.keys(), code.word.offset)
        for reference in code.word.references:
            places.setdefault(reference.name, reference.offset)
        for name, offset in places.items():
            message = f"{braced(name)} is not put into code of {code.program}"
            hint = "write it in single quotes, it is not a variable"
            if name in types:
                hint = _read_in_code(name, types[name], code.language)
            yield _Finding(offset, message, hint)


def _read_in_code(name: str, type_: str, language: _Language) -> str:
    """How code gets a variable's value. In the environment a list is one text, quoted."""
    if type_ in ("files", "args"):
        after = f"{language.first_argument} {braced(name)}".lstrip()
        return (
            f"write {language.arguments} in the code, the code in single quotes, {after} after it"
        )
    read = language.variable.replace("NAME", environment_name(name))
    if type_ == "flag":
        return f"compare {read} with the text true in the code, and the code in single quotes"
    return f"write {read} in the code, and the code in single quotes"


def _slips_in_code(codes: Iterable[_Code], types: Mapping[str, str]) -> Iterator[_Finding]:
    """$plte where the variable is $plate: a shell would go on with nothing."""
    known = {environment_name(name) for name in types}
    no_slips = known | RESERVED_NAMES | SHELL_NAMES
    for code in codes:
        if code.language is _SHELL:
            own = set(re.findall(_ANY_WORD, re.sub(_SHELL.use, "", code.text)))
            for name in sorted(_SHELL.names(code.text) - own - no_slips):
                if suggestion := closest(name, known):
                    message = f"${name} is not a variable"
                    hint = f"did you mean ${suggestion}?"
                    yield _Finding(code.word.offset, message, hint, warning=True)


def _literal_names(text: str) -> set[str]:
    """Names written as {name}, but not as ${name}."""
    return set(re.findall(r"(?<!\$)\{(NAME)\}".replace("NAME", NAME_PATTERN), text))


# --- For one job ----------------------------------------------------------------------------------


def arguments(
    command: Command, variables: Mapping[str, str], values: Mapping[str, Value]
) -> list[str]:
    """The arguments that one job runs.

    Args:
        command: from `parse`, and accepted by `check`.
        variables: type by name.
        values: by name, built-in ones too: text, number, true or false for `text`, a local path
            for `file` and `folder`, a list for `files` and `args`, true or false for `flag`, None
            where there is none.

    Raises:
        BadInput: a value is null, or a file's is empty, where it is not optional. The place is
            the variable's name, since it is the job file that must change.
    """
    words: list[Word] = []
    for item in command.items:
        left_out = isinstance(item, Bracket) and any(is_empty(values.get(n)) for n in item.names)
        words += () if left_out else _words_of(item)
    if missing := _missing(words, variables, values):
        raise BadInput(missing)
    result = [argument for word in words for argument in _expanded(word, variables, values)]
    if not "".join(result[:1]):
        raise BadInput([Problem("COMMAND", "names no program", "give its variable a value")])
    return result


def _missing(
    words: Iterable[Word], variables: Mapping[str, str], values: Mapping[str, Value]
) -> list[Problem]:
    """Only text may be empty where it is not optional: "" is an argument too."""
    used = dict.fromkeys(reference.name for word in words for reference in word.references)
    hint = "give it one, or make its part of COMMAND optional: [--option {}]"
    return [
        Problem(name, "has no value", hint.format(braced(name)))
        for name in used
        if values.get(name) is None
        or (variables.get(name) in ("file", "files", "folder") and is_empty(values[name]))
    ]


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
        raise TypeError(f"{part.name} is not one text: check() was not asked")
    return as_text(value)


# === jobs/output_prefix.py


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
"""Every question of the template, in its order."""

LISTS = ("group_variables", "shared_variables", "config_variables")

NUMBERS = {
    "expected_number_files": (0, 1_000_000),
    "docker_cores": (1, 256),
    "cpus_per_job": (1, 192),
    "memory_mb": (128, 25_000_000),
    "gpus": (0, 16),
    "ebs_gb": (30, 16_384),
    "job_timeout_minutes": (1, 660),
}
"""Smallest and largest value of each question that takes a whole number."""

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

    Plain splitting: `templates/variables.jinja` does the same, without these refusals.

    Raises:
        BadInput: with every problem.
    """
    variables, _, problems = _read_list(text)
    if problems:
        raise BadInput(problems)
    return variables


class _List(NamedTuple):
    """What can be read of a list, however much of it is wrong.

    A type that is none is read as text, which fits every place. A variable whose value may have
    been cut at a ; has no examples.
    """

    variables: list[Variable]
    without_value: list[str]  # names, or the whole text where there is none to be had
    problems: list[Problem]


_WITHOUT_VALUE = re.compile(rf"({NAME_PATTERN})(?:[\s:][^'\"|]*)?")  # else the rest of a cut value


def _read_list(text: str) -> _List:
    read = _List([], [], [])
    for entry in filter(str.strip, text.split(";")):
        key, equals, value = entry.partition("=")
        name, colon, type_ = (part.strip() for part in key.partition(":"))
        if not equals:
            hint = "write name=value; a value cannot hold ; here, such a one goes into the job file"
            read.problems.append(Problem(name, "has no =", hint))
            named = _WITHOUT_VALUE.fullmatch(entry.strip())
            read.without_value.append(named[1] if named else entry.strip())
            if read.variables and not named:
                read.variables[-1] = read.variables[-1]._replace(examples=[])
            continue
        if colon and type_ not in TYPES:
            suggestion = closest(type_, TYPES)
            hint = f"did you mean {suggestion}?" if suggestion else f"use one of {', '.join(TYPES)}"
            read.problems.append(Problem(name, f"has no type {type_!r}", hint))
        examples = [example.strip() for example in value.split("|")]
        read.variables.append(Variable(name, type_ if type_ in TYPES else "text", examples))
    return read


def example_groups(variables: Iterable[Variable]) -> list[dict[str, Value]]:
    """The groups of the example job file: examples are taken in step, a single one by all.

    Raises:
        ValueError: an example is no value of its variable's type.
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
    """The variables of each list, as far as they can be read."""
    return {question: _read_list(answers[question]).variables for question in LISTS}


def _types(answers: Answers, wanted: Iterable[str]) -> dict[str, str]:
    """Type by name; a wanted name is there as text if it may be that of an unreadable entry.

    Without group_variables any name may be one that is still to be written there.
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


def _slips(wanted: Iterable[str], types: Mapping[str, str]) -> set[str | None]:
    """The names that unknown ones were probably meant to be."""
    known = [*types, *BUILT_IN]
    return {closest(name, known) for name in wanted if name not in known}


# --- Rules: what would damage the files that are written ------------------------------------------


def text_rule(answers: Mapping[str, object]) -> Iterator[Problem]:
    """An answers file in YAML can hold numbers, lists and nothing at all; the answers are text."""
    for question in QUESTIONS:
        if not isinstance(answers[question], str):
            hint = "write it as text in quotes, '' for none"
            yield Problem(
                f"question {question}", f"is {answers[question]!r}, which is no text", hint
            )


def characters_rule(answers: Answers) -> Iterator[Problem]:
    """One printable line without Jinja: cruft renders stored answers again at every update."""
    for question in QUESTIONS:
        where = f"question {question}"
        for character in answers[question]:
            if not _is_printable(character):
                name = unicodedata.name(character, "a control character")
                yield Problem(where, f"holds U+{ord(character):04X} ({name})", "remove it")
                break
        if opener := re.search(r"\{[{%#]", answers[question]):
            message = f"holds {opener[0]}, which would be run as template code"
            yield Problem(where, message, "put a blank between the two, or the text into a script")


def slug_rule(answers: Answers) -> Iterator[Problem]:
    """The folder lies in the folder where the template was called, never elsewhere."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", answers["project_slug"]):
        message = f"{_shown(answers['project_slug'])} is no name for the folder"
        hint = "write a letter or digit, then at most 99 letters, digits, and . _ -"
        yield Problem("question project_slug", message, hint)


_NUMBER = re.compile("0|[1-9][0-9]{0,9}")  # 010 is no number in Python


def number_rule(answers: Answers) -> Iterator[Problem]:
    """Numbers are written into config.py as they are."""
    for question in NUMBERS:
        if not _NUMBER.fullmatch(answers[question]):
            message = f"{_shown(answers[question])} is no whole number"
            yield Problem(f"question {question}", message, "write digits only, such as 4")


def list_rule(answers: Answers) -> Iterator[Problem]:
    """The lists can be read; only groups have examples."""
    for question in LISTS:
        variables, without_value, problems = _read_list(answers[question])
        yield from at(problems, f"question {question}")
        if question == "group_variables" and not variables and not without_value:
            hint = "name what differs from job to job, with examples: well=A01|A02"
            yield Problem(f"question {question}", "is empty", hint)
        for name, _, examples in variables:
            if question != "group_variables" and len(examples) > 1:
                message = "holds |, which separates the examples of group_variables"
                hint = "write one value without it; others go into job file or config.py"
                yield Problem(f"question {question}, {name}", message, hint)


def name_rule(answers: Answers) -> Iterator[Problem]:
    """Names are names, and each is there once."""
    seen: dict[str, str] = {}
    for question, variables in _lists(answers).items():
        for variable in variables:
            where = f"question {question}, {variable.name}"
            if reason := name_problem(variable.name):
                yield Problem(where, reason, "give the variable another name")
            elif question == "config_variables" and not re.fullmatch(
                "[A-Z][A-Z0-9_]*", variable.name
            ):
                message = "is no name for a setting"
                yield Problem(where, message, "use capitals, digits and _: LANGUAGE=en")
            name = environment_name(variable.name)
            if name in seen:
                message = f"is there already, as {seen[name]}"
                yield Problem(where, message, "keep one of the two, or rename one")
            seen[name] = f"{variable.name} of {question}"


def setting_rule(setting_names: Collection[str], answers: Answers) -> Iterator[Problem]:
    """config.py has one line for each name."""
    for variable in _lists(answers)["config_variables"]:
        if variable.name in setting_names:
            message = "is the name of a setting of DS"
            where = f"question config_variables, {variable.name}"
            yield Problem(where, message, "give the variable another name")


# --- Rules: what could not run --------------------------------------------------------------------


def name_like_setting_rule(setting_names: Collection[str], answers: Answers) -> Iterator[Problem]:
    """A slip in a setting's name would silently leave the setting at its default."""
    for variable in _lists(answers)["config_variables"]:
        where = f"question config_variables, {variable.name}"
        if variable.name in setting_names:
            continue
        if suggestion := meant(variable.name, setting_names):
            message = f"is nearly the setting {suggestion}"
            hint = "did you mean it? Then set it in config.py afterwards; else choose another name"
            yield Problem(where, message, hint)
        elif looks_secret(variable.name):
            hint = "leave it out; SECRETS in config.py takes its place in Secrets Manager"
            yield Problem(where, "looks like a secret, which no file may hold", hint)


def required_rule(answers: Answers) -> Iterator[Problem]:
    """What cannot be empty, beside what has a rule of its own."""
    if not answers["project_name"].strip():
        yield Problem("question project_name", "is empty", "write a name")


def app_name_rule(answers: Answers) -> Iterator[Problem]:
    """Queues, clusters and roles are named after it."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,39}", answers["app_name"]):
        message = f"{_shown(answers['app_name'])} cannot name things on AWS"
        hint = "write a letter, then at most 39 letters, digits and -"
        yield Problem("question app_name", message, hint)


_PATH = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?:[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]+)?/)?{_PATH}(?:/{_PATH})*"
    r"(?P<tag>:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?P<digest>@sha256:[0-9a-f]{64})?"
)


def image_rule(answers: Answers) -> Iterator[Problem]:
    """Names of images, as Docker reads them ("Docker image reference grammar")."""
    for question in ("docker_base_image", "docker_image"):
        image = answers[question]
        found = _IMAGE.fullmatch(image) if len(image) <= 255 else None
        if not found:
            message = f"{_shown(image)} is no name of an image"
            hint = "write it as in docker pull, in small letters: user/program:1.0"
            yield Problem(f"question {question}", message, hint)
        elif found["digest"] and question == "docker_image":
            message = "has a digest, but the image is still to be made"
            yield Problem(f"question {question}", message, "write name:tag")


def range_rule(answers: Answers) -> Iterator[Problem]:
    """Numbers that a setting can have."""
    for question, (least, most) in NUMBERS.items():
        answer = answers[question]
        if _NUMBER.fullmatch(answer) and not least <= int(answer) <= most:
            message = f"is {answer}"
            yield Problem(f"question {question}", message, f"write a number from {least} to {most}")


def machine_rule(answers: Answers) -> Iterator[Problem]:
    """EC2 instance types, each once."""
    where = "question machine_types"
    types = [type_.strip() for type_ in answers["machine_types"].split(",")]
    for type_ in dict.fromkeys(types):
        if not re.fullmatch(r"[a-z][a-z0-9-]*\.[a-z0-9-]+", type_):
            message = f"{_shown(type_)} is no EC2 machine type"
            yield Problem(where, message, "write types with commas between: m6i.large, m5.large")
        elif types.count(type_) > 1:
            yield Problem(where, f"{type_} is there twice", "remove one")


def example_rule(answers: Answers) -> Iterator[Problem]:
    """Examples fit their types, and make whole groups."""
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
            hint = "give equally many, taken in step, or one for all"
            yield Problem(f"question group_variables, {name}", message, hint)


def command_rule(answers: Answers) -> Iterator[Problem]:
    """The command can be read, and fits the variables."""
    try:
        command = parse(answers["command"])
    except BadInput as error:
        yield from at(error.problems, "question command")
        return
    types = _types(answers, names(command))
    for problem in at(check_command(command, types), "question command"):
        # What is never used has no place in the command.
        unused = problem.where == "question command"
        if not unused or _slips(names(command), types).isdisjoint({"output_dir", "job_json"}):
            yield problem


def unused_rule(setting_names: Collection[str], answers: Answers) -> Iterator[Problem]:
    """A variable is there to be used, unless it must be renamed or a slip may be its use."""
    try:
        command = parse(answers["command"])
    except BadInput:
        return
    in_prefix = prefix_names(answers["output_prefix"])
    slips = _slips(names(command) | in_prefix, _types(answers, ()))
    used = in_prefix | {name for name in slips if name}
    renamed = {
        problem.where
        for rule in (
            name_rule,
            partial(setting_rule, setting_names),
            partial(name_like_setting_rule, setting_names),
        )
        for problem in rule(answers)
    }
    told = [
        name
        for question, variables in _lists(answers).items()
        for name, _, _ in variables
        if f"question {question}, {name}" not in renamed
    ]
    yield from at(check_unused(command, told, used), "question command")


def output_prefix_rule(answers: Answers) -> Iterator[Problem]:
    """Every example job has a place of its own."""
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
            # Text, so that what is no value of its type can be compared, too.
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
            prefixes.append(render(answers["output_prefix"], {**common, **group}, job_id))
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
        hint = f"put {missing[0]} into it" if missing else "give each example other values"
        yield Problem(where, message, hint)


def _sure_names(answers: Answers) -> set[str]:
    """The names whose values in the examples are known, whatever is wrong elsewhere."""
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


def check_answers(
    answers: Mapping[str, object], setting_names: Collection[str], *, updating: bool = False
) -> list[Problem]:
    """Everything that is wrong with the answers, in the order of the questions.

    Args:
        answers: one text for each of QUESTIONS.
        setting_names: the settings that config.py can hold.
        updating: whether an implementation that was accepted once is rendered again: then only
            what would damage its files is refused, the rest warns.
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
        partial(setting_rule, setting_names),
    ]
    failing: list[Rule] = [
        partial(name_like_setting_rule, setting_names),
        required_rule,
        app_name_rule,
        image_rule,
        range_rule,
        machine_rule,
        example_rule,
        command_rule,
        partial(unused_rule, setting_names),
        output_prefix_rule,
    ]
    problems = [problem for rule in damaging for problem in rule(texts)]
    for rule in failing:
        for problem in rule(texts):
            problems.append(replace(problem, warning=problem.warning or updating))
    return sorted(problems, key=_question_number)


def _question_number(problem: Problem) -> int:
    return QUESTIONS.index(re.split("[ ,]", problem.where)[1])


# --- The file that keeps answers ------------------------------------------------------------------


def answers_file(answers: Mapping[str, object]) -> str:
    """YAML for `cookiecutter --config-file`, from which the same answers come back.

    Cookiecutter renders what it reads there, so Jinja's openers are written as Jinja strings, and
    so are carriage returns, which Jinja would turn into line feeds.
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


# --- Names in config.py ---------------------------------------------------------------------------


def meant(name: str, setting_names: Iterable[str]) -> str | None:
    """The setting that a name within two letters of it was probably meant to be.

    Of short names fewer letters may differ: GPU is GPUS, but PLUS is a name of its own.
    """
    distances = {known: _distance(name, known) for known in setting_names}
    near = [known for known in distances if 0 < distances[known] <= min(2, len(known) // 3)]
    return min(near, key=lambda known: distances[known], default=None)


def _distance(one: str, other: str) -> int:
    """Letters to insert, remove or replace (Levenshtein)."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        previous, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (a != b))
    return row[len(other)]


_SECRETS = {"PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "SECRETS", "TOKEN", "TOKENS"}
_SECRETS |= {"CREDENTIAL", "CREDENTIALS", "APIKEY", "ACCESSKEY", "SECRETKEY", "PRIVATEKEY"}


def looks_secret(name: str) -> bool:
    """Whether a name's words say that its value is a secret (an S3 key is none)."""
    words = re.split("[_-]", name.upper())
    pairs = map("".join, pairwise(words))
    return not _SECRETS.isdisjoint([*words, *pairs])


# --- Texts ----------------------------------------------------------------------------------------


def _is_printable(character: str) -> bool:
    """No control, direction or invisible character; those that join letters and emoji are fine."""
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


# Cookiecutter renders this one expression; the answers arrive as data, never as code.
CONTEXT = json.loads({{ '%r'|format(cookiecutter|jsonify) }})  # type: ignore  # fmt: skip  # noqa: F821
UNDER_CRUFT = "_commit" in CONTEXT


def main() -> int:
    """Tell all problems on stderr; the exit code, 1 if the answers are refused."""
    problems = check_answers(CONTEXT, SETTING_NAMES, updating=UNDER_CRUFT)
    refused = [problem for problem in problems if not problem.warning]
    warnings = [problem for problem in problems if problem.warning]
    if refused:
        tell("", "Refused, and nothing is written:", *(f"  {problem}" for problem in refused))
    if warnings:
        tell("", "To think about:", *(f"  {problem}" for problem in warnings))
    if refused:
        tell("", *how_to_try_again(output_folder()))
        tell("", "What follows is how cookiecutter itself says that it stops.", "")
    return 1 if refused else 0


def tell(*lines: str) -> None:
    """Write lines to stderr; what a terminal would obey is shown, not sent."""
    for line in lines:
        safe = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
        sys.stderr.write(safe + "\n")


def output_folder() -> Path:
    """Where the user wanted the implementation, and never in a folder that is removed now."""
    project = Path.cwd()
    folder = Path(CONTEXT.get("_output_dir", project.parent)).resolve()
    return project.parent if folder.is_relative_to(project) else folder


def how_to_try_again(folder: Path) -> list[str]:
    """Keep the answers in a file; the command line that reads it."""
    if UNDER_CRUFT:
        command = """cruft update --variables-to-update '{"QUESTION": "ANSWER"}'"""
        return ["Give other answers; in an implementation by:", "", f"  {command}"]
    try:
        file = write_anew(folder, answers_file(CONTEXT))
    except OSError as error:
        return [f"Your answers could not be kept: {error}"]
    words = ["cookiecutter", CONTEXT["_template"]]
    if CONTEXT["_checkout"]:
        words += ["--checkout", CONTEXT["_checkout"]]
    if os.environ.get("PWD") != str(folder):
        words += ["--output-dir", str(folder)]
    words += ["--config-file", str(file)]
    return ["Your answers are kept. Correct them in that file, then:", "", f"  {shlex.join(words)}"]


def write_anew(folder: Path, text: str) -> Path:
    """Write a file under the first name that is free, since somebody may have edited the others."""
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
