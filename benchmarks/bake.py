"""Compare the template with a bare cookiecutter of the same files, already rendered.

`make bench`, or `.venv/bin/python benchmarks/bake.py [ROUNDS]`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
JINJA = (b"{{", b"{%", b"{#")


def bake(template: Path, folder: Path) -> float:
    """Return the seconds that one `cookiecutter --no-input` takes."""
    command = [sys.executable, "-m", "cookiecutter", str(template), "--no-input"]
    start = time.perf_counter()
    subprocess.run(
        [*command, "--default-config", "--output-dir", str(folder)], check=True, capture_output=True
    )
    return time.perf_counter() - start


def bare_template(rendered: Path, folder: Path) -> Path:
    """Create a template from the rendered files, without questions and hooks.

    It copies unrendered what the real template copies unrendered, and files with Jinja's braces.
    """
    ours = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
    inside = folder / "{{cookiecutter.slug}}"
    rendered.rename(inside)
    files = [path for path in inside.rglob("*") if path.is_file()]
    literal = [
        str(path.relative_to(inside))
        for path in files
        if any(sign in path.read_bytes() for sign in JINJA)
    ]
    copied = [*ours.get("_copy_without_render", []), *literal]
    answers = {"slug": "bare", "_copy_without_render": copied}
    (folder / "cookiecutter.json").write_text(json.dumps(answers), encoding="utf-8")
    print(f"{len(files)} files, {sum(path.stat().st_size for path in files) / 1000:.0f} kB")
    return folder


def main(rounds: int = 9) -> None:
    """Time both templates in turn; report the fastest rounds, because load only adds time."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        bake(ROOT, scratch / "first")
        (rendered,) = (scratch / "first").iterdir()
        (scratch / "bare").mkdir()
        bare = bare_template(rendered, scratch / "bare")
        seconds: dict[str, list[float]] = {"this template": [], "bare": []}
        for number in range(rounds):
            for label, template in (("this template", ROOT), ("bare", bare)):
                seconds[label].append(bake(template, scratch / f"{label} {number}"))
    fastest = {label: min(values) for label, values in seconds.items()}
    for label, value in fastest.items():
        print(f"{label:14} {value:.2f} s (fastest of {rounds})")
    print(f"ratio          {fastest['this template'] / fastest['bare']:.2f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
