"""A thousand trivial jobs by `run.py local`, two workers of four slots each.

`make bench`, or `.venv/bin/python benchmarks/local_thousand.py [JOBS]`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
ANSWERS = [
    "project_name=Distributed-Thousand",
    'command=sh -c \'echo "$number" > "$output_dir/number"\'',
    "group_variables=number=1|2",
    "shared_variables= ",
    "config_variables= ",
    "output_prefix=numbers/{number}",
    "docker_cores=4",
]


def main(jobs: int = 1000) -> None:
    """Generate an implementation, run its jobs, and check that each has its own output."""
    with tempfile.TemporaryDirectory() as folder:
        words = [str(ROOT), "--no-input", "--default-config", "--output-dir", folder, *ANSWERS]
        subprocess.run(
            [sys.executable, "-m", "cookiecutter", *words], check=True, capture_output=True
        )
        root = Path(folder, "Distributed-Thousand")
        groups = {"groups": {"matrix": {"number": list(range(jobs))}}}
        (root / "jobs.json").write_text(json.dumps(groups), encoding="utf-8")
        ran = subprocess.run(
            [sys.executable, "run.py", "local", "jobs.json", "--workers", "2", "--json"],
            cwd=root,
            check=True,
            capture_output=True,
        )
        summary = json.loads(ran.stdout)
        wrong = [
            number
            for number in range(jobs)
            if (root / f"local-output/numbers/{number}/number").read_text() != f"{number}\n"
        ]
    print(f"{summary['done']} of {jobs} done in {summary['attempts']} attempts, {len(wrong)} wrong")
    print(f"{summary['seconds']:.0f} s, {summary['seconds'] / jobs * 1000:.0f} ms a job")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
