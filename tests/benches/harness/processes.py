"""Processes: started and ended by their ids, and what they use by the kernel's accounts."""

import contextlib
import os
import pathlib
import resource
import signal
import socket
import subprocess
import time

# Debian puts nginx and haproxy where only root looks.
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
ENVIRONMENT = {**os.environ, "PATH": PATH}


class Failed(Exception):
    """A command or server that did not do its work, with what it said."""


def run(*command, **options):
    """Runs a command to its end and returns what it printed."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, env=ENVIRONMENT, **options)
    if done.returncode:
        raise Failed(f"{' '.join(words)}\n{done.stdout}{done.stderr}")
    return done.stdout


@contextlib.contextmanager
def running(command, directory, ports, patience=60, environment=None):
    """Runs a server as a child of this process until the end of the block; yields its process id."""
    log = directory / "log"
    with open(log, "ab") as out:
        child = subprocess.Popen([str(word) for word in command], stdout=out, stderr=out, cwd=directory,
                                 env={**ENVIRONMENT, **(environment or {})}, preexec_fn=raise_limits)
    try:
        for port in ports:
            wait_for(port, child, log, patience)
        yield child.pid
    finally:
        end(child)


def raise_limits():
    """As many open files as the system lets us have: idle connections are counted in thousands."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def end(child):
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
    try:
        child.wait(timeout=10)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def wait_for(port, child, log, patience):
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and child.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.01)
    raise Failed(f"the server does not listen on port {port}:\n{log.read_text()[-4000:]}")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


# --- accounts ---


def family(root):
    """A process and its descendants."""
    found, pending = [], [root]
    while pending:
        pid = pending.pop()
        found.append(pid)
        for children in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                pending += [int(child) for child in children.read_text().split()]
    return found


class Account:
    """CPU time, user and system, of all threads of a server's processes, from now on."""

    def __init__(self, root):
        self.root = root
        self.first = schedule(root)

    def used(self):
        """Seconds on a core, and the part of them of the busiest thread with its waits for a core."""
        ran, busiest = 0, 0
        for thread, (on_core, waiting) in schedule(self.root).items():
            before_core, before_waiting = self.first.get(thread, (0, 0))
            ran += on_core - before_core
            busiest = max(busiest, on_core - before_core + waiting - before_waiting)
        return ran / 1e9, busiest / 1e9


def schedule(root):
    """Nanoseconds on a core and waiting for one, by thread (Linux: Documentation/scheduler/sched-stats)."""
    threads = {}
    for pid in family(root):
        for account in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                on_core, waiting, _ = account.read_text().split()
                threads[account.parent.name] = (int(on_core), int(waiting))
    return threads


def total_cpu(root):
    """Seconds of CPU time since the processes began, with that of threads that have ended."""
    return max(sum(ran for ran, _ in schedule(root).values()) / 1e9, sum(ticks(pid) for pid in family(root)))


def ticks(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(root):
    """Bytes of memory of the processes, what they share divided among them (PSS)."""
    total = 0
    for pid in family(root):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup") as rollup:
            total += next(int(line.split()[1]) * 1024 for line in rollup if line.startswith("Pss:"))
    return total
