"""Draws the sample for .ci/mutants, and reads the score off its results."""

import hashlib
import re
import sys
from collections import Counter

command, out, seed, count, shard, accepted_file = sys.argv[1:7]


def identities(lines):
    """Each mutant with its name: path and change without line and column, and a number where names repeat."""
    total, seen, named = Counter(), Counter(), []
    for line in lines:
        path, _, _, change = line.split(":", 3)
        total[f"{path}:{change}"] += 1
    for line in lines:
        path, _, _, change = line.split(":", 3)
        name = f"{path}:{change}"
        seen[name] += 1
        named.append((line, name if total[name] == 1 else f"{name} #{seen[name]}"))
    return named


def read(path):
    return [line.strip() for line in open(path) if line.strip() and not line.startswith("#")]


mutants = identities(read(f"{out}/all.txt"))
accepted = {line.split("\t")[0] for line in read(accepted_file)}
names = {name for _, name in mutants}
for name in sorted(accepted - names):
    print(f"{accepted_file} names no mutant: {name}", file=sys.stderr)

if command == "sample":
    order = sorted(mutants, key=lambda mutant: hashlib.sha256(f"{seed} {mutant[1]}".encode()).hexdigest())
    part, parts = map(int, shard.split("/"))
    sample = order[: int(count)][part::parts]
    open(f"{out}/sample.txt", "w").write("".join(f"{name}\n" for _, name in sample))
    escaped = (re.sub(r"([\\.+*?()|\[\]{}^$&#~-])", r"\\\1", line) for line, _ in sample)
    open(f"{out}/sample.re", "w").write("".join(f"^{line}$\n" for line in escaped))
    print(f"{len(mutants)} mutants, {len(sample)} of a sample of {count} with seed {seed}, shard {shard}", file=sys.stderr)
else:
    by_line = dict(mutants)
    results = {kind: read(f"{out}/mutants.out/{kind}.txt") for kind in ("caught", "missed", "timeout", "unviable")}
    for kind, lines in results.items():
        print(f"{kind:<9} {len(lines)}")
    caught = len(results["caught"]) + len(results["timeout"])
    missed = [by_line[line] for line in results["missed"]]
    for name in sorted(missed):
        print(f"missed    {name}{'   (accepted)' if name in accepted else ''}")
    judged = caught + len(missed)
    if judged:
        print(f"score     {100 * caught / judged:.1f} % ({caught} of {judged}), commit {sys.argv[7]}, "
              f"seed {seed}, count {count}, shard {shard}")
    sys.exit(any(name not in accepted for name in missed))
