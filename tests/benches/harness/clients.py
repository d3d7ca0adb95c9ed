"""Who asks: `sealgate bench` for connections, h2load for requests on connections that stay open.

h2load costs less than half of what the cheapest server does for a request, so that on cores which are
shared it is the servers that are busy; where one was not, the sample says so.
"""

import dataclasses
import json
import re
import resource
import subprocess
import time

from .material import NAME
from .processes import ENVIRONMENT, Account, Failed, raise_limits, run, schedule


@dataclasses.dataclass
class Sample:
    """What a round with one server gave; times in microseconds per operation."""
    operations: int
    seconds: float
    server_cpu_us: float
    client_cpu_us: float
    # The part of the time that the server's busiest thread ran or waited for a core, and the client's least busy.
    server_busy: float
    client_busy: float
    # Who was agreed with: version, suite, group, ALPN, resumed.
    agreed: dict
    p50_us: float = None
    p99_us: float = None
    tickets: float = None
    bytes: int = None
    late: int = None
    # How many connections the target accepted meanwhile.
    upstream: int = None
    # For each operation, where they were counted.
    system_calls: float = None
    futex_calls: float = None


def handshakes(server, client, count, concurrency, binaries):
    """Connections that shake hands, ask once where there is a `--request`, and close."""
    return by_bench(server, ["handshake", *client, "--count", count, "--concurrency", concurrency], count, binaries)


def by_bench(server, words, count, binaries):
    account, before = Account(server.pid), children_cpu()
    report = json.loads(run(
        binaries["sealgate"], "bench", *words, "--connect", f"127.0.0.1:{server.port}", "--sni", NAME,
        "--pid", server.pid, "--output", "json", "--state", "/nonexistent", preexec_fn=raise_limits))
    used, _ = account.used()
    done = report.get("handshakes") or report["requests"]
    if done["failed"] or report["interrupted"] or report["gave_up"]:
        raise Failed(f"{report['failures']}")
    if len(report["negotiated"]) != 1:
        raise Failed(f"negotiated in different ways: {report['negotiated']}")
    agreed = report["negotiated"][0]
    count = done["succeeded"]
    latency = report["latency"]
    return Sample(
        operations=count, seconds=report["seconds"], server_cpu_us=used * 1e6 / count,
        client_cpu_us=(children_cpu() - before) * 1e6 / count, server_busy=report["server"]["busy"], client_busy=report["client"]["busy"],
        agreed={"version": agreed["version"], "suite": agreed["suite"], "group": agreed["group"],
                "resumed": agreed["resumed"], "certificate": agreed["certificate"]},
        p50_us=latency["p50_us"], p99_us=latency["p99_us"],
        tickets=done["tickets"] / count if "tickets" in done else None,
        bytes=done.get("received_bytes"), late=done.get("late"))


def requests(server, path, count, connections, streams, protocol):
    """Requests over connections that stay open."""
    version = ["--h1"] if protocol == "http/1.1" else ["-m", streams]
    command = ["h2load", *version, "-n", count, "-c", connections, "-t", THREADS,
               "--tls13-ciphers=TLS_AES_128_GCM_SHA256", "--groups=X25519",
               f"--connect-to=127.0.0.1:{server.port}", f"https://{NAME}{path}"]
    account, before, began = Account(server.pid), children_cpu(), time.monotonic()
    text, client_busy = watched([str(word) for word in command])
    seconds = time.monotonic() - began
    used, busiest = account.used()
    told = H2load(text)
    if told.number(r"requests: .* (\d+) succeeded") != count or told.number(r"status codes: (\d+) 2xx") != count:
        raise Failed(text)
    return Sample(
        operations=count, seconds=seconds, server_cpu_us=used * 1e6 / count,
        client_cpu_us=(children_cpu() - before) * 1e6 / count, server_busy=min(busiest / seconds, 1), client_busy=min(client_busy / seconds, 1),
        agreed={"version": told.word("TLS Protocol: (.*)"), "suite": told.word("Cipher: (.*)"),
                "group": told.word(r"Server Temp Key: (\S*)"), "alpn": told.word("Application protocol: (.*)")},
        bytes=told.number(r"traffic: .* \((\d+)\) data"))


def watched(command):
    """What the command printed, and for how many seconds its least busy worker ran or waited for a core."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=ENVIRONMENT,
                          preexec_fn=raise_limits) as child:
        threads = {}
        while child.poll() is None:
            threads |= schedule(child.pid)
            time.sleep(0.02)
        text = child.stdout.read()
    if child.returncode:
        raise Failed(text)
    # The first thread waits for the others.
    workers = sorted(ran + waited for ran, waited in threads.values())[-THREADS:]
    return text, workers[0] / 1e9 if workers else 0


class H2load:
    """What h2load printed."""

    def __init__(self, text):
        self.text = text

    def word(self, pattern):
        found = re.search(pattern, self.text)
        if not found:
            raise Failed(f"h2load does not tell {pattern}:\n{self.text}")
        return found[1].strip()

    def number(self, pattern):
        return int(self.word(pattern))


def children_cpu():
    """CPU seconds of commands that this process has waited for: of the client, as servers still run."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# As many as the servers have.
THREADS = 2
