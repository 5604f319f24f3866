"""Lines and records of a worker, in CloudWatch."""

import socket
import threading
import time

import pytest

from ds.jobs.record import Record
from ds.worker import logs as module
from ds.worker.logs import WorkerLogs
from tests.emulator.aws.client import Control
from tests.emulator.world import PATIENCE, World


def test_no_record_is_lost_while_streams_are_created(
    strict: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEND_SECONDS", 0.2)
    client = strict.client("logs")
    for group in ("made-lines", "made-records"):
        client.create_log_group(logGroupName=group)
    strict.latency(700, "logs:CreateLogStream")
    logs = WorkerLogs(client, "made-lines", "made-records", "worker-1")

    def work(slot: int) -> None:
        threading.current_thread().name = f"slot-{slot}"
        for number in range(40):
            logs.line("id", f"{slot} {number}")
            logs.record(Record(f"{slot}-{number}", {}, 1, "", "done", "w", slot))
            time.sleep(0.05)

    threads = [threading.Thread(target=work, args=(slot,)) for slot in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    logs.close()
    strict.latency(0, "logs:CreateLogStream")
    for group in ("made-lines", "made-records"):
        pages = client.get_paginator("filter_log_events").paginate(logGroupName=group)
        found = {event["message"] for page in pages for event in page["events"]}
        assert len(found) == 80, group
    streams = client.describe_log_streams(logGroupName="made-lines")["logStreams"]
    names = {stream["logStreamName"] for stream in streams}
    assert names == {"worker-1/slot-0", "worker-1/slot-1"}


@pytest.mark.parametrize("trouble", ["hangs", "away"])
def test_jobs_are_done_and_a_worker_ends_without_the_log_service(
    world: World, trouble: str
) -> None:
    world.implement("""bash -c 'seq 20000; echo "$name" > "$output_dir/out.txt"'""")
    world.send([{"name": name} for name in "abc"])
    with socket.socket() as service:
        service.bind(("127.0.0.1", 0))
        if trouble == "hangs":
            service.listen()  # and never answer
        url = f"http://127.0.0.1:{service.getsockname()[1]}"
        worker = world.start_worker(AWS_ENDPOINT_URL_CLOUDWATCH_LOGS=url)
        world.wait_until(world.empty)
        worker.terminate()
        assert worker.wait(PATIENCE) == 0
    assert len(world.outputs()) == 3
