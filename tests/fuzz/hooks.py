"""What schemathesis cannot know: which ids there are, and that a key is new.

Left alone it would make up every id, and never get past "there is no such
member"; and it would make up keys that are no UUIDs of version 7, and never get
to the body. So most calls get a key and ids that exist; the rest stay as they are.
"""

import json
import os
import random
import time
import uuid

import schemathesis

TOWN = json.loads(os.environ["MYPAY_FUZZ_TOWN"])
CHANCE = random.Random(int(os.environ.get("MYPAY_FUZZ_SEED", "1")))
KEYS = []


def uuid7():
    value = int(time.time() * 1000) << 80 | CHANCE.getrandbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    return str(uuid.UUID(int=value & ~(0b11 << 62) | 0b10 << 62))


def key():
    """A new key; now and then one that was there, for the answers to those."""
    if KEYS and CHANCE.random() < 0.1:
        return CHANCE.choice(KEYS)
    KEYS.append(uuid7())
    return KEYS[-1]


def of_path(path, name):
    """Ids that the parameter may name, by what stands before it."""
    if name == "run":
        return TOWN["runs"]
    if name == "bank_code":
        return TOWN["banks"]
    for part, kind in (
        ("/franchises/", "franchises"),
        ("/members/", "members"),
        ("/payments/", "payments"),
        ("/settlements/", "runs"),
        ("/requests/", "requests"),
        ("/firmbankings/", "commands"),
        ("/bank-cases/", "cases"),
    ):
        if part in path:
            return TOWN[kind]
    return []


@schemathesis.hook
def before_call(ctx, case, kwargs):
    if CHANCE.random() < 0.15:
        return
    parameters = {p.name.lower() for p in case.operation.headers}
    if "idempotency-key" in parameters:
        case.headers["Idempotency-Key"] = key()
    own = TOWN["subject"]
    for name in list(case.path_parameters or {}):
        known = of_path(case.path, name)
        if own in known and CHANCE.random() < 0.6:
            case.path_parameters[name] = own
        elif known:
            case.path_parameters[name] = CHANCE.choice(known)
    if isinstance(case.body, dict):
        receiver = case.body.get("receiver")
        if isinstance(receiver, dict) and isinstance(receiver.get("member_id"), str):
            receiver["member_id"] = CHANCE.choice(TOWN["members"])
        if isinstance(case.body.get("from"), dict):
            # Our own money, or nothing would move.
            ours = CHANCE.randrange(len(TOWN["banks"]))
            case.body["from"] = {
                "bank_code": TOWN["banks"][ours],
                "account_number": TOWN["accounts"][ours],
            }
        for field, kind in (
            ("member_id", "members"),
            ("sender_id", "members"),
            ("franchise_id", "franchises"),
        ):
            if isinstance(case.body.get(field), str):
                case.body[field] = CHANCE.choice(TOWN[kind])
        if own in TOWN["members"] and CHANCE.random() < 0.7:
            for field in ("member_id", "sender_id"):
                if field in case.body:
                    case.body[field] = own
