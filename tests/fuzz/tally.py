"""Tells from the server's log and document what was reached. Fails at a panic, at an answer of 500 and above, and when an
operation never answered 2xx."""

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


# Operations that need not succeed, each with its reason.
EXCUSED = {
    "POST /api/v1/import/{import_code}/cancel": "an import of a few rows has ended before anybody can cancel it",
}


def described():
    """Every operation that was fuzzed, as the log names it."""
    with open(sys.argv[2], encoding="utf-8") as file:
        paths = json.load(file)["paths"]
    fuzzed = [path for path in paths if path.startswith(("/api/v1/", "/users/"))]
    return {(method.upper(), path) for path in fuzzed for method in paths[path]}


requests = sum(sum(by.values()) for by in answers.values())
reached = [operation for operation, by in answers.items() if reached_by(by)]
print(f"{requests} requests answered; {len(reached)} operations answered 2xx at least once")
never = sorted(" ".join(operation) for operation in described() if not reached_by(answers[operation]))
for operation in never:
    statuses = dict(sorted(answers[tuple(operation.split(" "))].items()))
    print(f"never 2xx: {operation} {statuses} {EXCUSED.get(operation, '')}")
print("5xx and panics:", len(faults))
print("\n".join(faults[:20]))
sys.exit(bool(faults) or not requests or any(operation not in EXCUSED for operation in never))
