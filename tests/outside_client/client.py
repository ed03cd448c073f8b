#!/usr/bin/env python3
"""A client from outside: it knows the brokers, the registry, and the names of
topics; all else it learns from the registry.

It remits money to a member, and to an account at a bank (the other branch of
the receiver's union), and reads the result of each. Exit code 0 when the first
is COMPLETED and the second has its answer.
"""

import argparse
import sys
import time
import uuid

from confluent_kafka import Consumer, Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

REQUESTS = "my.remittance.request"
RESULTS = "my.remittance.result"
PATIENCE_SECONDS = 60


def uuid7():
    """A UUID of version 7, which Python has only from 3.14 on."""
    random = uuid.uuid4().int
    millis = time.time_ns() // 1_000_000
    value = millis << 80 | 0x7 << 76 | (random >> 64 & 0xFFF) << 64
    return str(uuid.UUID(int=value | 0b10 << 62 | random & (1 << 62) - 1))


def remittance(sender, receiver, amount):
    message_id = uuid7()
    return {
        "message_id": message_id,
        "correlation_id": message_id,
        "requested_at": time.time_ns() // 1_000_000,
        "sender_id": sender,
        "receiver": receiver,
        "amount": amount,
    }


def send(args, registry, requests):
    latest = registry.get_latest_version(f"{REQUESTS}-value")
    print(f"{REQUESTS}: schema {latest.schema_id}, version {latest.version}")
    conf = {"auto.register.schemas": False, "use.latest.version": True}
    serialize = AvroSerializer(registry, latest.schema.schema_str, conf=conf)
    producer = Producer({"bootstrap.servers": args.bootstrap, "enable.idempotence": True})
    context = SerializationContext(REQUESTS, MessageField.VALUE)
    for request in requests:
        producer.produce(REQUESTS, key=request["sender_id"], value=serialize(request, context))
        print(f"asked     {request['message_id']}: {request['amount']} won to {request['receiver']}")
    left = producer.flush(PATIENCE_SECONDS)
    if left:
        sys.exit(f"{left} requests were not taken by the brokers")


def results(args, registry, wanted):
    """The results of the wanted requests, each the list of all that came."""
    deserialize = AvroDeserializer(registry)
    consumer = Consumer(
        {
            "bootstrap.servers": args.bootstrap,
            "group.id": f"outside-client-{uuid.uuid4()}",
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([RESULTS])
    context = SerializationContext(RESULTS, MessageField.VALUE)
    found = {request_id: [] for request_id in wanted}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and not all(found.values()):
        message = consumer.poll(0.5)
        if message is None or message.error():
            continue
        result = deserialize(message.value(), context)
        if result["request_id"] in found:
            found[result["request_id"]].append(result)
            reason = f" ({result['reason']})" if result["reason"] else ""
            print(f"answered  {result['request_id']}: {result['status']}{reason}")
    consumer.close()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("bootstrap", "registry", "sender", "receiver"):
        parser.add_argument(f"--{name}", required=True)
    args = parser.parse_args()
    registry = SchemaRegistryClient({"url": args.registry})

    to_member = remittance(args.sender, {"member_id": args.receiver}, 700)
    # No such bank: the answer is known without one.
    account = {"bank_code": "none", "account_number": "1002-003-456789", "holder_name": "홍길동"}
    to_bank = remittance(args.sender, account, 300)
    send(args, registry, [to_member, to_bank])
    found = results(args, registry, [to_member["message_id"], to_bank["message_id"]])

    wrong = []
    for request, status, reason in (
        (to_member, "COMPLETED", None),
        (to_bank, "REJECTED", "invalid_bank_code"),
    ):
        answers = found[request["message_id"]]
        if [(answer["status"], answer["reason"]) for answer in answers] != [(status, reason)]:
            wrong.append(f"{request['message_id']}: {answers}, not {status} ({reason})")
            continue
        answer = answers[0]
        if answer["correlation_id"] != request["correlation_id"] or answer["amount"] != request["amount"]:
            wrong.append(f"the answer does not tell of the request: {answer}")
    if wrong:
        sys.exit("\n".join(wrong))
    print("both requests have the answer that they must have")


if __name__ == "__main__":
    main()
