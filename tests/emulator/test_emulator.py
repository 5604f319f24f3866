"""The emulator of `run.py local` behaves like AWS where moto alone does not."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.emulator.world import World


def test_concurrent_receives_never_return_a_message_twice(world: World) -> None:
    bodies = [f"m{number}" for number in range(200)]
    world.send_bodies(bodies)

    def receive(_: int) -> list[str]:
        received = []
        while messages := world.sqs.receive_message(
            QueueUrl=world.settings.queue_url, MaxNumberOfMessages=3
        ).get("Messages"):
            received += [message["Body"] for message in messages]
        return received

    with ThreadPoolExecutor(8) as pool:
        received = Counter(body for bodies in pool.map(receive, range(8)) for body in bodies)
    assert received == Counter(bodies)


def test_concurrent_deletes_and_sends_do_not_undo_each_other(world: World) -> None:
    """moto alone restores deleted messages."""
    url, bodies = world.settings.queue_url, [f"m{number}" for number in range(300)]
    world.send_bodies(bodies[:200])
    receipts = []
    while messages := world.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get(
        "Messages"
    ):
        receipts += [message["ReceiptHandle"] for message in messages]
    assert len(receipts) == 200
    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(world.send_bodies, [body]) for body in bodies[200:]]
        list(pool.map(lambda r: world.sqs.delete_message(QueueUrl=url, ReceiptHandle=r), receipts))
        for one in sent:
            one.result()
    answer = world.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    counts = (
        answer["ApproximateNumberOfMessages"],
        answer["ApproximateNumberOfMessagesNotVisible"],
    )
    assert counts == ("100", "0")
