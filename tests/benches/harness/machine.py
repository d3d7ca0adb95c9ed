"""Where and with what was measured."""

import datetime
import os
import subprocess

from .processes import ENVIRONMENT


def describe():
    with open("/proc/cpuinfo") as info:
        models = [line.split(":", 1)[1].strip() for line in info if line.startswith("model name")]
    with open("/proc/meminfo") as info:
        memory = int(info.readline().split()[1]) // 2**20
    return {
        "cpu": models[0] if models else os.uname().machine,
        "cores": len(models) or os.cpu_count(),
        "memory_gib": memory,
        "kernel": os.uname().release,
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    }


def locked_version(lock, package):
    """The version of a package in a Cargo.lock."""
    entry = next(part for part in lock.read_text().split("[[package]]") if f'name = "{package}"\n' in part)
    return entry.split('version = "')[1].split('"')[0]


def first_line(*command):
    told = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=ENVIRONMENT)
    return (told.stdout + told.stderr).splitlines()
