"""`submitJob` against the strict emulator; another client reads the queue."""

from __future__ import annotations

import json
import os
import re
import sys
from collections import Counter
from typing import Any

import pexpect
import pytest

from ds.control.submission.journal import FOLDER
from tests.emulator.account import NO_RETRIES, Account
from tests.implementation import write_jobs

SUBMIT = ["submitJob", "files/exampleJob.json"]


@pytest.fixture
def ready(account: Account) -> Account:
    """An account after `setup`."""
    account.ok("setup")
    return account


def bodies(account: Account) -> list[dict[str, Any]]:
    sqs = account.client("sqs")
    url = sqs.get_queue_url(QueueName="Test")["QueueUrl"]
    found = []
    while batch := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        found += [json.loads(message["Body"]) for message in batch]
    return found


def names(account: Account) -> Counter[str]:
    return Counter(body["group"]["name"] for body in bodies(account))


def tags(account: Account) -> dict[str, str]:
    sqs = account.client("sqs")
    url = sqs.get_queue_url(QueueName="Test")["QueueUrl"]
    return dict(sqs.list_queue_tags(QueueUrl=url)["Tags"])


def test_every_group_becomes_a_message(ready: Account) -> None:
    assert "2 jobs sent to queue Test" in ready.ok(*SUBMIT)
    found = sorted(bodies(ready), key=lambda body: str(body["group"]["name"]))
    assert found == [{"group": {"name": "a"}}, {"group": {"name": "b"}}]
    assert set(tags(ready)) == {"ds:app", "ds:run"}


def test_shared_variables_travel_with_each_group(ready: Account) -> None:
    text = (ready.root / "job.py").read_text().replace("'text'}", "'text', 'size': 'text'}")
    (ready.root / "job.py").write_text(text)
    write_jobs(ready.root, [{"name": "é 1"}], {"size": 3})
    ready.ok(*SUBMIT)
    assert bodies(ready) == [{"size": 3, "group": {"name": "é 1"}}]


def test_groups_are_sent_a_second_time_only_with_again(ready: Account) -> None:
    ready.ok(*SUBMIT)
    ended = ready.run(*SUBMIT)
    assert ended.code == 2
    assert "all groups were already sent to this queue" in ended.output
    assert "--again" in ended.output
    ready.ok(*SUBMIT, "--again")
    assert names(ready) == {"a": 2, "b": 2}


def test_another_job_file_or_queue_is_another_submission(ready: Account) -> None:
    ready.ok(*SUBMIT)
    write_jobs(ready.root, [{"name": "c"}])
    ready.ok(*SUBMIT)
    assert names(ready) == {"a": 1, "b": 1, "c": 1}
    ready.control.settings(queue_name_blocked=0)
    sqs = ready.client("sqs")
    sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName="Test")["QueueUrl"])
    # SQS reports the time of creation in seconds.
    ready.control.fault("sqs:CreateQueue", "refused", code="QueueDeletedRecently", status=400)
    ready.ok("setup")
    ready.ok(*SUBMIT)
    assert names(ready) == {"c": 1}


def test_a_dry_run_prints_messages_and_does_not_ask_aws(ready: Account) -> None:
    write_jobs(ready.root, [{"name": f"n{number}"} for number in range(7)])
    ready.control.forget_calls()
    said = ready.ok(*SUBMIT, "--dry-run")
    assert said.splitlines() == [
        '{"group":{"name":"n0"}}',
        '{"group":{"name":"n1"}}',
        '{"group":{"name":"n2"}}',
        "... and 4 more",
        "7 jobs would be sent to queue Test; nothing was sent.",
    ]
    assert ready.control.calls() == []
    assert not (ready.root / FOLDER).exists()


def test_done_groups_are_left_out_with_few_requests(ready: Account) -> None:
    write_jobs(ready.root, [{"name": f"n{number}"} for number in range(40)])
    s3 = ready.client("s3")
    for number in range(0, 40, 2):
        s3.put_object(Bucket="test-bucket", Key=f"out/n{number}/out.txt", Body=b"x")
    s3.put_object(Bucket="test-bucket", Key="out/n1/out.txt", Body=b"")
    ready.control.forget_calls()
    said = ready.ok(*SUBMIT, "--skip-done")
    assert "20 jobs sent to queue Test" in said
    assert "20 are done and were skipped" in said
    assert len(ready.control.calls("s3:ListObjectsV2")) == 1
    assert set(names(ready)) == {f"n{number}" for number in range(1, 40, 2)}


def test_only_messages_that_sqs_did_not_accept_are_sent_again(ready: Account) -> None:
    write_jobs(ready.root, [{"name": f"n{number}"} for number in range(20)])
    ready.control.fault("sqs:SendMessageBatch", "partial", entries=[2, 5])
    ready.ok(*SUBMIT)
    assert names(ready) == {f"n{number}": 1 for number in range(20)}
    sizes = [
        len(call["parameters"]["Entries"]) for call in ready.control.calls("sqs:SendMessageBatch")
    ]
    assert sorted(sizes) == [2, 10, 10]


def test_the_queue_is_tagged_during_a_submission(ready: Account) -> None:
    ready.control.fault("sqs:SendMessageBatch", "killed")
    assert ready.run(*SUBMIT).code == -9
    (mark,) = set(tags(ready)) - {"ds:app", "ds:run"}
    assert mark.startswith("ds:submitting:")
    ready.control.clear_faults()
    ready.ok(*SUBMIT)
    assert set(tags(ready)) == {"ds:app", "ds:run"}


def test_an_interrupted_submission_continues_in_many_threads(ready: Account) -> None:
    write_jobs(ready.root, [{"name": f"n{number}"} for number in range(500)])
    ready.control.fault("sqs:SendMessageBatch", "killed", skip=20)
    assert ready.run(*SUBMIT, env=NO_RETRIES).code == -9
    ready.control.clear_faults()
    said = ready.ok(*SUBMIT)
    assert "Up to 160 jobs that were in flight at the interruption may run twice" in said
    found = names(ready)
    assert len(found) == 500
    assert sum(found.values()) <= 660


def test_a_terminal_shows_progress_and_keeps_whole_lines(ready: Account) -> None:
    write_jobs(ready.root, [{"name": f"n{number}"} for number in range(800)])
    ready.control.fault("sqs:SendMessageBatch", "killed", skip=20)
    assert ready.run(*SUBMIT, env=NO_RETRIES).code == -9
    ready.control.clear_faults()
    # Several rounds of all threads, because the rate is shown from the second one on.
    ready.control.latency(600, "sqs:SendMessageBatch")
    env = {**os.environ, **ready.control.environment, "TERM": "xterm", "COLUMNS": "100"}
    shown = pexpect.run(
        f"{sys.executable} run.py {' '.join(SUBMIT)}", cwd=str(ready.root), env=env, timeout=120
    ).decode()
    counts = [int(count) for count in re.findall(r"(\d+) of 800 jobs", shown)]
    assert counts[0] >= 100  # what was sent before counts
    assert counts[-1] == 800
    assert counts == sorted(counts)
    assert re.search(r"of 800 jobs, \d+ per second, ", shown)
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is back
    assert re.search(r"\d+ jobs sent to queue Test in [\d.]+ s\.\r\n$", shown)


WRONG = [
    ([], "queue Test: does not exist in us-east-1; run python run.py setup first"),
    (["foreign"], "queue Test: does not belong to Test"),
]


@pytest.mark.parametrize(("before", "expected"), WRONG)
def test_nothing_is_sent_without_a_queue_of_this_application(
    account: Account, before: list[str], expected: str
) -> None:
    if before:
        account.client("sqs").create_queue(QueueName="Test")
    ended = account.run(*SUBMIT)
    assert ended.code == 2
    assert expected in ended.output
    assert ended.output.count("\n") == 1
    assert not account.control.calls("sqs:SendMessageBatch")


def test_a_message_that_sqs_refuses_is_reported(ready: Account) -> None:
    ready.control.fault("sqs:SendMessageBatch", "refused", code="InvalidMessageContents")
    ended = ready.run(*SUBMIT)
    assert ended.code == 3
    assert ended.output.startswith("AWS refused SendMessageBatch: InvalidMessageContents")
    ready.ok(*SUBMIT)
    assert names(ready) == {"a": 1, "b": 1}


def test_an_invalid_job_file_is_reported_before_aws_is_asked(ready: Account) -> None:
    write_jobs(ready.root, [{"nam": "a"}])
    ready.control.forget_calls()
    ended = ready.run(*SUBMIT)
    assert ended.code == 2
    assert "did you mean name?" in ended.output
    assert ready.control.calls() == []
