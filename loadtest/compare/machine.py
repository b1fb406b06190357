"""Where and when it was measured, and with what. Without the machine's name."""

import datetime
import hashlib
import os
import pathlib
import re
import subprocess

from peers import PEERS, ROOT


def cpu():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    family = [re.search(rf"^{name}\s*:\s*(\d+)$", text, re.MULTILINE) for name in ("cpu family", "model")]
    known = f" (family {family[0][1]}, model {family[1][1]})" if all(family) else ""
    return (model[1].strip() if model else os.uname().machine) + known


def revision():
    """The commit that is checked out here; `+` if files differ from it."""
    ran = lambda *words: subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True, check=False)  # noqa: E731
    commit = ran("rev-parse", "--short=10", "HEAD").stdout.strip()
    return commit + "+" * bool(ran("status", "--porcelain", "--untracked-files=no").stdout.strip()) if commit else "?"


def build(path):
    """Which build of a program, whatever it says of its version."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.exists() else None


def describe(args):
    """The first row of a results file."""
    targets = {target for names in args.targets.values() for target in names}
    return {
        "event": "machine",
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": cpu(),
        "cores": os.cpu_count(),
        # A provider's suffix may name the machine.
        "kernel": f"Linux {re.match(r'[0-9.]*', os.uname().release)[0]}",
        "load": round(os.getloadavg()[0], 2),
        "revision": revision(),
        "builds": {"tonegate": build(args.tonegate), "tonegate-load": build(args.load)},
        "rounds": args.rounds,
        "seconds": args.seconds,
        "versions": {name: kind(args).version() for name, kind in PEERS.items() if name in targets},
    }


# Figures of two runs of the script belong into one table only if these are the same.
SAME = ("cpu", "cores", "kernel", "seconds", "builds")


def differences(one, other):
    yield from (f"{what} was {one[what]}, is {other[what]}" for what in SAME if one[what] != other[what])
    for name in one["versions"].keys() & other["versions"].keys():
        if one["versions"][name] != other["versions"][name]:
            yield f"{name} was {one['versions'][name]}, is {other['versions'][name]}"


def sentences(parts):
    """For the head of a report."""
    first, last = parts[0], parts[-1]
    when = first["date"] if first["date"] == last["date"] else f"{first['date']} to {last['date']}"
    versions = {name: version for part in parts for name, version in part["versions"].items()}
    loads = ", ".join(f"{part['load']:.2f}" for part in parts)
    revisions = ", ".join(dict.fromkeys(part["revision"] for part in parts))
    yield f"{when}; {first['cores']} cores of {first['cpu']}, {first['kernel']}; load average at the start {loads}"
    yield "; ".join(dict.fromkeys(versions[name] for name in PEERS if name in versions)) + f"; revision {revisions}"
