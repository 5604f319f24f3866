"""Checks of a parsed command against the variables of a job."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from ds.jobs.command import Bracket, Command, Text, Word, words_of
from ds.jobs.problems import Located, Problem, at_offsets, closest, did_you_mean
from ds.jobs.variables import (
    BUILT_IN,
    ENVIRONMENT_NAME_PATTERN,
    NAME_PATTERN,
    RESERVED_NAMES,
    SHELL_NAMES,
    braced,
    environment_name,
)


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
