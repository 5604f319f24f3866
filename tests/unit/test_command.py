"""The command language: what a shell user expects, and values that are never interpreted."""

import shlex

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ds.jobs.command import Command, command_arguments, parse_command
from ds.jobs.command_checks import check_command, check_unused, names_in_code
from ds.jobs.problems import BadInput, Problem
from ds.jobs.variables import Value, split_args

TYPES = {
    "x": "text",
    "y": "text",
    "plate": "text",
    "my-name": "text",
    "in": "file",
    "dir": "folder",
    "all": "files",
    "more": "args",
    "on": "flag",
}
VALUES: dict[str, Value] = {
    "x": "X 1",
    "y": "",
    "plate": 0,
    "my-name": "é",
    "in": "/in/a b",
    "dir": "/in/d",
    "all": ["/1", "/2 3"],
    "more": ["-m", "o r"],
    "on": True,
    "output_dir": "/out",
}


def run(text: str, **values: Value) -> list[str]:
    return command_arguments(parse_command(text), TYPES, {**VALUES, **values})


def refused(text: str) -> list[Problem]:
    with pytest.raises(BadInput) as found:
        parse_command(text)
    return list(found.value.problems)


def told(text: str, *, warnings: bool = False) -> list[Problem]:
    """Return problems of a text that parses, without the warning that it has no output."""
    return [
        problem
        for problem in check_command(parse_command(text), TYPES)
        if problem.warning == warnings and problem.message != "{output_dir} is never used"
    ]


# --- Words and quotes -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b\tc\nd\r\ne", ["a", "b", "c", "d", "e"]),
        ("  a  b  ", ["a", "b"]),
        ("a 'b c' \"d e\"", ["a", "b c", "d e"]),
        ("a b'c 'd\"e \"f", ["a", "bc de f"]),
        ("a '' \"\"", ["a", "", ""]),
        (r"a b\ c \' \" \\ \[ \{x} \$y \|", ["a", "b c", "'", '"', "\\", "[", "{x}", "$y", "|"]),
        ("a b\\\nc \\\n d \\\r\n e", ["a", "bc", "d", "e"]),
        ('a "b\\\nc"', ["a", "bc"]),
        (r"""a '\' '"' '$x `y` {x} [z] | > #' """, ["a", "\\", '"', "$x `y` {x} [z] | > #"]),
        (r'a "\$ \` \" \\ \n \'"', ["a", "$ ` \" \\ \\n \\'"]),
        ('a "[b] | > ; & # *"', ["a", "[b] | > ; & # *"]),
        ('a "5 $" "$" "$."', ["a", "5 $", "$", "$."]),
        ("a b#c x#", ["a", "b#c", "x#"]),
        ("a {} {1} {a.b} {a,b} }{ { }", ["a", "{}", "{1}", "{a.b}", "{a,b}", "}{", "{", "}"]),
        ("a --b=c d=e", ["a", "--b=c", "d=e"]),
        ("a ü “b” 🧪", ["a", "ü", "“b”", "🧪"]),
    ],
)
def test_words_and_quotes_are_those_of_a_shell(text: str, expected: list[str]) -> None:
    assert run(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a {x}", ["a", "X 1"]),
        ('a "{x}"', ["a", "X 1"]),
        ("a --x={x}.tif", ["a", "--x=X 1.tif"]),
        ("a '{x}'{x}\"-{x}\"", ["a", "{x}X 1-X 1"]),
        ("{x} b", ["X 1", "b"]),
        ("a {plate} {y}", ["a", "0", ""]),
        ("a {my-name}", ["a", "é"]),
        ("a {{x}}", ["a", "{X 1}"]),
        ("a {in}/{dir}", ["a", "/in/a b//in/d"]),
        ("a {all} {more}", ["a", "/1", "/2 3", "-m", "o r"]),
        ("a {output_dir}/b", ["a", "/out/b"]),
    ],
)
def test_a_value_is_inserted_after_the_words_are_split(text: str, expected: list[str]) -> None:
    assert run(text) == expected


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (False, "false"), (1.5, "1.5"), (0, "0")]
)
def test_numbers_and_booleans_are_text_outside_of_brackets(value: Value, text: str) -> None:
    assert run("a --x={x}", x=value) == ["a", f"--x={text}"]


TEMPLATES = [
    ("prog {x}", "{}"),
    ('prog "{x}"', "{}"),
    ("prog --o={x}", "--o={}"),
    ("prog 'a b'\"{x}\".tif", "a b{}.tif"),
    ("prog [{x}]", "{}"),
]


@settings(deadline=None)
@given(st.text(), st.sampled_from(TEMPLATES))
@example("a b", TEMPLATES[0])
@example("'\"", TEMPLATES[1])
@example("; rm -rf / & $(reboot) `x` | > f", TEMPLATES[0])
@example("-rf", TEMPLATES[0])
@example("{y} [z] {output_dir}", TEMPLATES[2])
@example("naïve 🧪\n\t", TEMPLATES[3])
@example("$HOME ~ *", TEMPLATES[4])
def test_every_value_is_exactly_one_argument(value: str, template: tuple[str, str]) -> None:
    text, expected = template
    if value or "[" not in text:
        assert run(text, x=value) == ["prog", expected.replace("{}", value)]


PLAIN = st.text(alphabet=st.sampled_from("ab1 \t'\"\\-/.:,%@+é🧪"), max_size=30)


@settings(deadline=None)
@given(PLAIN)
def test_words_are_split_as_shlex_splits_them(text: str) -> None:
    """Except for texts with our brackets, and comments and operators of a shell."""
    try:
        expected = shlex.split(text)
    except ValueError:
        assert any("closed" in p.message or "backslash" in p.message for p in refused(text))
        return
    if not expected:
        assert [problem.message for problem in refused(text)] == ["the command is empty"]
    elif expected[0]:
        assert run(text) == expected


# --- Brackets -------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["", None, False, []])
def test_a_bracket_with_an_empty_variable_is_removed(value: Value) -> None:
    assert run("a [--x {x}] b", x=value) == ["a", "b"]
    assert run("a [ --x={x} --in {in} ]", x=value) == ["a"]
    assert run("[nice -n {x}] a", x=value) == ["a"]


@pytest.mark.parametrize(("value", "text"), [(0, "0"), ("0", "0"), (0.0, "0.0"), (" ", " ")])
def test_a_bracket_with_a_value_remains_even_if_it_is_zero(value: Value, text: str) -> None:
    assert run("a [--x {x}] b", x=value) == ["a", "--x", text, "b"]
    assert run("[nice -n {x}] a", x=value) == ["nice", "-n", text, "a"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a [{x}]", ["a", "X 1"]),
        ("a [ {x} ]", ["a", "X 1"]),
        ('a ["{x}"] b', ["a", "X 1", "b"]),
        ("a [--x={x} '[b]' c] d", ["a", "--x=X 1", "[b]", "c", "d"]),
        ("a [--on {on}] b", ["a", "--on", "b"]),
        ("a [--all {all}]", ["a", "--all", "/1", "/2 3"]),
        ("a [{more}]", ["a", "-m", "o r"]),
        ("a [-x {x}]\n[-y {y}]", ["a", "-x", "X 1"]),
        ("a [-x {x}]\\\n", ["a", "-x", "X 1"]),
        ("a [--o={output_dir}/{x}]", ["a", "--o=/out/X 1"]),
    ],
)
def test_a_bracket_contains_whole_words(text: str, expected: list[str]) -> None:
    assert run(text) == expected


@pytest.mark.parametrize("values", [{"x": None}, {"in": None}, {"in": ""}, {"dir": ""}])
def test_a_missing_value_is_refused_unless_it_is_optional(values: dict[str, Value]) -> None:
    with pytest.raises(BadInput) as found:
        run("a {x} {x} --in={in} [{y}] {dir}", **values)
    (problem,) = found.value.problems
    assert problem.where in values
    assert problem.message == "has no value"
    assert "optional: [--option {" in problem.hint


def test_every_missing_value_is_reported_at_once() -> None:
    with pytest.raises(BadInput) as found:
        run("a {x} {all} {plate}", x=None, all=[])
    assert [problem.where for problem in found.value.problems] == ["x", "all"]


def test_empty_args_are_no_arguments_but_an_empty_program_is_refused() -> None:
    assert run("a {more} b", more=[]) == ["a", "b"]
    for text, values in (("{more}", {"more": []}), ("{x} a", {"x": ""})):
        with pytest.raises(BadInput, match="has no program"):
            run(text, **values)


# --- What is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "where", "message", "hint"),
    [
        ("", "column 1", "empty", "write the program"),
        (" \n ", "column 1", "empty", "write the program"),
        ("a | b", "column 3", "unquoted |", "bash -c '...'"),
        ("a && b", "column 3", "unquoted &&", "bash -c '...'"),
        ("a; b", "column 2", "unquoted ;", "bash -c '...'"),
        ("a 2>&1", "column 4", "unquoted >&", "bash -c '...'"),
        ("a <b", "column 3", "unquoted <", "bash -c '...'"),
        ("a <(b c) d", "column 3", "unquoted <(", "bash -c '...'"),
        ("a $(b c)", "column 3", "unquoted $(", "bash -c '...'"),
        ("a `b c`", "column 3", "unquoted `", "bash -c '...'"),
        ("(a b)", "column 1", "unquoted (", "bash -c '...'"),
        ("a )", "column 3", "unquoted )", "bash -c '...'"),
        ("a $x", "column 3", "unquoted $x", "write {x} for a variable"),
        ("a ${x}", "column 3", "unquoted ${x}", "write {x} for a variable"),
        ("a $", "column 3", "unquoted $", "bash -c '...'"),
        ('a "b $x"', "column 6", "$x in double quotes", "write {x} for a variable"),
        ('a "${x}"', "column 4", "${x} in double quotes", "write {x} for a variable"),
        ('a "${x:-y}"', "column 4", "${ in double quotes", "single quotes"),
        ('a "$(b)"', "column 4", "$( in double quotes", "single quotes"),
        ('a "`b`"', "column 4", "` in double quotes", "single quotes"),
        ('a "$1"', "column 4", "$1 in double quotes", "single quotes"),
        ("a 'b c", "column 3", "the quote ' is not closed", r"write \'"),
        ("it's", "column 3", "the quote ' is not closed", r"write \'"),
        ('a "b | c', "column 3", 'the quote " is not closed', 'write \\"'),
        ("a b\\", "column 4", "with a backslash", "remove it"),
        ("a # b", "column 3", "comment", "quote it"),
        ("A=1 b", "column 1", "A=...", "write env before it"),
        ("PATH+=x b", "column 1", "PATH+=...", "write env before it"),
        ("[A={x}] b", "column 2", "A=...", "write env before it"),
        ("[nice {x}] A=1 b", "column 12", "A=...", "write env before it"),
        ("a [b", "column 3", "[ is not closed", "quote it"),
        ("a ] b", "column 3", "] has no opening [", "quote the word"),
        ("a b]", "column 4", "] has no opening [", "quote the word"),
        ("a b[c {x}]", "column 4", "[ inside a word", "quote the word"),
        ("a *.[ch]", "column 5", "[ inside a word", "quote the word"),
        ("a x[0][1]", "column 4", "[ inside a word", "quote the word"),
        ("a [{x}]b", "column 7", "] must end a word", "a space after it"),
        ("a [{x}][{y}]", "column 7", "] must end a word", "a space after it"),
        ("a [b [c {x}] d {y}] e", "column 6", "[ inside another [ ]", "quote the word"),
        ("a [--b]", "column 3", "[--b] has no variable", "quote the word"),
        ("a [b c]", "column 3", "has no variable", "quote it"),
        ("a []", "column 3", "[] has no variable", "quote the word"),
        ("a ['{x}']", "column 3", "has no variable", "quote it"),
        ("a [-o {output_dir}]", "column 3", "no variable that can be empty", "remove the [ ]"),
        ("f [0:v]scale=2:1[v]", "column 3", "[0:v] has no variable", "quote the word"),
        ("[a {x}] [b {y}]", "column 1", "every part is optional", "out of the brackets"),
        ("a\0b", "column 2", "control character", "remove it"),
        ("a 'b\x1b'", "column 5", "control character", "remove it"),
        ("a \ud800", "column 3", "control character", "remove it"),
        ("a \\\n  b | c", "line 2, column 5", "unquoted |", "bash -c '...'"),
        ("\n  a | b", "column 5", "unquoted |", "bash -c '...'"),
    ],
)
def test_shell_syntax_and_mistakes_are_refused_with_their_place(
    text: str, where: str, message: str, hint: str
) -> None:
    (problem,) = refused(text)
    assert problem.where == where
    assert message in problem.message
    assert hint in problem.hint


def test_all_problems_are_reported_at_once_in_their_order() -> None:
    assert [problem.where for problem in refused('a | b [c ] \'d > e\' "$f" g[0] > "h')] == [
        f"column {column}" for column in (3, 21, 26, 30, 32)
    ]


SIGNS = [*"ax{}[]'\"\\ $|;<>&()`#=*~-\n\t\r\0é\ud800"]
WORDS = ["{x}", "{in}", "{all}", "{on}", "{more}", " [", "] ", "bash ", "-c "]


@settings(deadline=None)
@given(st.text() | st.lists(st.sampled_from(SIGNS + WORDS), max_size=30).map("".join))
def test_every_text_is_a_command_or_has_problems_with_places(text: str) -> None:
    command, problems = answer(text)
    assert (command is None) == bool(problems)
    assert all(problem.where.partition("column ")[2].isdigit() for problem in problems)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", '"', *WORDS]), max_size=12).map(" ".join))
def test_a_command_without_problems_runs(text: str) -> None:
    command, _ = answer("a " + text)
    if command and not [
        problem for problem in check_command(command, TYPES) if not problem.warning
    ]:
        assert all(isinstance(text, str) for text in command_arguments(command, TYPES, VALUES))


def answer(text: str) -> tuple[Command | None, tuple[Problem, ...]]:
    try:
        return parse_command(text), ()
    except BadInput as bad:
        return None, bad.problems


# --- Against the variables ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "where", "message", "hint"),
    [
        ("a {plte}", "column 3", "unknown variable {plte}", "did you mean {plate}?"),
        ("a {outputdir}", "column 3", "{outputdir}", "did you mean {output_dir}?"),
        ('a "b {Zzz}"', "column 6", "unknown variable {Zzz}", "single quotes"),
        ("a --all={all}", "column 9", "of type files and must be a separate word", "spaces"),
        ('a "{all}"', "column 4", "of type files and must be a separate word", "without quotes"),
        ("a {more}{x}", "column 3", "of type args", "spaces"),
        ("a [--on={on}]", "column 9", "of type flag and must be", "spaces"),
        (
            "a {on}",
            "column 3",
            "of type flag, which only controls an optional part",
            "[--option {on}]",
        ),
        (
            "a --on={on}",
            "column 8",
            "of type flag, which only controls an optional part",
            "[--option {on}]",
        ),
        ("bash -c 'a {x}'", "column 9", "{x} cannot be used in bash code", '"$x"'),
        (
            "bash -c 'sort {all}'",
            "column 9",
            "{all} cannot be used in",
            'write "$@" in the code',
        ),
        ("bash -c 'sort {all}'", "column 9", "{all}", "a word such as bash and {all} after it"),
        ('sh -c "sort {all}"', "column 13", "{all} cannot be used in sh code", '"$@"'),
        (
            "python -c 'f({all})'",
            "column 11",
            "{all}",
            "write sys.argv[1:] in the code, put the code in",
        ),
        ("bash -c 'a {more}'", "column 9", "{more} cannot be used in bash code", '"$@"'),
        ("sh -c 'a {on}'", "column 7", "{on} cannot be used in", 'compare "$on" with the text'),
        ('bash -c "a {x}"', "column 12", "{x} cannot be used in bash code", '"$x"'),
        ("bash -c {x}", "column 9", "{x} cannot be used in bash code", '"$x"'),
        ('bash -c "a {zzz}"', "column 12", "{zzz}", "not a variable"),
        ("/bin/sh -ec 'a {x}'", "column 13", "sh code", '"$x"'),
        ("bash -euo pipefail -c 'a {x}'", "column 23", "bash code", '"$x"'),
        ("bash -ceuo pipefail 'a {x}'", "column 21", "bash code", '"$x"'),
        ("bash --norc +x -c -e 'a {x}'", "column 22", "bash code", '"$x"'),
        ("bash [-x {on}] -c 'a {x}'", "column 19", "bash code", '"$x"'),
        ("env A=1 dash -lc 'a {my-name}'", "column 18", "dash code", '"$my_name"'),
        ("conda run -n e zsh -c 'a {x}'", "column 23", "zsh code", '"$x"'),
        ("python -c 'print({x})'", "column 11", "python code", 'os.environ["x"]'),
        ("/usr/bin/python3.11 -Ic 'f({x})'", "column 25", "python3.11 code", "os.environ"),
        ("python -W ignore -c 'f({x})'", "column 21", "python code", "os.environ"),
        ("python -c'f({x})'", "column 8", "python code", "os.environ"),
        ('perl -e"print {x}"', "column 15", "perl code", "$ENV{x}"),
        ("perl -lane 'print {x}'", "column 12", "perl code", "$ENV{x}"),
        ("perl -MPOSIX -E 'f {x}'", "column 17", "perl code", "$ENV{x}"),
        ("Rscript -e 'a' -e 'f({x})'", "column 19", "Rscript code", 'Sys.getenv("x")'),
    ],
)
def test_a_misused_variable_is_refused_with_its_place(
    text: str, where: str, message: str, hint: str
) -> None:
    (problem,) = told(text)
    assert told(text, warnings=True) == []
    assert problem.where == where
    assert message in f"{problem.message}; {problem.hint}"
    assert hint in problem.hint or hint in problem.message


@pytest.mark.parametrize(
    "text",
    [
        'bash -c \'a "$x" "${plate}" | b > "$output_dir/c"\'',
        'bash -c \'awk "{print}" "$in"\'',
        "bash -c 'a \"$1\"' _ {x}",
        "bash -c 'a \"$1\"' -c {x}",
        "python -c 'import a' -c {x}",
        "bash /opt/run.sh -c {x}",
        "bash {in} -c {x}",
        "python {in} -c {x}",
        "python /opt/run.py -c {x}",
        "python -m mod -c {x}",
        "perl -i.bak -pe 's/a/b/' {in}",
        "Rscript /opt/run.R -e {x}",
        "perlish -e {x}",
        "a [--on {on}] [{more}] {all}",
        "awk '{print $1}' {in}",
        "find {dir} -name '*.tif' -exec a {} \\;",
        "ilastik {output_dir}/'{nickname}.tif'",
        "a --glob='{a,b}*?~'",
    ],
)
def test_these_commands_have_no_problems_and_no_warnings(text: str) -> None:
    assert told(text) == []
    assert told(text, warnings=True) == []


@pytest.mark.parametrize(
    ("text", "where", "message", "hint"),
    [
        ("a '{x}'", "column 3", "{x} in single quotes is text", "double quotes"),
        ("a {x:03d}", "column 3", "{x:03d} is text", "write {x}"),
        ('a "{ x }"', "column 3", "{ x } is text", "write {x}"),
        ("a *.tif", "column 3", "* is not expanded", "quote it"),
        ("a b?", "column 3", "? is not expanded", "quote it"),
        ("a {b,c}", "column 3", "{b,c} is not expanded", "quote it"),
        ("a {1..3}", "column 3", "{1..3} is not expanded", "quote it"),
        ("a ~/b", "column 3", "~ is not expanded", "quote it"),
        ("a “b", "column 3", "U+201C", "the plain character"),
        ("a –-b", "column 3", "U+2013", "the plain character"),
        ("a b\u00a0c", "column 3", "U+00A0", "the plain character"),
        ("bash -c 'a \"$plte\"'", "column 9", "unknown variable $plte", "did you mean $plate?"),
    ],
)
def test_text_that_is_probably_not_intended_is_a_warning(
    text: str, where: str, message: str, hint: str
) -> None:
    assert told(text) == []
    (problem,) = told(text, warnings=True)
    assert problem.where == where
    assert message in problem.message
    assert hint in problem.hint


@pytest.mark.parametrize(
    "text", ["bash -c 'for plte in a; do b \"$plte\"; done'", "bash -c 'a \"$HOME\" $? $1'"]
)
def test_names_of_a_script_are_not_typos(text: str) -> None:
    assert told(text, warnings=True) == []


@pytest.mark.parametrize(
    ("text", "silent"),
    [
        ("a {output_dir}", True),
        ("bash -c 'a > \"$output_dir/b\"'", True),
        ("python -c 'open(os.environ[\"output_dir\"])'", True),
        ("a {job_json}", True),
        ("a {x}", False),
        ("a '{output_dir}'", False),
    ],
)
def test_a_command_without_output_is_a_warning(text: str, silent: bool) -> None:
    found = [
        p
        for p in check_command(parse_command(text), TYPES)
        if p.message == "{output_dir} is never used"
    ]
    assert (found == []) == silent
    assert all(problem.warning for problem in found)


@pytest.mark.parametrize(
    ("text", "also", "unused"),
    [
        ("a {x}", [], ["my-name"]),
        ("a {x}", ["my-name"], []),
        ('bash -c \'a "$x" "${my_name}"\'', [], []),
        ("bash -c 'a x my_name'", [], ["x", "my-name"]),
        ("python -c 'f(os.environ[\"my_name\"])' {x}", [], []),
        ("a {job_json}", [], []),
        ("bash -c 'a \"$job_json\"'", [], []),
    ],
)
def test_an_unused_variable_is_a_warning(text: str, also: list[str], unused: list[str]) -> None:
    problems = check_unused(parse_command(text), ["x", "my-name"], also)
    assert [problem.message for problem in problems] == [
        "{" + name + "} is never used" for name in unused
    ]
    assert all(problem.warning for problem in problems)


def test_names_in_the_command_and_in_its_code() -> None:
    command = parse_command("a {x} [{y} '{z}'] bash -c 'b \"$c\" ${d:-e} ${#f} {g}' \"{h-i}\"")
    assert command.names == {"x", "y", "h-i"}
    assert names_in_code(command) == {"c", "d", "f"}


def test_args_are_split_by_shell_quoting() -> None:
    assert split_args("-a 'b c' \"d\" $(e)") == ["-a", "b c", "d", "$(e)"]
