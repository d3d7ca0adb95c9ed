"""How many system calls a server makes, and how many of them wait for or wake another thread (futex(2))."""

import contextlib
import shutil
import signal
import subprocess
import time

from .processes import ENVIRONMENT, PATH, family


def countable():
    return shutil.which("perf", path=PATH) is not None


@contextlib.contextmanager
def counted(root):
    """Counts those of all threads of the processes; the list that this yields holds the two numbers afterwards."""
    numbers = []
    command = ["perf", "stat", "-x", ",", "-e", ",".join(EVENTS), "-p", ",".join(map(str, family(root)))]
    perf = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    # It does not say when it has attached itself.
    time.sleep(0.5)
    try:
        yield numbers
    finally:
        perf.send_signal(signal.SIGINT)
        _, told = perf.communicate()
        counts = {fields[2]: fields[0] for fields in (line.split(",") for line in told.splitlines()) if len(fields) > 2}
        numbers += [int(counts[event]) if counts.get(event, "").isdigit() else None for event in EVENTS]


EVENTS = ("raw_syscalls:sys_enter", "syscalls:sys_enter_futex")
