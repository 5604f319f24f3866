"""Write pre_gen_project.py: the engine's rules of the answers in one file, and refuse.py.

Cookiecutter runs a hook as a lone file, so it cannot import the engine. `make hooks` runs this.
"""

import ast
import re
import sys
from collections import defaultdict
from pathlib import Path

HOOKS = Path(__file__).resolve().parent
ENGINE = HOOKS.parent / "{{cookiecutter.project_slug}}"
PARTS = [
    ENGINE / "ds" / "jobs" / "problems.py",
    ENGINE / "ds" / "jobs" / "variables.py",
    ENGINE / "ds" / "jobs" / "command.py",
    ENGINE / "ds" / "jobs" / "output_prefix.py",
    HOOKS / "answers.py",
    HOOKS / "refuse.py",
]
OWN = ("ds", "hooks")

HEAD = '''"""Refuse answers that cannot become a working repository, before anything is written.

Written by `make hooks` out of the engine's modules and hooks/refuse.py: edit those.
"""

# {% raw %} Code of the engine, which cookiecutter does not render:
'''


def build() -> str:
    """The hook's text."""
    sys.path.insert(0, str(ENGINE))
    from ds.control.files.config_file import SETTING_NAMES

    imports: dict[str, set[str]] = defaultdict(set)
    bodies = {path: body(path.read_text(encoding="utf-8"), imports) for path in PARTS}
    lines = [f"import {module}" for module in sorted(imports) if not imports[module]]
    for module, names in sorted(imports.items()):
        if names:
            lines.append(f"from {module} import {', '.join(sorted(names))}")
    names_of_settings = "".join(f'    "{name}",\n' for name in SETTING_NAMES)
    text = HEAD + "\n".join(lines) + f"\n\nSETTING_NAMES = (\n{names_of_settings})\n"
    for path, code in bodies.items():
        if "raw %}" in code:
            raise SystemExit(f"{path.name} would end the raw block")
        raw_ends = "# {% endraw %}\n\n" if path == PARTS[-1] else ""
        text += f"\n\n{raw_ends}# === {path.parent.name}/{path.name}\n\n\n{code}"
    refuse_doubles(text)
    return re.sub("\n{4,}", "\n\n\n", text)


def body(source: str, imports: dict[str, set[str]]) -> str:
    """A module's text without docstring and imports; the imports of other modules are gathered."""
    lines = source.splitlines(keepends=True)
    tree = ast.parse(source)
    for number, node in enumerate(tree.body):
        if isinstance(node, ast.Import):
            imports.update((name.name, set()) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if module.split(".")[0] not in OWN:
                imports[module].update(name.name for name in node.names)
        elif number > 0 or not isinstance(node, ast.Expr):
            continue
        for line in range(node.lineno - 1, node.end_lineno or node.lineno):
            lines[line] = ""
    return "".join(lines).strip() + "\n"


def refuse_doubles(text: str) -> None:
    """One name for two things would silently be the later one."""
    seen: set[str] = set()
    for node in ast.parse(text).body:
        for target in node.targets if isinstance(node, ast.Assign) else [node]:
            name = getattr(target, "name", getattr(target, "id", None))
            if name in seen:
                raise SystemExit(f"{name} is there twice: rename it in one of the modules")
            if name:
                seen.add(name)


if __name__ == "__main__":
    (HOOKS / "pre_gen_project.py").write_text(build(), encoding="utf-8")
