"""W10: what a connection that nothing is asked on holds of the server's memory."""

import contextlib
import dataclasses
import subprocess
import time

from . import servers
from .material import NAME
from .processes import ENVIRONMENT, Failed, end, memory, raise_limits
from .workloads import TLS13

# Both ends of each are open files, and a process may have 20,000 on many systems.
CONNECTIONS = 9000


@dataclasses.dataclass
class Held:
    """Bytes of memory for each connection."""
    after_handshake: float
    after_requests: float
    connections: int = CONNECTIONS


def measure(name, task, directory, binaries):
    """Connections that have only shaken hands, and connections that rest after having been used."""
    # Each with a fresh process: what an allocator keeps from before would hide the rest.
    return vars(Held(
        hold(name, task, directory / "fresh", binaries, rate=0.2, seconds=0.5),
        hold(name, task, directory / "used", binaries, rate=4500, seconds=6)))


def hold(name, task, directory, binaries, rate, seconds):
    with servers.start(name, task, directory, binaries) as server:
        warm_up(server, binaries)
        before = memory(server.pid)
        with connections(server, rate, binaries) as client:
            until_open(server.port, client)
            time.sleep(seconds)
            still = established(server.port)
            if still < CONNECTIONS:
                raise Failed(f"only {still} of {CONNECTIONS} connections are open")
            return (memory(server.pid) - before) / CONNECTIONS


def warm_up(server, binaries):
    command = ask(server, binaries, 64) + ["--count", "1000"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=ENVIRONMENT)


def ask(server, binaries, connections):
    return [str(word) for word in (
        binaries["sealgate"], "bench", "http", "--connect", f"127.0.0.1:{server.port}", "--sni", NAME, "--path", "/small",
        *TLS13, "--connections", connections, "--state", "/nonexistent", "--output", "json")]


@contextlib.contextmanager
def connections(server, rate, binaries):
    command = ask(server, binaries, CONNECTIONS) + ["--rate", str(rate), "--duration", "1h", "--timeout", "1h"]
    client = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT,
                              preexec_fn=raise_limits)
    try:
        yield client
    finally:
        end(client)


def until_open(port, client):
    deadline = time.monotonic() + 60
    while established(port) < CONNECTIONS:
        if client.poll() is not None or time.monotonic() > deadline:
            raise Failed(f"only {established(port)} of {CONNECTIONS} connections came about")
        time.sleep(0.1)


def established(port):
    """How many connections are open at this port (Documentation/networking/proc_net_tcp)."""
    end_of_ours = f":{port:04X}"
    with open("/proc/net/tcp") as table:
        rows = (line.split() for line in table)
        return sum(1 for row in rows if row[1].endswith(end_of_ours) and row[3] == "01")
