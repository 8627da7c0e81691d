"""Draws the sample for .ci/mutants, and reads the score off its results."""

import hashlib
import os
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


def write_patterns(name, lines):
    escaped = (re.sub(r"([\\.+*?()|\[\]{}^$&#~-])", r"\\\1", line) for line in lines)
    open(f"{out}/{name}.re", "w").write("".join(f"^{line}$\n" for line in escaped))


def results(kind, *rounds):
    """The mutants of a kind that these rounds of cargo-mutants found."""
    paths = (f"{out}/{name}/mutants.out/{kind}.txt" for name in rounds)
    return [line for path in paths if os.path.exists(path) for line in read(path)]


def write_sample(sample):
    open(f"{out}/sample.txt", "w").write("".join(f"{name}\n" for _, name in sample))
    write_patterns("engine", [line for line, _ in sample if line.startswith("engine/")])
    write_patterns("checker", [line for line, _ in sample if line.startswith("replay-cli/")])


UNITS = ("engine", "checker")
if command == "named":
    wanted = read(sys.argv[7])
    by_name = {name: line for line, name in mutants}
    for name in wanted:
        if name not in by_name:
            print(f"{sys.argv[7]} names no mutant: {name}", file=sys.stderr)
    write_sample([(by_name[name], name) for name in wanted if name in by_name])
elif command == "sample":
    order = sorted(mutants, key=lambda mutant: hashlib.sha256(f"{seed} {mutant[1]}".encode()).hexdigest())
    part, parts = map(int, shard.split("/"))
    sample = order[: int(count)][part::parts]
    write_sample(sample)
    print(f"{len(mutants)} mutants, {len(sample)} of a sample of {count} with seed {seed}, shard {shard}", file=sys.stderr)
elif command == "missed":
    write_patterns("scenarios", results("missed", *UNITS))
else:
    by_line = dict(mutants)
    caught = results("caught", *UNITS, "scenarios")
    timeout = results("timeout", *UNITS, "scenarios")
    missed = [by_line[line] for line in results("missed", "scenarios")]
    print(f"caught    {len(caught)}, {len(results('caught', *UNITS))} of them by the tests beside the code")
    print(f"timeout   {len(timeout)}")
    print(f"unviable  {len(results('unviable', *UNITS, 'scenarios'))}")
    print(f"missed    {len(missed)}")
    for name in sorted(missed):
        print(f"  {name}{'   (accepted)' if name in accepted else ''}")
    judged = len(caught) + len(timeout) + len(missed)
    if judged:
        print(f"score     {100 * (judged - len(missed)) / judged:.1f} % ({judged - len(missed)} of {judged}), "
              f"commit {sys.argv[7]}, seed {seed}, count {count}, shard {shard}")
    sys.exit(any(name not in accepted for name in missed))
