"""Write pre_gen_project.py: refuse.py and the modules with the rules for answers, in one file.

Cookiecutter runs a hook as a single file, so the hook cannot import the engine. Run this script
with `make hooks`.
"""

import ast
import re
from collections import defaultdict
from pathlib import Path

HOOKS = Path(__file__).resolve().parent
ENGINE = HOOKS.parent / "{{cookiecutter.project_slug}}"
MODULES = (
    "problems",
    "variables",
    "command",
    "command_checks",
    "output_prefix",
    "outputs",
    "settings",
)
PARTS = [
    *(ENGINE / "ds" / "jobs" / f"{name}.py" for name in MODULES),
    HOOKS / "answers.py",
    HOOKS / "refuse.py",
]
OWN = ("ds", "hooks")

HEAD = '''"""Refuse answers that cannot become a working repository, before anything is written.

Written by `make hooks` from modules of the engine, answers.py and refuse.py: edit those.
"""

# {% raw %} Cookiecutter does not render this part:
'''


def build() -> str:
    """Return the text of the hook."""
    imports: dict[str, set[str]] = defaultdict(set)
    bodies = {path: body(path.read_text(encoding="utf-8"), imports) for path in PARTS}
    lines = [f"import {module}" for module in sorted(imports) if not imports[module]]
    for module, names in sorted(imports.items()):
        if names:
            lines.append(f"from {module} import {', '.join(sorted(names))}")
    text = HEAD + "\n".join(lines)
    for path, code in bodies.items():
        if "raw %}" in code:
            raise SystemExit(f"{path.name} would end the raw block; change that text")
        raw_ends = "# {% endraw %}\n\n" if path == PARTS[-1] else ""
        text += f"\n\n{raw_ends}# === {path.parent.name}/{path.name}\n\n\n{code}"
    refuse_doubles(text)
    return re.sub("\n{4,}", "\n\n\n", text)


def body(source: str, imports: dict[str, set[str]]) -> str:
    """Return a module's text without docstring and imports; add its imports to `imports`."""
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
    """Refuse a name that two modules define: the later definition would replace the earlier one."""
    seen: set[str] = set()
    for node in ast.parse(text).body:
        for target in node.targets if isinstance(node, ast.Assign) else [node]:
            name = getattr(target, "name", getattr(target, "id", None))
            if name in seen:
                raise SystemExit(f"{name} is defined twice; rename it in one of the modules")
            if name:
                seen.add(name)


if __name__ == "__main__":
    (HOOKS / "pre_gen_project.py").write_text(build(), encoding="utf-8")
