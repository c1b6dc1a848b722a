#!/usr/bin/env python3
"""Checks an evidence pack, written from docs/audit.md alone, with nothing but Python's standard library.

usage: verify-evidence.py PACK KEY [LEAD]

KEY is name+hash+base64, or a file of keys with their times. With LEAD, the id of a lead, a pack of anything else is refused. It does not decrypt personal data (the library has no AES); it checks all the rest. Exit status 0 when the pack holds, else 1.
"""
import base64
import datetime
import hashlib
import itertools
import json
import os
import sys


class Wrong(Exception):
    pass


def sha256(*parts):
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()


def node(left, right):
    return sha256(b"\x01", left, right)


# Ed25519 (RFC 8032), slow and plain; only for checking signatures.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def add(a, b):
    x1, y1, z1, t1 = a
    x2, y2, z2, t2 = b
    m, n = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    e, f, g, h = n - m, d - c, d + c, n + m
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(number, point):
    total = (0, 1, 1, 0)
    while number:
        if number & 1:
            total = add(total, point)
        point = add(point, point)
        number >>= 1
    return total


def point(encoded):
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        raise Wrong("a point that is none")
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - x2) % P or (x == 0 and sign):
        raise Wrong("a point that is none")
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def signed(key, text, signature):
    if len(signature) != 64:
        return False
    a, r = point(key), point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if s >= L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + text).digest(), "little") % L
    x1, y1, z1, _ = times(s, BASE)
    x2, y2, z2, _ = add(r, times(h, a))
    return (x1 * z2 - x2 * z1) % P == 0 and (y1 * z2 - y2 * z1) % P == 0


def decode(text):
    return base64.b64decode(text, validate=True)


def a_hash(text):
    value = decode(text)
    if len(value) != 32:
        raise Wrong("a hash that has not 32 bytes")
    return value


def seconds(text):
    time = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    if time.tzinfo is None:
        raise Wrong("a time without its zone")
    return int(time.timestamp() // 1)


def keys_of(argument):
    lines = open(argument, encoding="utf-8").read().splitlines() if os.path.exists(argument) else [argument]
    keys = {}
    for line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        words = list(itertools.takewhile(lambda word: not word.startswith("#"), line.split()))
        name, given, encoded = words[0].split("+", 2)
        key = decode(encoded)
        digest = sha256(name.encode(), b"\n", key)[:4]
        if key[0] != 1 or len(key) != 33 or digest.hex() != given:
            raise Wrong("a key that is none")
        times = [None if word == "-" else seconds(word) for word in words[1:3]]
        keys[name, digest] = key[1:], *times, *[None] * (2 - len(times))
    return keys


def extension(lines, name):
    """What the checkpoint says in its line of this name, of which there has to be one."""
    found = [line[len(name) + 1:] for line in lines[3:] if line.startswith(name + " ")]
    if len(found) != 1:
        raise Wrong(f"the checkpoint has {len(found)} lines {name}")
    return found[0]


def checkpoint(note, keys):
    text, found, signatures = note.rpartition("\n\n")
    text += "\n"
    if not found or not signatures.endswith("\n"):
        raise Wrong("the checkpoint is not a signed note")
    trusted = []
    for line in signatures[:-1].split("\n"):
        dash, name, encoded = line.split(" ")
        value = decode(encoded)
        if dash != "\u2014" or not name or len(value) < 4:
            raise Wrong("the checkpoint is not a signed note")
        key = keys.get((name, value[:4]))
        if key:
            if not signed(key[0], text.encode(), value[4:]):
                raise Wrong("the checkpoint's signature is wrong")
            trusted.append((name, *key[1:]))
    lines = text.split("\n")
    trusted = [times for name, *times in trusted if name == lines[0]]
    if not trusted:
        raise Wrong("the checkpoint is not signed by a given key")
    time = seconds(extension(lines, "leadledger-time"))
    if not any((since is None or since <= time) and (until is None or time <= until) for since, until in trusted):
        raise Wrong("the checkpoint is of a time at which the key that signed it did not hold")
    size = lines[1]
    if not (size.isascii() and size.isdigit()) or str(int(size)) != size:
        raise Wrong("the checkpoint has no tree size")
    return int(size), a_hash(lines[2]), a_hash(extension(lines, "leadledger-streams")), time


def once(members):
    """An object, in which no member may stand twice: it could be read as either."""
    found = dict(members)
    if len(found) != len(members):
        raise Wrong("JSON in which a member stands twice")
    return found


def strict(text):
    return json.loads(text, object_pairs_hook=once)


def says_one_thing(event):
    try:
        payload, metadata = strict(event["payload"]), strict(event["metadata"])
    except ValueError:
        return False
    return isinstance(payload, dict) and list(payload) == [event["event_type"]] and isinstance(metadata, dict)


def framed(*texts):
    return b"".join(len(text.encode()).to_bytes(8, "big") + text.encode() for text in texts)


def leaf_of(pack, event):
    company = event["company_id"]
    return sha256(b"\x00", framed(
        "leadledger.event.v1", pack["aggregate_type"], pack["aggregate_id"], str(event["sequence"]),
        event["event_type"], event["event_version"], event["payload"], event["metadata"],
        str(event["recorded_at_micros"]), "" if company is None else str(company)))


def included(index, size, leaf, path, root):
    """RFC 9162, section 2.1.3.2."""
    if not 0 <= index < size:
        return False
    fn, sn, value = index, size - 1, leaf
    for beside in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            value = node(beside, value)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            value = node(value, beside)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and value == root


def check(pack, keys):
    if pack["format"] != "leadledger.evidence.v1":
        raise Wrong("another format")
    size, root, streams, time = checkpoint(pack["checkpoint"], keys)
    before, earlier, leaf, doubtful = 0, None, None, None
    for number, event in enumerate(pack["events"], 1):
        if event["sequence"] != number:
            raise Wrong(f"event {number}: an event before it is withheld")
        if event["position"] <= before:
            raise Wrong(f"event {number}: is out of order")
        before = event["position"]
        micros = event["recorded_at_micros"]
        datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=micros)  # Refuses what is no time.
        if earlier is not None and micros < earlier:
            raise Wrong(f"event {number}: was recorded earlier than the event before it")
        earlier = micros
        if micros >= (time + 1) * 1_000_000:
            doubtful = doubtful or number
        if not says_one_thing(event):
            raise Wrong(f"event {number}: does not say one thing only")
        leaf = leaf_of(pack, event)
        if not included(before - 1, size, leaf, [a_hash(h) for h in event["inclusion_path"]], root):
            raise Wrong(f"event {number}: is not what the ledger has at position {before}")
    count = len(pack["events"])
    if leaf is None or count != pack["stream_events"]:
        raise Wrong("the number of events is another")
    key = sha256(framed(pack["aggregate_type"], pack["aggregate_id"]))
    value = sha256(b"\x00", b"leadledger.stream.v1", key, count.to_bytes(8, "big"), leaf)
    proof = [a_hash(h) for h in pack["stream_proof"]]
    for depth, beside in zip(range(len(proof) - 1, -1, -1), proof):
        right = key[depth // 8] >> (7 - depth % 8) & 1
        value = node(beside, value) if right else node(value, beside)
    if value != streams:
        raise Wrong("the history is not whole")
    return count, size, doubtful


def stream_of(pack, lead):
    """Whose history it is, in words that cannot move a terminal's cursor."""
    told = f"{pack['aggregate_type']} {pack['aggregate_id']}"
    if lead is not None and (pack["aggregate_type"], pack["aggregate_id"]) != ("lead", lead):
        raise Wrong(f"the pack is of {ascii(told)}, and not of lead {lead}")
    return told if told.isprintable() else ascii(told)


def main():
    if len(sys.argv) not in (3, 4):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    try:
        with open(sys.argv[1], encoding="utf-8") as file:
            pack = strict(file.read())
        count, size, doubtful = check(pack, keys_of(sys.argv[2]))
        stream = stream_of(pack, sys.argv[3] if len(sys.argv) == 4 else None)
    except Wrong as wrong:
        print(f"NOT PROVED: {wrong}")
        return 1
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        print(f"NOT PROVED: not an evidence pack ({type(error).__name__})")
        return 1
    print(f"PROVED: the whole history of {stream}: {count} events among the first {size} of the ledger")
    if doubtful:
        print(f"DOUBTFUL: event {doubtful} says that it was recorded after the checkpoint was made")
    return 0


if __name__ == "__main__":
    sys.exit(main())
