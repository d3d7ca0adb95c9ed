#!/usr/bin/env python3
"""What handshakes, requests, idle connections and certificates cost: Sealgate beside other servers.

Builds the binaries, makes certificates, starts a target and the servers on the loopback interface,
measures them in rounds whose order is drawn anew, makes sure that they all did the same, and prints a
Markdown table. No figure makes it fail; a difference in what was agreed on, a failed request or a
connection to the target that was not used again does.
"""

import argparse
import contextlib
import dataclasses
import json
import pathlib
import random
import sys
import tempfile

from harness import build, calls, charts, idle, machine, many, material, report, servers, target
from harness.processes import Failed
from harness.workloads import WORKLOADS, check

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
# Measured once, since they hardly vary.
ONCE = {"W10": "memory of an idle TLS connection", "W11": "start with 10,000 P-256 certificates"}
NAMES = [*WORKLOADS, *ONCE]
BEGIN = "<!-- benchmarks: written by tests/benches/run.py --publish -->"
END = "<!-- end of benchmarks -->"


def main():
    options = arguments()
    binaries = build.prepare(REPOSITORY, options.servers, "W11" in options.workloads, not options.no_build)
    with tempfile.TemporaryDirectory(prefix="sealgate-bench-") as scratch:
        scratch = pathlib.Path(scratch)
        certificates = material.make(scratch)
        with target.start(scratch, certificates) as behind:
            bench = Bench(behind, certificates, scratch, binaries, options)
            measured = {name: bench.measure(name) for name in options.workloads}
    document = {
        "machine": machine.describe(),
        "versions": {name: build.version(name, REPOSITORY, binaries) for name in options.servers},
        "rounds": options.rounds,
        "failed": bench.failures,
        "workloads": measured,
    }
    print(report.markdown(document))
    if options.output:
        write(document, options.output)
    if options.publish:
        write(document, REPOSITORY / "tests/benches")
        publish(document, REPOSITORY / "README.md")
    if bench.failures:
        raise SystemExit("\n".join(["Failed:", *bench.failures]))


def write(document, directory):
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "results.json").write_text(json.dumps(document, indent=1) + "\n")
    (directory / "results.md").write_text(report.markdown(document))
    (directory / "results.svg").write_text(charts.svg(document))


def publish(document, readme):
    """The table and the chart between the two comments of the README."""
    before, begin, rest = readme.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    readme.write_text("".join((before, begin, "\n", report.short(document), "\n", end, after)))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words = lambda text: text.split(",")
    known = list(servers.COMMANDS)
    parser.add_argument("--workloads", type=words, default=["all"], help=f"of {', '.join(NAMES)}; or all")
    parser.add_argument("--servers", type=words, default=["sealgate", "bare", "nginx", "haproxy", "envoy", "pingora"],
                        help=f"of {', '.join(known)}; NAME@N has N workers and the first N cores")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1, help="how much to ask in a round, 1 being about a second")
    parser.add_argument("--system-calls", action="store_true", help="count system calls as well (needs perf)")
    parser.add_argument("--no-build", action="store_true", help="measure the binaries that are there")
    parser.add_argument("--output", type=pathlib.Path, metavar="DIRECTORY",
                        help="write results.json, results.md and results.svg there")
    parser.add_argument("--publish", action="store_true",
                        help="write them to tests/benches, and table and chart into README.md")
    options = parser.parse_args()
    spelled = {name.lower(): name for name in NAMES}
    if options.workloads == ["all"]:
        options.workloads = NAMES
    if options.system_calls and not calls.countable():
        parser.error("perf is not installed (on Debian: apt-get install linux-perf)")
    unknown = [name for name in options.workloads if name.lower() not in spelled]
    unknown += [name for name in options.servers if not servers.is_known(name)]
    if unknown or options.rounds < 1:
        parser.error(f"unknown: {', '.join(unknown)}" if unknown else "at least one round")
    options.workloads = [spelled[name.lower()] for name in options.workloads]
    return options


@dataclasses.dataclass(frozen=True)
class Bench:
    """What all measurements have in common."""
    behind: target.Target
    certificates: material.Material
    scratch: pathlib.Path
    binaries: dict
    options: argparse.Namespace
    failures: list = dataclasses.field(default_factory=list)

    def measure(self, name):
        return self.once(name) if name in ONCE else self.in_rounds(name)

    def in_rounds(self, name):
        """Rounds in which each server has its turn, in an order that is drawn each time."""
        workload = WORKLOADS[name]
        able = [server for server in self.options.servers if kind(server) not in workload.cannot]
        with contextlib.ExitStack() as stack:
            running = {}
            for server in able:
                with self.blaming(name, server):
                    running[server] = stack.enter_context(self.start(server, name, workload))
            samples = {server: [] for server in running}
            for turn in range(self.options.rounds):
                for server in random.sample(list(samples), len(samples)):
                    # Whoever fails is out: ratios are of rounds that all took part in.
                    with self.blaming(name, server, lambda: samples.pop(server)):
                        samples[server].append(self.take(workload, running[server]))
                print(f"{name}: round {turn + 1} of {self.options.rounds}", file=sys.stderr)
            if self.options.system_calls:
                for server, taken in samples.items():
                    taken[-1].system_calls, taken[-1].futex_calls = self.count_calls(workload, running[server])
        return {"title": workload.title, "unit": workload.unit,
                "servers": {server: [vars(sample) for sample in taken] for server, taken in samples.items()}}

    @contextlib.contextmanager
    def start(self, server, name, workload):
        with servers.start(server, self.task(workload), self.scratch / f"{name}-{server}", self.binaries) as running:
            if not workload.only_handshakes:
                target.check_answers(running.port, self.certificates.ca)
            workload.warm_up(running, self.binaries)
            yield running

    def task(self, workload=None):
        if workload is None:
            return servers.Task(self.certificates, self.certificates.p256, self.behind)
        return servers.Task(self.certificates, getattr(self.certificates, workload.certificate), self.behind,
                            workload.reencrypt, workload.only_handshakes)

    def take(self, workload, server):
        before = self.behind.accepted()
        sample = workload.sample(server, self.options.scale, self.binaries)
        sample.upstream = self.behind.accepted() - before
        check(workload, sample)
        return sample

    def count_calls(self, workload, server):
        """System calls for each operation, and those of futex(2); beside the rounds, since counting costs."""
        with calls.counted(server.pid) as numbers:
            sample = self.take(workload, server)
        return [number and number / sample.operations for number in numbers]

    def once(self, name):
        measured = {}
        made = many.make(self.scratch, self.binaries) if name == "W11" else None
        for server in self.options.servers:
            directory = self.scratch / f"{name}-{server}"
            with self.blaming(name, server):
                if name == "W10":
                    measured[server] = [idle.measure(server, self.task(), directory, self.binaries)]
                elif kind(server) in many.ABLE:
                    measured[server] = [many.measure(server, self.task(), made, directory, self.binaries)]
            print(f"{name}: {server} done", file=sys.stderr)
        return {"title": ONCE[name], "servers": measured}

    @contextlib.contextmanager
    def blaming(self, workload, server, then=lambda: None):
        """Writes down which server failed at what, and goes on."""
        try:
            yield
        except Failed as failure:
            self.failures.append(f"{workload}, {server}: {failure}")
            print(self.failures[-1], file=sys.stderr)
            then()


def kind(server):
    return server.partition("@")[0]


if __name__ == "__main__":
    main()
