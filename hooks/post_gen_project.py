"""Remove what was not chosen, and link the new repository to the template for `cruft update`."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

# Cookiecutter renders this one expression; the answers arrive as data, never as code.
CONTEXT = dict(json.loads({{ '%r'|format(cookiecutter.items()|list|jsonify) }}))  # fmt: skip  # noqa: F821

RENDERED = ("cookiecutter.json", "hooks", "templates", "{" + "{cookiecutter.project_slug}" + "}")
ONLY_COOKIECUTTER = ("_output_dir", "_repo_dir", "_checkout", "_cookiecutter")


class NotLinked(Exception):
    """Why the template's address and commit are not known for sure."""


def main() -> None:
    """Finish the folder that was rendered, which is the current one. Running it twice is fine."""
    if CONTEXT["license"] == "none":
        Path("LICENSE").unlink(missing_ok=True)
    for stray in ("__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"):
        # Tests and tools leave these in the template's working tree.
        for folder in [*Path().glob(stray), *Path().glob(f"[dt]*/**/{stray}")]:
            shutil.rmtree(folder)
    if "_commit" in CONTEXT:
        return  # cruft runs, and writes .cruft.json itself
    sys.stdout.write(f"Made {Path.cwd().name}; README.md there says more, `make local` tries it\n")
    try:
        link(*origin_and_commit(template_folder()))
    except NotLinked as reason:
        sys.stderr.write(
            f"Not linked to the template for updates: {reason};"
            " generate from the template's URL to be linked\n"
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
    """The folder that was rendered.

    `_repo_dir` is as typed, so often relative to a folder that is not known here. But while a hook
    runs, cookiecutter itself, our parent, stands in the template's folder.
    """
    folder = Path(CONTEXT["_repo_dir"])
    if not folder.is_absolute():
        folder = Path(f"/proc/{os.getppid()}/cwd")
    try:
        questions = json.loads((folder / "cookiecutter.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise NotLinked("its folder is not known here") from None
    same = [name for name in questions if name != "__prompts__"]
    if same != [name for name in CONTEXT if name not in (*ONLY_COOKIECUTTER, "_template")]:
        raise NotLinked(f"its folder seems to be {folder}, but that holds another one")
    return folder.resolve()


def origin_and_commit(folder: Path) -> tuple[str, str]:
    """Address and commit of a clone, if what was rendered is exactly that commit, and is there."""
    top = git(folder, "rev-parse", "--show-toplevel", otherwise="it is no git clone")
    if not folder.samefile(top):
        raise NotLinked("the template is only a part of a git clone")
    url = git(folder, "config", "remote.origin.url", otherwise="its clone has no origin")
    # No password goes into a file that is committed; local addresses are paths, as with cruft.
    url = re.sub(r"^(https?://)[^/@]*@", r"\1", url).removeprefix("file://")
    if not ("://" in url or re.match(r"[\w.-]+@[\w.-]+:", url) or Path(url).is_absolute()):
        raise NotLinked(f"the origin of its clone, {url}, is not reached from elsewhere")
    if git(folder, "status", "--porcelain", "--", *RENDERED):
        raise NotLinked("its clone has changes that are not committed")
    commit = git(folder, "rev-parse", "HEAD")
    if not git(folder, "for-each-ref", "--contains", commit, "refs/remotes/origin"):
        raise NotLinked("its clone has commits that its origin does not have")
    return url, commit


def git(folder: Path, *words: str, otherwise: str = "git cannot read its clone") -> str:
    """What git says about the clone in a folder; `otherwise` is the reason if it fails."""
    # GIT_DIR and others, set where git itself runs us, would lead to another repository.
    environment = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith("GIT_") or name.startswith("GIT_CONFIG")
    }
    command = ["git", "--literal-pathspecs", "-C", str(folder), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    except OSError:
        raise NotLinked("git is not there") from None
    if done.returncode != 0:
        raise NotLinked(otherwise)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
