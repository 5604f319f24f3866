"""Generated repositories are linked to the template and can be updated."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from subprocess import CalledProcessError

import pytest

from tests.template import FOLDER, ROOT, clean_environment, commit, copy_template, git, run

MADE = "Distributed-HelloWorld"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return clean_environment(tmp_path / "user")


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """Return a repository of the template with one commit."""
    folder = copy_template(tmp_path / "origin" / "ds.git")
    commit(folder, "one")
    return folder


@pytest.fixture
def clone(tmp_path: Path, origin: Path) -> Path:
    git(tmp_path, "clone", "-q", str(origin), "clone")
    return tmp_path / "clone"


def make(
    environment: Mapping[str, str], out: Path, template: str, *words: str, here: Path | None = None
) -> tuple[Path, str]:
    """Run cookiecutter; return the generated repository and what was written to stderr."""
    out.mkdir(exist_ok=True)
    words = (template, "--no-input", "--output-dir", str(out), *words)
    done = run(here or out, environment, "cookiecutter", *words)
    assert done.returncode == 0, done.stderr
    return out / MADE, done.stderr


def create(environment: Mapping[str, str], out: Path, template: str, *words: str) -> Path:
    out.mkdir(exist_ok=True)
    words = (template, "--output-dir", str(out), "--no-input", *words)
    done = run(out, environment, "cruft", "create", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return out / MADE


def tree(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("way", ["path", "relative", "inside", "file URL", "its own folder"])
def test_cookiecutter_and_cruft_create_the_same_files_and_both_are_up_to_date(
    tmp_path: Path, environment: dict[str, str], origin: Path, clone: Path, way: str
) -> None:
    here, template = {
        "path": (None, str(clone)),
        "relative": (tmp_path, "clone"),
        "inside": (clone, "."),
        "file URL": (None, f"file://{origin}"),
        "its own folder": (clone, "."),
    }[way]
    out = clone if way == "its own folder" else tmp_path / "out"
    plain, said = make(environment, out, template, here=here)
    assert said == ""
    address = template if way == "file URL" else str(origin)
    created = create(environment, tmp_path / "created", address)
    assert tree(plain) == tree(created)
    for made in (plain, created):
        checked = run(made, environment, "cruft", "check")
        assert checked.returncode == 0, checked.stdout


def test_a_checkout_is_recorded(tmp_path: Path, environment: dict[str, str], origin: Path) -> None:
    git(origin, "tag", "v1")
    (origin / FOLDER / "run.py").write_text("# two\n")
    commit(origin, "two")
    url = f"file://{origin}"
    plain, said = make(environment, tmp_path / "out", url, "--checkout", "v1")
    assert said == ""
    assert tree(plain) == tree(create(environment, tmp_path / "created", url, "--checkout", "v1"))


def test_generating_twice_into_one_folder_changes_nothing(
    tmp_path: Path, environment: dict[str, str], clone: Path
) -> None:
    made, _ = make(environment, tmp_path / "out", str(clone))
    before = tree(made)
    make(environment, tmp_path / "out", str(clone), "--overwrite-if-exists")
    assert tree(made) == before


def change(clone: Path) -> None:
    (clone / FOLDER / "run.py").write_text("# other\n")


def add(clone: Path) -> None:
    (clone / FOLDER / "new.txt").write_text("")


def commit_here(clone: Path) -> None:
    change(clone)
    commit(clone, "here")


def no_origin(clone: Path) -> None:
    git(clone, "remote", "remove", "origin")


def relative_origin(clone: Path) -> None:
    git(clone, "remote", "set-url", "origin", "../origin/ds.git")


def no_git(clone: Path) -> None:
    (clone / ".git").rename(clone / "git")


def inside_another(clone: Path) -> None:
    no_git(clone)
    commit(clone.parent, "around")
    git(clone.parent, "remote", "add", "origin", "https://example.org/other.git")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (change, "the template's clone has uncommitted changes"),
        (add, "the template's clone has uncommitted changes"),
        (commit_here, "the template's clone has commits that its origin does not have"),
        (no_origin, "the template's clone has no origin"),
        (
            relative_origin,
            "the origin of the template's clone, ../origin/ds.git, is not a URL or absolute path",
        ),
        (no_git, "the template is not a git clone"),
        (inside_another, "the template is only one folder of a git clone"),
    ],
)
def test_an_uncertain_origin_is_not_recorded(
    tmp_path: Path, environment: dict[str, str], clone: Path, spoil: object, reason: str
) -> None:
    assert callable(spoil)
    spoil(clone)
    made, said = make(environment, tmp_path / "out", str(clone))
    assert not (made / ".cruft.json").exists()
    (line,) = said.splitlines()
    assert line.startswith(f"{MADE} cannot be updated by cruft: {reason};")


def test_another_repository_is_never_recorded(
    tmp_path: Path, environment: dict[str, str], origin: Path, clone: Path
) -> None:
    """Neither the repository of the current folder nor one that GIT_DIR names."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "x").write_text("")
    commit(other, "other")
    git(other, "remote", "add", "origin", "https://example.org/other.git")
    trap = {**environment, "GIT_DIR": str(other / ".git"), "GIT_WORK_TREE": str(other)}
    template = os.path.relpath(clone, other)
    made, said = make(trap, other / "out", template, here=other)
    assert said == ""
    assert json.loads((made / ".cruft.json").read_text())["template"] == str(origin)


def test_a_password_in_the_origin_is_not_recorded(
    tmp_path: Path, environment: dict[str, str], clone: Path
) -> None:
    git(clone, "remote", "set-url", "origin", "https://ada:secret@example.org/ds.git")
    made, _ = make(environment, tmp_path / "out", str(clone))
    assert (
        json.loads((made / ".cruft.json").read_text())["template"] == "https://example.org/ds.git"
    )
    assert "secret" not in (made / ".cruft.json").read_text()


def update(environment: Mapping[str, str], made: Path, *words: str) -> str:
    """Update a repository without conflicts; return what cruft wrote."""
    said = try_update(environment, made, *words)
    for name, content in tree(made).items():
        assert not name.endswith(".rej"), name
        assert b"<<<<<<<" not in content, name
    return said


def try_update(environment: Mapping[str, str], made: Path, *words: str) -> str:
    done = run(made, environment, "cruft", "update", "--skip-apply-ask", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, old
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_edits_of_a_user_and_a_newer_template_merge(
    tmp_path: Path, environment: dict[str, str], origin: Path
) -> None:
    made, _ = make(environment, tmp_path / "out", f"file://{origin}")
    commit(made, "made")
    edit(made / "config.py", "AWS_BUCKET = 'your-bucket-name'", "AWS_BUCKET = 'mine'")
    edit(made / "config.py", "CLUSTER_MACHINES = 1", "CLUSTER_MACHINES = 50")
    edit(made / "config.py", "MEMORY = 4000", "MEMORY = 7000")
    with (made / "config.py").open("a") as file:
        file.write("\nMACHINE_PRICE = 0.1\n")
    with (made / "job.py").open("a") as file:
        file.write("\n\ndef on_start():\n    pass\n")
    with (made / "Dockerfile").open("a") as file:
        file.write("RUN true\n")
    edit(made / "README.md", "## On this machine", "## Ours\n\nText.\n\n## On this machine")
    commit(made, "mine")
    mine = tree(made)

    (origin / FOLDER / "ds" / "new.py").write_text('"""New."""\n')
    with (origin / FOLDER / "run.py").open("a") as file:
        file.write("# newer\n")
    commit(origin, "two")

    update(environment, made)
    after = tree(made)
    assert after.pop("ds/new.py") == b'"""New."""\n'
    assert after.pop("run.py").endswith(b"# newer\n")
    for name in (".cruft.json", "run.py"):
        mine.pop(name)
        after.pop(name, None)
    assert after == mine
    assert run(made, environment, "cruft", "check").returncode == 0


def test_changed_answers_merge_with_edits_of_other_settings(
    tmp_path: Path, environment: dict[str, str], origin: Path
) -> None:
    made = create(environment, tmp_path / "out", str(origin))
    commit(made, "made")
    edit(made / "config.py", "EBS_VOL_SIZE = 40", "EBS_VOL_SIZE = 80")
    edit(made / "config.py", "MY_NAME = 'Ada Lovelace'", "MY_NAME = 'Grace'")
    with (made / "config.py").open("a") as file:
        file.write("\nJOB_RETRIES = 5\n")
    edit(made / "job.py", "'HelloWorld/{", "'Ours/{")
    commit(made, "mine")
    changes = {
        "memory_mb": "9000",
        "docker_cores": "2",
        "config_variables": "MY_NAME=Ada Lovelace; SECOND=2",
        "docker_base_image": "debian:trixie-slim",
        "license": "MIT",
    }
    update(environment, made, "--variables-to-update", json.dumps(changes))
    config = (made / "config.py").read_text()
    for line in ("MEMORY = 9000", "DOCKER_CORES = 2", "SECOND = '2'", "MY_NAME = 'Grace'"):
        assert f"\n{line}\n" in config
    for line in ("EBS_VOL_SIZE = 80", "JOB_RETRIES = 5"):
        assert f"\n{line}\n" in config
    assert "'SECOND': 'text'," in (made / "job.py").read_text()
    assert "'Ours/{" in (made / "job.py").read_text()
    assert "FROM debian:trixie-slim\n" in (made / "Dockerfile").read_text()
    assert (made / "LICENSE").read_text().startswith("MIT License")


def test_a_newer_rule_warns_and_does_not_prevent_an_update(
    tmp_path: Path, environment: dict[str, str], origin: Path
) -> None:
    """An older template accepted answers that today's rules refuse."""
    rules = origin / "hooks" / "pre_gen_project.py"
    today = rules.read_text(encoding="utf-8")
    rules.unlink()
    commit(origin, "without rules")
    words = ["--extra-context", json.dumps({"app_name": "1 x", "ebs_gb": "1"})]
    made = create(environment, tmp_path / "out", str(origin), *words)
    commit(made, "made")
    rules.write_text(today, encoding="utf-8")
    commit(origin, "with rules")
    said = update(environment, made)
    assert "Warnings:" in said
    assert "question app_name: '1 x' is not" in said


def test_an_answer_that_would_damage_files_is_refused_in_an_update(
    tmp_path: Path, environment: dict[str, str], origin: Path
) -> None:
    made = create(environment, tmp_path / "out", str(origin))
    commit(made, "made")
    before = tree(made)
    words = ["--variables-to-update", json.dumps({"memory_mb": "4 GB"})]
    done = run(made, environment, "cruft", "update", "--skip-apply-ask", *words)
    assert done.returncode != 0
    assert "question memory_mb: is '4 GB'; must be a whole number" in done.stderr
    assert "cruft update --variables-to-update" in done.stderr
    assert tree(made) == before


BEFORE_DS = "8da3d838f955659c99c81059d5f12441d3394289"
"""The last commit whose engine is worker/ and control/, before it became ds/."""


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository of the template with its history, and today's files as a new commit."""
    try:
        git(ROOT, "cat-file", "-e", f"{BEFORE_DS}^{{commit}}")
    except CalledProcessError:
        pytest.skip(f"this clone does not have commit {BEFORE_DS}; run git fetch --unshallow")
    folder = tmp_path_factory.mktemp("history") / "ds.git"
    git(folder.parent, "clone", "-q", "--no-checkout", str(ROOT), folder.name)
    commit(copy_template(folder), "today")
    return folder


@pytest.fixture(scope="session")
def today(history: Path) -> dict[str, bytes]:
    """Return the files of a repository that is created today."""
    environment = clean_environment(history.parent / "user")
    return implementation(create(environment, history.parent / "out", str(history)))


@pytest.fixture
def old(tmp_path: Path, environment: dict[str, str], history: Path) -> Path:
    """Return a repository that was created before ds/."""
    made = create(environment, tmp_path / "old", str(history), "--checkout", BEFORE_DS)
    assert (made / "worker" / "attempt.py").exists()
    commit(made, "made")
    return made


def implementation(made: Path) -> dict[str, bytes]:
    """Return a repository's files without cruft's own."""
    return {name: content for name, content in tree(made).items() if name != ".cruft.json"}


MINE = {
    "config.py": "\nMACHINE_PRICE = 0.1\n",
    "job.py": "\n\ndef on_start():\n    pass\n",
    "Dockerfile": "RUN true\n",
}
"""What an owner adds below the marks."""


def add_mine(made: Path) -> None:
    for name, text in MINE.items():
        with (made / name).open("a", encoding="utf-8") as file:
            file.write(text)
    commit(made, "mine")


def with_mine(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name: content + MINE.get(name, "").encode() for name, content in files.items()}


def test_an_unedited_repository_from_before_ds_becomes_one_of_today(
    environment: dict[str, str], old: Path, today: dict[str, bytes]
) -> None:
    update(environment, old)
    assert implementation(old) == today
    assert not (old / "worker").exists()
    assert not (old / "control").exists()


def test_edits_below_the_marks_are_kept_in_an_update_from_before_ds(
    environment: dict[str, str], old: Path, today: dict[str, bytes]
) -> None:
    add_mine(old)
    update(environment, old)
    assert implementation(old) == with_mine(today)


def test_edited_settings_are_kept_in_an_update_from_before_ds(
    environment: dict[str, str], old: Path, today: dict[str, bytes]
) -> None:
    text = today["config.py"].decode()
    for before, after in [
        ("AWS_REGION = 'us-east-1'", "AWS_REGION = 'eu-west-1'"),
        ("AWS_BUCKET = 'your-bucket-name'", "AWS_BUCKET = 'mine'"),
        ("CLUSTER_MACHINES = 1", "CLUSTER_MACHINES = 50"),
        ("MEMORY = 4000", "MEMORY = 7000"),
        ("JOB_TIMEOUT_MINUTES = 60", "JOB_TIMEOUT_MINUTES = 5"),
    ]:
        edit(old / "config.py", before, after)
        text = text.replace(before, after)
    commit(old, "mine")
    update(environment, old)
    assert implementation(old) == {**today, "config.py": text.encode()}


@pytest.mark.parametrize(
    ("edited", "places"),
    [
        ("worker/requirements.txt", ["ds/worker/requirements.txt"]),  # moved with its edit
        ("control/answers.py", ["control/answers.py"]),  # removed, but stays if it was edited
        ("worker/attempt.py", ["ds/worker/attempt.py", "worker/attempt.py"]),  # rewritten: either
    ],
)
def test_an_edit_of_an_engine_file_is_not_lost(
    environment: dict[str, str],
    old: Path,
    today: dict[str, bytes],
    edited: str,
    places: list[str],
) -> None:
    """CHANGELOG.md describes these cases."""
    with (old / edited).open("a", encoding="utf-8") as file:
        file.write("# mine\n")
    add_mine(old)
    try_update(environment, old)
    files = implementation(old)
    (place,) = (name for name, content in files.items() if b"# mine\n" in content)
    assert place in places
    assert files == {**with_mine(today), place: files[place]}


def test_an_edit_of_a_line_that_the_template_changed_is_a_marked_conflict(
    environment: dict[str, str], old: Path, today: dict[str, bytes]
) -> None:
    edit(old / "worker/Dockerfile", "COPY worker/requirements.txt .", "COPY mine.txt .")
    add_mine(old)
    try_update(environment, old)
    files = implementation(old)
    place = "ds/worker/Dockerfile"
    conflict = files[place].partition(b"<<<<<<< ours\n")[2].partition(b">>>>>>> theirs\n")[0]
    mine, theirs = conflict.split(b"=======\n")
    assert b"COPY mine.txt ." in mine
    assert b"COPY ds/worker/requirements.txt ." in theirs
    assert files == {**with_mine(today), place: files[place]}
