"""Remove files that do not belong to the new repository, and link it to the template."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

# Cookiecutter renders this expression: the answers arrive as data, never as code.
CONTEXT = dict(json.loads({{ '%r'|format(cookiecutter.items()|list|jsonify) }}))  # type: ignore  # fmt: skip  # noqa: F821

RENDERED = ("cookiecutter.json", "hooks", "templates", "{" + "{cookiecutter.project_slug}" + "}")
ONLY_COOKIECUTTER = ("_output_dir", "_repo_dir", "_checkout", "_cookiecutter")


class NotLinked(Exception):
    """The template's URL and commit cannot be recorded; the text is the reason."""


def main() -> None:
    """Complete the rendered folder, which is the current folder. A second call changes nothing."""
    if CONTEXT["license"] == "none":
        Path("LICENSE").unlink(missing_ok=True)
    for cache in ("__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"):
        # Tools leave these in the template's working tree, from which cookiecutter copies them.
        for folder in [Path(cache), *Path("ds").rglob(cache), *Path("tests").rglob(cache)]:
            shutil.rmtree(folder, ignore_errors=True)
    if "_commit" in CONTEXT:
        return  # cruft writes .cruft.json itself
    name = Path.cwd().name
    sys.stdout.write(f"Created {name}. Run `make local` in it; README.md describes the rest.\n")
    try:
        link(*origin_and_commit(template_folder()))
    except NotLinked as reason:
        sys.stderr.write(
            f"{name} cannot be updated by cruft: {reason};"
            " to link it, generate it from the template's URL\n"
        )


def link(url: str, commit: str) -> None:
    """Write .cruft.json as `cruft create URL` would."""
    answers = {name: value for name, value in CONTEXT.items() if name not in ONLY_COOKIECUTTER}
    state = {
        "template": url,
        "commit": commit,
        "checkout": CONTEXT["_checkout"],
        "context": {"cookiecutter": {**answers, "_template": url, "_commit": commit}},
        "directory": None,
    }
    text = json.dumps(state, ensure_ascii=False, indent=2, separators=(",", ": "))
    Path(".cruft.json").write_text(text + "\n", encoding="utf-8")


def template_folder() -> Path:
    """Find the template's folder.

    `_repo_dir` is the path as the user typed it, often relative to a folder that a hook does not
    know. However, the hook's parent process, cookiecutter, works in the template's folder.
    """
    folder = Path(CONTEXT["_repo_dir"])
    if not folder.is_absolute():
        folder = Path(f"/proc/{os.getppid()}/cwd")
    try:
        questions = json.loads((folder / "cookiecutter.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise NotLinked("the folder of the template is not known") from None
    same = [name for name in questions if name != "__prompts__"]
    if same != [name for name in CONTEXT if name not in (*ONLY_COOKIECUTTER, "_template")]:
        raise NotLinked(f"the template in {folder} is not the one that was rendered")
    return folder.resolve()


def origin_and_commit(folder: Path) -> tuple[str, str]:
    """Return the template's URL and commit, if that commit is the one that was rendered."""
    top = git(folder, "rev-parse", "--show-toplevel", otherwise="the template is not a git clone")
    if not folder.samefile(top):
        raise NotLinked("the template is only one folder of a git clone")
    url = git(folder, "config", "remote.origin.url", otherwise="the template's clone has no origin")
    # A file that is committed must not contain a password. Local URLs become paths, as in cruft.
    url = re.sub(r"^(https?://)[^/@]*@", r"\1", url).removeprefix("file://")
    if not ("://" in url or re.match(r"[\w.-]+@[\w.-]+:", url) or Path(url).is_absolute()):
        raise NotLinked(f"the origin of the template's clone, {url}, is not a URL or absolute path")
    if git(folder, "status", "--porcelain", "--", *RENDERED):
        raise NotLinked("the template's clone has uncommitted changes")
    commit = git(folder, "rev-parse", "HEAD")
    if not git(folder, "for-each-ref", "--contains", commit, "refs/remotes/origin"):
        raise NotLinked("the template's clone has commits that its origin does not have")
    return url, commit


def git(folder: Path, *words: str, otherwise: str = "git cannot read the template's clone") -> str:
    """Run git on the clone in a folder; return its output, or report a failure as `otherwise`."""
    # Variables such as GIT_DIR, which git sets for its own hooks, name another repository.
    environment = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith("GIT_") or name.startswith("GIT_CONFIG")
    }
    command = ["git", "--literal-pathspecs", "-C", str(folder), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    except OSError:
        raise NotLinked("git is not installed") from None
    if done.returncode != 0:
        raise NotLinked(otherwise)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
