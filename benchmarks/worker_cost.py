"""The worker's own cost per job, compared with the bare calls, on one emulator within one run.

`make bench`, or `.venv/bin/python benchmarks/worker_cost.py [JOBS [ROUNDS]]`.

The bare calls are those that every worker needs: receive, run the command, put its output, delete
the message. DS's worker also checks, renews leases, writes logs and records, cleans folders. Each
job writes the time at which its command ran: the outputs show the rate, without the start and the
end of the processes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3

ENGINE = Path(__file__).parents[1] / "{{cookiecutter.project_slug}}"
sys.path.insert(0, str(ENGINE))

from ds.control.local.emulator import running  # noqa: E402
from ds.jobs.environment import WorkerSettings  # noqa: E402

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_sqs import SQSClient

BUCKET = "bench"
COMMAND = ["sh", "-c", 'date +%s.%N > "$output_dir/time"']
JOB_PY = f"""COMMAND = '''sh -c '{COMMAND[2]}' '''
VARIABLES = {{"number": "text", "round": "text"}}
OUTPUT_PREFIX = "{{round}}/{{number}}"
"""


@dataclass(frozen=True)
class Aws:
    """The emulated AWS."""

    sqs: SQSClient
    s3: S3Client


def bare(aws: Aws, queue: str, jobs: int, scratch: Path) -> None:
    """Do one job after the other by the bare calls."""
    for number in range(jobs):
        (message,) = aws.sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"]
        body = json.loads(message["Body"])
        output = scratch / str(number)
        output.mkdir()
        subprocess.run(COMMAND, env={**os.environ, "output_dir": str(output)}, check=True)
        key = f"{body['round']}/{body['group']['number']}/time"
        aws.s3.put_object(Bucket=BUCKET, Key=key, Body=(output / "time").read_bytes())
        aws.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])


def worker(aws: Aws, queue: str, jobs: int, scratch: Path) -> None:
    """Do the same jobs by a worker with one slot."""
    (scratch / "job.py").write_text(JOB_PY, encoding="utf-8")
    settings = WorkerSettings(
        APP_NAME="Bench",
        run_id=scratch.name,
        AWS_BUCKET=BUCKET,
        queue_url=queue,
        dead_letter_url=new_queue(aws, f"{scratch.name}-dead"),
        LOG_GROUP_NAME="bench",
    )
    environment = {**os.environ, **settings.environment()}
    environment["PYTHONPATH"] = str(ENGINE)
    with (scratch / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ds.worker"], cwd=scratch, env=environment, stderr=log
        )
    while len(outputs(aws, scratch.name)) < jobs and process.poll() is None:
        time.sleep(2)
    process.terminate()
    if process.wait(120) != 0:
        sys.exit((scratch / "log").read_text(encoding="utf-8"))


def new_queue(aws: Aws, name: str) -> str:
    """Create a queue and return its URL."""
    return aws.sqs.create_queue(QueueName=name)["QueueUrl"]


def outputs(aws: Aws, prefix: str) -> list[str]:
    """Return the keys of the outputs so far."""
    pages = aws.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/")
    return [item["Key"] for page in pages for item in page.get("Contents", [])]


def seconds_per_job(
    way: Callable[[Aws, str, int, Path], None], aws: Aws, name: str, jobs: int
) -> float:
    """Send jobs, do them one way, and compute the pace from their outputs."""
    queue = new_queue(aws, name)
    bodies = [json.dumps({"round": name, "group": {"number": str(n)}}) for n in range(jobs)]
    for start in range(0, jobs, 10):
        batch = bodies[start : start + 10]
        entries = [{"Id": str(n), "MessageBody": body} for n, body in enumerate(batch)]
        aws.sqs.send_message_batch(QueueUrl=queue, Entries=entries)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder) / name
        scratch.mkdir()
        way(aws, queue, jobs, scratch)
    answers = [aws.s3.get_object(Bucket=BUCKET, Key=key) for key in outputs(aws, name)]
    ran = [float(answer["Body"].read()) for answer in answers]
    if len(ran) != jobs:
        sys.exit(f"{name}: {len(ran)} of {jobs} jobs were done")
    return (max(ran) - min(ran)) / (jobs - 1)


def main(jobs: int = 50, rounds: int = 8) -> None:
    """Measure both ways in turn; take the fastest round of each: a busy machine only adds time."""
    ways = {"bare calls": bare, "worker": worker}
    seconds: dict[str, list[float]] = {label: [] for label in ways}
    with running():
        aws = Aws(boto3.client("sqs"), boto3.client("s3"))
        aws.s3.create_bucket(Bucket=BUCKET)
        logs = boto3.client("logs")
        for group in ("bench", "bench_records"):
            logs.create_log_group(logGroupName=group)
        for number in range(rounds):
            for label, way in ways.items():
                name = f"{label.replace(' ', '-')}-{number}"
                seconds[label].append(seconds_per_job(way, aws, name, jobs))
    fastest = {label: min(values) for label, values in seconds.items()}
    for label, value in fastest.items():
        print(f"{label:10} {value * 1000:.1f} ms a job (fastest of {rounds} x {jobs} jobs)")
    print(f"ratio      {fastest['worker'] / fastest['bare calls']:.2f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
