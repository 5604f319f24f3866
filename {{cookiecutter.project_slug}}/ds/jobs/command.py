"""The command language: one line that says what a job runs, as a shell user expects it.

    cellprofiler -c -r -p {pipeline} -o {output_dir} -g {Metadata} [--always-continue {ALWAYS}]

Words and quotes are a shell's, but no shell runs: `{name}` is put in after the words are split, so
that a value is one argument whatever it holds. An unquoted `[...]` is left out when a variable in
it is empty. What needs a shell is written `bash -c '... "$name" ...'`.

    text -> parse -> Command -> check (against the variables) -> arguments (for one job)
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from ds.jobs.problems import BadInput, Problem, closest
from ds.jobs.variables import (
    BUILT_IN,
    NAME_PATTERN,
    RESERVED_NAMES,
    SHELL_NAMES,
    Value,
    as_text,
    braced,
    control_character,
    environment_name,
    is_empty,
)

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
