"""Tells from the server's log what was reached, and fails at a panic or an answer of 500 and above."""

import collections
import json
import sys

answers, faults = collections.defaultdict(collections.Counter), []
with open(sys.argv[1], encoding="utf-8") as log:
    for line in log:
        try:
            entry = json.loads(line)
        except ValueError:
            entry = {}
        if "panicked" in line or entry.get("target") == "leadledger::fault" or entry.get("status", 0) >= 500:
            faults.append(line.rstrip())
        if entry.get("target") == "leadledger::access":
            answers[entry["method"], entry["path"]][entry["status"]] += 1


def reached_by(statuses):
    return any(200 <= status < 400 for status in statuses)


requests = sum(sum(by.values()) for by in answers.values())
reached = [operation for operation, by in answers.items() if reached_by(by)]
print(f"{requests} requests answered; {len(reached)} operations answered 2xx at least once")
never = sorted(" ".join(operation) for operation, by in answers.items() if not reached_by(by) and set(by) - {404, 405})
print("refused every time:", ", ".join(never) or "none")
print("5xx and panics:", len(faults))
print("\n".join(faults[:20]))
sys.exit(bool(faults) or not requests)
