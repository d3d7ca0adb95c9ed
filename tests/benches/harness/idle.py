"""W10: what a connection that nothing is asked on holds of the server's memory."""

import contextlib
import dataclasses
import subprocess
import time

from . import servers
from .material import NAME
from .processes import ENVIRONMENT, Account, Failed, end, memory, raise_limits
from .workloads import TLS13

# Both ends of each are open files, and a process may have 20,000 on many systems.
CONNECTIONS = 9000
# Requests per second on all of them: next to none, and some.
SELDOM, RATE = 0.2, 4500


@dataclasses.dataclass
class Held:
    """Bytes of memory for each connection."""
    after_handshake: float
    after_requests: float
    connections: int = CONNECTIONS


def measure(name, task, directory, binaries):
    """Connections that have only shaken hands, and connections that rest after having been used."""
    # Each with a fresh process: what an allocator keeps from before would hide the rest.
    return vars(Held(hold(name, task, directory / "fresh", binaries, 0), hold(name, task, directory / "used", binaries, 2)))


def hold(name, task, directory, binaries, requests):
    """Bytes for each connection after about so many requests on it."""
    with servers.start(name, task, directory, binaries) as server:
        warm_up(server, binaries)
        before = memory(server.pid)
        with connections(server, RATE if requests else SELDOM, binaries) as client:
            until(lambda: established(server.port) >= CONNECTIONS, client)
            if requests:
                asked = task.target.asked() + requests * CONNECTIONS
                until(lambda: task.target.asked() >= asked, client)
            else:
                # Open for TCP is not open for TLS: the server has shaken hands when it has nothing to do any more.
                until(lambda: rests(server.pid), client)
            if established(server.port) < CONNECTIONS:
                raise Failed(f"only {established(server.port)} of {CONNECTIONS} connections are open")
            return (memory(server.pid) - before) / CONNECTIONS


def rests(pid):
    account = Account(pid)
    time.sleep(0.5)
    return account.used()[0] < 0.005


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


def until(condition, client):
    deadline = time.monotonic() + 120
    while not condition():
        if client.poll() is not None or time.monotonic() > deadline:
            raise Failed("the connections did not come about, or the client has ended")
        time.sleep(0.1)


def established(port):
    """How many connections are open at this port (Documentation/networking/proc_net_tcp)."""
    end_of_ours = f":{port:04X}"
    with open("/proc/net/tcp") as table:
        rows = (line.split() for line in table)
        return sum(1 for row in rows if row[1].endswith(end_of_ours) and row[3] == "01")
