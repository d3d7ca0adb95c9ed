#!/usr/bin/env python3
"""How many instructions handshakes, requests and store entries take: a figure that noise cannot touch.

Runs an optimised binary under callgrind, has it do each kind of work a small and a large number of
times, and compares the instructions of one with `instructions.json`. Fails where one has grown by
more than 3 %. What shrinks is only said.

    tests/benches/instructions.py                    # compare
    SEALGATE_BLESS=1 tests/benches/instructions.py   # write what is found down as the new baseline

Only user space counts: system calls are the kernel's affair, and neither they nor waiting can be told
from instructions. The processor does not matter, since valgrind shows programs one of its own; the
compiler and the dependencies do, and where they differ from the baseline's, that is said.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BASELINE = pathlib.Path(__file__).with_suffix(".json")
NAME = "guard.example.com"
# How much a figure may grow before it is a fault.
GROWTH = 0.03

# What each figure is of: what `sealgate bench` is told, and two numbers of times.
SERVED = {
    "full handshake, TLS 1.3, P-256": (
        "handshake", ("--tls", "1.3", "--suite", "aes128", "--group", "x25519", "--concurrency", 1), 20, 80),
    "resumed handshake, TLS 1.3": (
        "handshake", ("--tls", "1.3", "--suite", "aes128", "--group", "x25519", "--resume", "100%",
                      "--concurrency", 1), 20, 80),
    "request, HTTP/1.1": ("http", ("--connections", 1, "--suite", "aes128"), 100, 500),
    "request, HTTP/2": ("http", ("--http", 2, "--connections", 1, "--suite", "aes128"), 100, 500),
}


def main():
    binary = build()
    with tempfile.TemporaryDirectory(prefix="sealgate-guard-") as scratch:
        found = measure(binary, pathlib.Path(scratch))
    now = {"toolchain": toolchain(), "dependencies": dependencies(), "instructions": found}
    if os.environ.get("SEALGATE_BLESS"):
        BASELINE.write_text(json.dumps(now, indent=2) + "\n")
        print(f"wrote {BASELINE.relative_to(REPOSITORY)}")
        return
    judge(json.loads(BASELINE.read_text()), now)


def build():
    """Without link-time optimisation, which moves figures that nothing has touched."""
    given = os.environ.get("SEALGATE_BINARY")
    if given:
        return pathlib.Path(given)
    metadata = output("cargo", "metadata", "--format-version", "1", "--no-deps", cwd=REPOSITORY)
    target = pathlib.Path(json.loads(metadata)["target_directory"]) / "instructions"
    settings = {"CARGO_PROFILE_RELEASE_LTO": "off", "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16"}
    subprocess.run(["cargo", "build", "--release", "--locked", "-p", "sealgate", "--target-dir", target],
                   cwd=REPOSITORY, check=True, env={**os.environ, **settings})
    return target / "release" / "sealgate"


def judge(then, now):
    """Prints old and new figures, and ends the program if one has grown too much."""
    grown = []
    print(f"{'instructions':34}{'baseline':>12}{'now':>12}{'change':>9}")
    for work, count in now["instructions"].items():
        before = then["instructions"].get(work)
        if before is None:
            print(f"{work:34}{'-':>12}{count:12,}")
            continue
        change = count / before - 1
        print(f"{work:34}{before:12,}{count:12,}{change:+9.1%}")
        if change > GROWTH:
            grown.append(work)
    differing = [what for what in ("toolchain", "dependencies") if then[what] != now[what]]
    for what in differing:
        print(f"the {what} differ from the baseline's: {then[what]}, now {now[what]}", file=sys.stderr)
    if grown:
        raise SystemExit(f"more than {GROWTH:.0%} more instructions than before: {'; '.join(grown)}.\n"
                         f"Find out why (callgrind_annotate), or accept it with SEALGATE_BLESS=1 {sys.argv[0]} "
                         "and say in the commit what it buys.")


def toolchain():
    return output("rustc", "--version").strip()


def dependencies():
    lock = (REPOSITORY / "Cargo.lock").read_bytes()
    return "Cargo.lock " + hashlib.sha256(lock).hexdigest()[:16]


# --- measuring ---


def measure(binary, scratch):
    make_certificate(scratch)
    found = store_entries(binary, scratch)
    with target() as upstream, start(binary, scratch, upstream) as (pid, port, counts):
        for work, (kind, words, few, many) in SERVED.items():
            ask(binary, kind, port, few, words)
            costs = []
            for times in (few, many):
                callgrind("--zero", pid)
                ask(binary, kind, port, times, words)
                callgrind("--dump", pid)
                costs.append(newest(counts))
            found[work] = round((costs[1] - costs[0]) / (many - few))
    return found


def store_entries(binary, scratch):
    """What sealing and opening an entry costs: whole commands, less one that does neither."""
    state = scratch / "state"
    run(binary, "init", "--state", state)
    words = (binary, "cert", "import", NAME, "--cert", scratch / "cert.pem", "--key", scratch / "key.pem", "--state", state)
    verify = (binary, "store", "verify", "--state", state)
    nothing = instructions(scratch, *verify)
    seal = instructions(scratch, *words) - nothing
    for number in range(9):
        run(*(word if word != NAME else f"entry-{number}" for word in words), "--allow-name-change")
    return {"seal an entry": seal, "open an entry": round((instructions(scratch, *verify) - nothing) / 10)}


def instructions(scratch, *command):
    out = scratch / "one"
    run("valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", *command)
    return total(out)


def total(dump):
    """What a dump adds up to."""
    return int(re.search(r"^(?:totals|summary): (\d+)", dump.read_text(), re.MULTILINE).group(1))


def newest(counts):
    """The total of the dump that was just asked for."""
    dumps = sorted(counts.parent.glob(counts.name + ".*"), key=lambda path: int(path.suffix[1:]))
    return total(dumps[-1])


def callgrind(what, pid):
    # The last request's end is not awaited by the client.
    time.sleep(0.3)
    run("callgrind_control", what, str(pid))
    time.sleep(0.3)


def ask(binary, kind, port, times, words):
    report = json.loads(output(
        binary, "bench", kind, "--connect", f"127.0.0.1:{port}", "--sni", NAME, "--count", times, "--threads", 1,
        "--timeout", "60s", *words, "--output", "json", "--state", "/nonexistent"))
    failed = report["handshakes" if kind == "handshake" else "requests"]["failed"]
    if failed:
        raise SystemExit(f"{failed} failed: {report}")


@contextlib.contextmanager
def start(binary, scratch, upstream):
    """A balancer under callgrind: its process, its port, and the stem of its dumps' names."""
    port, counts = free_port(), scratch / "counts"
    config = scratch / "sealgate.yaml"
    config.write_text(f"""\
version: 1
workers: 1
listeners:
  https:
    bind: 127.0.0.1:{port}
    tls: {{ policy: modern, certificates: [{NAME}] }}
    action: {{ forward: target }}
target_groups:
  target: {{ targets: ["127.0.0.1:{upstream}"] }}
""")
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={counts}", binary, "run", "-c", config,
               "--state", scratch / "state", "--log", "warn"]
    with open(scratch / "log", "ab") as log:
        child = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log)
    try:
        wait_for(port, child, scratch / "log")
        yield child.pid, port, counts
    finally:
        child.terminate()
        child.wait(timeout=60)


@contextlib.contextmanager
def target():
    """A server that answers everything with 128 bytes."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    def serve(connection):
        answer = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 128\r\netag: \"1\"\r\n\r\n" + b"x" * 128
        seen = b""
        with connection, contextlib.suppress(OSError):
            while more := connection.recv(65536):
                *heads, seen = (seen + more).split(b"\r\n\r\n")
                connection.sendall(answer * len(heads))

    def accept():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


def make_certificate(scratch):
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
        "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}",
        "-keyout", scratch / "key.pem", "-out", scratch / "cert.pem")


def wait_for(port, child, log):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and child.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
            return
        time.sleep(0.1)
    raise SystemExit(f"the balancer does not listen on port {port}:\n{log.read_text()}")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def run(*command, **options):
    output(*command, **options)


def output(*command, **options):
    command = [str(word) for word in command]
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    if not shutil.which("valgrind"):
        raise SystemExit("valgrind is missing: apt-get install valgrind")
    main()
