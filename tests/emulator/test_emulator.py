"""The emulator of `run.py local`, where moto alone would differ from AWS."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.emulator.world import World


def test_no_message_is_received_twice_however_many_ask(world: World) -> None:
    bodies = [f"m{number}" for number in range(200)]
    world.send_bodies(bodies)

    def take(_: int) -> list[str]:
        taken = []
        while messages := world.sqs.receive_message(
            QueueUrl=world.settings.queue_url, MaxNumberOfMessages=3
        ).get("Messages"):
            taken += [message["Body"] for message in messages]
        return taken

    with ThreadPoolExecutor(8) as pool:
        taken = Counter(body for bodies in pool.map(take, range(8)) for body in bodies)
    assert taken == Counter(bodies)


def test_no_deletion_undoes_another_or_a_message_sent_meanwhile(world: World) -> None:
    """moto alone brings deleted messages back."""
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
