"""The command language: one line, in shell syntax, that defines what a job runs.

    cellprofiler -c -r -p {pipeline} -o {output_dir} -g {Metadata} [--always-continue {ALWAYS}]

Words and quotes follow shell syntax, but no shell runs: `{name}` is replaced after the line is
split into words, so a value is always one argument. An unquoted `[...]` is removed if it contains
an empty variable. Write shell code as `bash -c '... "$name" ...'`.

    text -> parse_command -> Command -> check_command (in command_checks.py)
                                     -> command_arguments (for one job)
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from ds.jobs.problems import BadInput, Located, Problem, at_offsets
from ds.jobs.variables import (
    BUILT_IN,
    ENVIRONMENT_NAME_PATTERN,
    NAME_PATTERN,
    Value,
    as_text,
    braced,
    control_character,
    is_empty,
)

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
