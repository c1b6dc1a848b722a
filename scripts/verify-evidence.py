#!/usr/bin/env python3
"""Checks an evidence pack, written from docs/audit.md alone, with nothing but Python's standard library.

usage: verify-evidence.py PACK KEY [LEAD]

KEY is name+hash+base64, or a file of keys with their times. With LEAD, the id of a lead, a pack of anything else is refused. Personal data are opened, to see that all of them are theirs whose history it is, and not shown. Exit status 0 when the pack holds, else 1.
"""
import base64
import datetime
import functools
import hashlib
import itertools
import json
import re
import sys


MOST_BYTES = 512 * 1024 * 1024


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


# AES-256 (FIPS 197) in Galois/Counter Mode (NIST SP 800-38D), slow and plain; only for opening what is sealed.
def doubled(byte):
    return byte << 1 ^ (0x11B if byte & 0x80 else 0)


def substitutes():
    logs, powers, value = {}, [], 1
    for exponent in range(255):
        logs[value] = exponent
        powers.append(value)
        value ^= doubled(value)
    boxes = []
    for byte in range(256):
        inverse = powers[-logs[byte] % 255] if byte else 0
        boxes.append(functools.reduce(lambda sum, turn: sum ^ (inverse << turn | inverse >> 8 - turn) & 0xFF, range(5), 0x63))
    return bytes(boxes)


SBOX = substitutes()


def round_keys(key):
    words, constant = [key[at:at + 4] for at in range(0, 32, 4)], 1
    while len(words) < 60:
        word = words[-1]
        if len(words) % 8 == 0:
            word = (word[1:] + word[:1]).translate(SBOX)
            word = bytes([word[0] ^ constant]) + word[1:]
            constant = doubled(constant)
        elif len(words) % 8 == 4:
            word = word.translate(SBOX)
        words.append(bytes(a ^ b for a, b in zip(words[-8], word)))
    return [b"".join(words[at:at + 4]) for at in range(0, 60, 4)]


def encrypted(keys, block):
    state = bytes(a ^ b for a, b in zip(block, keys[0]))
    for nth, key in enumerate(keys[1:], 1):
        state = state.translate(SBOX)
        state = bytes(state[at * 5 % 16] for at in range(16))
        if nth < 14:
            mixed = []
            for at in range(0, 16, 4):
                column = state[at:at + 4]
                every = column[0] ^ column[1] ^ column[2] ^ column[3]
                mixed += [column[i] ^ every ^ doubled(column[i] ^ column[(i + 1) % 4]) for i in range(4)]
            state = mixed
        state = bytes(a ^ b for a, b in zip(state, key))
    return state


def authenticated(subkey, data):
    """GHASH."""
    total = 0
    for at in range(0, len(data), 16):
        total ^= int.from_bytes(data[at:at + 16], "big")
        product, factor = 0, subkey
        for bit in range(127, -1, -1):
            if total >> bit & 1:
                product ^= factor
            factor = factor >> 1 ^ (0xE1 << 120 if factor & 1 else 0)
        total = product
    return total.to_bytes(16, "big")


def opened(key, subject, sealed):
    """What a sealed text says; it was sealed with this key, for this subject, or is wrong."""
    stored = decode(sealed + "=" * (-len(sealed) % 4))
    nonce, inner, tag = stored[:12], stored[12:-16], stored[-16:]
    if "=" in sealed or len(stored) < 28:
        raise Wrong("nothing that was sealed")
    keys = round_keys(key)
    subkey = int.from_bytes(encrypted(keys, bytes(16)), "big")
    padded = b"".join(part + bytes(-len(part) % 16) for part in (subject, inner))
    sizes = (len(subject) * 8).to_bytes(8, "big") + (len(inner) * 8).to_bytes(8, "big")
    first = encrypted(keys, nonce + (1).to_bytes(4, "big"))
    if bytes(a ^ b for a, b in zip(first, authenticated(subkey, padded + sizes))) != tag:
        raise Wrong("sealed with another key")
    stream = b"".join(encrypted(keys, nonce + block.to_bytes(4, "big")) for block in range(2, 2 + (len(inner) + 15) // 16))
    return bytes(a ^ b for a, b in zip(inner, stream)).decode()


# What Unicode calls white space: a name has none of it.
SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"


def decode(text):
    """Base64 in its one spelling: the bits that are over are zeros."""
    value = base64.b64decode(text, validate=True)
    if base64.b64encode(value).decode() != text:
        raise Wrong("base64 in another spelling")
    return value


def a_hash(text):
    value = decode(text)
    if len(value) != 32:
        raise Wrong("a hash that has not 32 bytes")
    return value


def a_name(text):
    return text != "" and "+" not in text and not any(mark in SPACE for mark in text)


TIME = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]+)?(Z|([+-])([0-9]{2}):([0-9]{2}))")


def seconds(text):
    """Since 1970, of RFC 3339 in the one spelling that is read."""
    found = TIME.fullmatch(text)
    if not found:
        raise Wrong(f"{ascii(text)} is no time")
    *parts, _, _, sign, hours, minutes = found.groups()
    try:
        time = datetime.datetime(*map(int, parts)) - datetime.datetime(1970, 1, 1)
    except ValueError:
        raise Wrong(f"{ascii(text)} is no time")
    if sign and (int(hours) > 23 or int(minutes) > 59):
        raise Wrong(f"{ascii(text)} is no time")
    offset = int((sign or "+") + "1") * (int(hours or 0) * 60 + int(minutes or 0)) * 60
    return time.days * 86_400 + time.seconds - offset


def key_in(word):
    """The name, hash and bytes of a key; None when it is none."""
    try:
        name, given, encoded = word.split("+", 2)
        key = decode(encoded)
    except (ValueError, Wrong):
        return None
    digest = sha256(name.encode(), b"\n", key)[:4]
    if not a_name(name) or len(key) != 33 or key[0] != 1 or digest.hex() != given:
        return None
    y = int.from_bytes(key[1:], "little")
    y, sign = y & (2**255 - 1), y >> 255
    return None if y >= P or (sign and y in (1, P - 1)) else (name, digest, key[1:])


def keys_of(argument):
    """By name and hash: each key with since when and until when it holds, of all times that are said of it the narrowest."""
    if key_in(argument):
        lines = [argument]
    else:
        with open(argument, "rb") as file:
            lines = file.read().decode().split("\n")
    keys = {}
    for number, line in enumerate(lines, 1):
        line = line.rstrip(" \t\r")
        if not line or line.startswith("#"):
            continue
        words = list(itertools.takewhile(lambda word: not word.startswith("#"), re.split("[ \t]+", line)))
        found = key_in(words[0])
        if not found or len(words) > 3:
            raise Wrong(f"line {number} of the keys does not begin with a key, or has more than its two times behind it")
        name, digest, key = found
        since, until = ([None if word == "-" else seconds(word) for word in words[1:]] + [None, None])[:2]
        other, from_then, to_then = keys.get((name, digest), (key, None, None))
        if other != key:
            raise Wrong(f"line {number} of the keys has the name and hash of another key")
        since = max((time for time in (since, from_then) if time is not None), default=None)
        until = min((time for time in (until, to_then) if time is not None), default=None)
        keys[name, digest] = key, since, until
    return keys


def extension(lines, name):
    """What the checkpoint says in its line of this name, of which there has to be one."""
    found = [line[len(name) + 1:] for line in lines[3:] if line.startswith(name + " ")]
    if len(found) != 1:
        raise Wrong(f"the checkpoint has {len(found)} lines {name}")
    return found[0]


def checkpoint(note, keys):
    if any(mark < " " and mark != "\n" for mark in note):
        raise Wrong("the checkpoint has a control character")
    text, found, signatures = note.rpartition("\n\n")
    text += "\n"
    if not found or not signatures.endswith("\n"):
        raise Wrong("the checkpoint is not a signed note")
    trusted = []
    lines = signatures[:-1].split("\n")
    if len(lines) > 100:
        raise Wrong("the checkpoint has more than 100 signatures")
    for line in lines:
        dash, name, encoded = line.split(" ")
        value = decode(encoded)
        if dash != "\u2014" or not a_name(name) or len(value) < 4:
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
    if not re.fullmatch("0|[1-9][0-9]{0,19}", size) or int(size) not in UNSIGNED:
        raise Wrong("the checkpoint has no tree size")
    return int(size), a_hash(lines[2]), a_hash(extension(lines, "leadledger-streams")), time


def once(members):
    """An object, in which no member may stand twice: it could be read as either."""
    found = dict(members)
    if len(found) != len(members):
        raise Wrong("has a member twice")
    return found


UNSIGNED, SIGNED = range(2**64), range(-(2**63), 2**63)


def whole(text):
    number = int(text) if len(text) <= 20 else None
    if text == "-0" or number is None or not (number in SIGNED or number in UNSIGNED):
        raise Wrong("has a number that cannot be told exactly")
    return number


def normal(text):
    """The digits of a number and the power of ten of the last of them: the same for numbers that are equal."""
    number, _, exponent = text.lower().lstrip("-").partition("e")
    before, _, after = number.partition(".")
    significant = (before + after).rstrip("0")
    digits = significant.lstrip("0")
    return digits and (digits, int(exponent or 0) - len(after) + len(before + after) - len(significant))


def decimal(text):
    """The nearest number of 64 bits: it has to be told, in as few digits as tell it from others, by the digits that are signed."""
    number = float(text)
    if number in (float("inf"), float("-inf")) or normal(repr(number)) != normal(text):
        raise Wrong("has a number that cannot be told exactly")
    return number


def no_number(text):
    raise Wrong("is not JSON")


def strict(text):
    """JSON that all readers read alike."""
    try:
        value = json.loads(text, object_pairs_hook=once, parse_int=whole, parse_float=decimal, parse_constant=no_number)
        json.dumps(value, ensure_ascii=False).encode()  # Refuses half a surrogate pair.
    except ValueError:
        raise Wrong("is not JSON")
    except RecursionError:
        raise Wrong("is nested more than 127 deep")
    depth, level = 0, [value]
    while level := [part for part in level if isinstance(part, (dict, list))]:
        depth += 1
        if depth > 127:
            raise Wrong("is nested more than 127 deep")
        level = [inner for part in level for inner in (part.values() if isinstance(part, dict) else part)]
    return value


def says_one_thing(event):
    payload, metadata = strict(event["payload"]), strict(event["metadata"])
    return isinstance(payload, dict) and list(payload) == [event["event_type"]] and isinstance(metadata, dict)


def sealed_in(value):
    if isinstance(value, dict) and list(value) == ["sealed"] and isinstance(value["sealed"], str):
        yield value["sealed"]
    elif isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from sealed_in(inner)


def is_text(value):
    return isinstance(value, str)


def is_whole(values):
    return lambda value: type(value) is int and value in values


def is_null_or(kind):
    return lambda value: value is None or kind(value)


def is_list(kind):
    return lambda value: isinstance(value, list) and all(map(kind, value))


PACK = {
    "format": is_text, "aggregate_type": is_text, "aggregate_id": is_text, "checkpoint": is_text, "stream_events": is_whole(UNSIGNED),
    "stream_proof": is_list(is_text), "subject_key": is_null_or(is_text), "events": is_list(lambda event: isinstance(event, dict)),
}
EVENT = {
    "position": is_whole(UNSIGNED), "sequence": is_whole(SIGNED), "event_type": is_text, "event_version": is_text, "payload": is_text,
    "metadata": is_text, "recorded_at_micros": is_whole(SIGNED), "company_id": is_null_or(is_whole(SIGNED)), "inclusion_path": is_list(is_text),
}


def has(members, kinds, what):
    for name, kind in kinds.items():
        if name not in members or not kind(members[name]):
            raise Wrong(f"{what} has no {name}, or one that is none")


def pack_in(text):
    try:
        pack = strict(text)
    except Wrong as wrong:
        raise Wrong(f"the file {wrong}")
    if not isinstance(pack, dict):
        raise Wrong("the file is not an evidence pack")
    has(pack, PACK, "the pack")
    for number, event in enumerate(pack["events"], 1):
        has(event, EVENT, f"event {number}")
    return pack


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


# From 0001-01-01 to 9999-12-31, in microseconds since 1970.
YEARS = range(-62_135_596_800_000_000, 253_402_300_800_000_000)


def check(pack, keys):
    if pack["format"] != "leadledger.evidence.v1":
        raise Wrong("another format")
    size, root, streams, time = checkpoint(pack["checkpoint"], keys)
    if pack["subject_key"] is not None:
        a_hash(pack["subject_key"])  # It has as many bytes.
    before, earlier, leaf, doubtful = 0, None, None, None
    for number, event in enumerate(pack["events"], 1):
        if event["sequence"] != number:
            raise Wrong(f"event {number}: an event before it is withheld")
        if event["position"] <= before:
            raise Wrong(f"event {number}: is out of order")
        before = event["position"]
        micros = event["recorded_at_micros"]
        if micros not in YEARS:
            raise Wrong(f"event {number}: its time is no time")
        if earlier is not None and micros < earlier:
            raise Wrong(f"event {number}: was recorded earlier than the event before it")
        earlier = micros
        if micros >= (time + 1) * 1_000_000:
            doubtful = doubtful or number
        try:
            one_thing = says_one_thing(event)
        except Wrong as wrong:
            raise Wrong(f"event {number}: its payload or metadata: {wrong}")
        if not one_thing:
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


def open_all(pack):
    """Opens what is sealed, if there is a key: all of it has to be the subject's, and read by all alike."""
    if pack["subject_key"] is None:
        return
    key, subject = decode(pack["subject_key"]), f"{pack['aggregate_type']}/{pack['aggregate_id']}".encode()
    for number, event in enumerate(pack["events"], 1):
        metadata = strict(event["metadata"])
        try:
            for sealed in sealed_in(*strict(event["payload"]).values()):
                strict(opened(key, subject, sealed))
            if "sealed_reason" in metadata:
                opened(key, subject, metadata["sealed_reason"])
        except (Wrong, ValueError, TypeError):
            raise Wrong(f"event {number}: a value in it is not what was sealed with the key in the pack")


def stream_of(pack, lead):
    """Whose history it is, in words that cannot move a terminal's cursor."""
    told = f"{pack['aggregate_type']} {pack['aggregate_id']}"
    if lead is not None and (pack["aggregate_type"], pack["aggregate_id"]) != ("lead", lead):
        raise Wrong(f"the pack is of {ascii(told)}, and not of lead {lead}")
    return told if told.isascii() and told.isprintable() else ascii(told)


def main():
    if len(sys.argv) not in (3, 4):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    try:
        keys = keys_of(sys.argv[2])
        with open(sys.argv[1], "rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise Wrong("the file is larger than any pack")
        pack = pack_in(content.decode())
        count, size, doubtful = check(pack, keys)
        open_all(pack)
        stream = stream_of(pack, sys.argv[3] if len(sys.argv) == 4 else None)
    except Wrong as wrong:
        print(f"NOT PROVED: {wrong}")
        return 1
    except OSError as error:
        print(f"NOT PROVED: {ascii(error.filename)} is not a key, and no file that can be read: {error.strerror}")
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
