#!/usr/bin/env python3
"""What a TLS handshake costs: Sealgate, a bare accept loop, nginx and HAProxy side by side.

Builds the release binaries, makes certificates with openssl, starts the servers on the loopback
interface, makes sure that they negotiate the same, and has `sealgate bench handshake` measure them
in interleaved rounds. Prints a Markdown table; no figure makes it fail, a difference in what was
negotiated or a failed handshake does.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

NAME = "bench.example.com"
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
WORKERS = 2


@dataclasses.dataclass(frozen=True)
class Workload:
    title: str
    certificate: str
    client: tuple
    resumed: bool = False
    # Debian's OpenSSL has no ML-KEM.
    openssl: bool = True


TLS13 = ("--tls", "1.3", "--suite", "aes128", "--group", "x25519")
# In TLS 1.2 the groups are also the curves that a certificate may be on.
TLS12 = ("--tls", "1.2", "--suite", "aes128", "--group", "x25519,p256")
RESUME = ("--resume", "100%")
WORKLOADS = {
    "W1": Workload("full, TLS 1.3, ECDSA P-256", "p256", TLS13),
    "W1b": Workload("full, TLS 1.2, ECDSA P-256", "p256", TLS12),
    "W2": Workload("full, TLS 1.3, RSA-2048", "rsa2048", TLS13),
    "W3": Workload("resumed, TLS 1.3", "p256", TLS13 + RESUME, resumed=True),
    "W3b": Workload("resumed, TLS 1.2", "p256", TLS12 + RESUME, resumed=True),
    "W4": Workload("full, TLS 1.3, ECDSA P-256, X25519MLKEM768", "p256",
                   ("--tls", "1.3", "--suite", "aes128", "--group", "x25519mlkem768"), openssl=False),
}


def main():
    options = arguments()
    binaries = build()
    with tempfile.TemporaryDirectory(prefix="sealgate-bench-") as scratch:
        scratch = pathlib.Path(scratch)
        pki = make_certificates(scratch)
        results = {}
        for name in options.workloads:
            workload = WORKLOADS[name]
            servers = [s for s in options.servers if workload.openssl or s in ("bare", "sealgate")]
            with contextlib.ExitStack() as running:
                started = {s: running.enter_context(start(s, workload.certificate, pki, scratch, binaries))
                           for s in servers}
                results[name] = measure(name, workload, started, binaries, options)
    report = document(results, options, binaries)
    print(report)
    if options.report:
        options.report.write_text(report)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words = lambda text: text.split(",")
    parser.add_argument("--workloads", type=words, default=["W1"], help="of " + ", ".join(WORKLOADS) + "; or all")
    parser.add_argument("--servers", type=words, default=["bare", "sealgate", "nginx", "haproxy"])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--count", type=int, default=2000, help="handshakes per round and server")
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--report", type=pathlib.Path, help="write the table to this file as well")
    parser.add_argument("--json", type=pathlib.Path, help="write the reports of all rounds to this file")
    options = parser.parse_args()
    if options.workloads == ["all"]:
        options.workloads = list(WORKLOADS)
    unknown = [w for w in options.workloads if w not in WORKLOADS] + [s for s in options.servers if s not in STARTERS]
    if unknown or options.rounds < 1 or options.count < options.concurrency:
        parser.error(f"unknown: {', '.join(unknown)}" if unknown else "too few rounds or handshakes")
    missing = [program for program in ("openssl", *options.servers)
               if program not in ("bare", "sealgate") and not shutil.which(program, path=PATH)]
    if missing:
        parser.error(f"not installed: {', '.join(missing)} (on Debian: apt-get install {' '.join(missing)})")
    return options


# Debian puts nginx and haproxy where only root looks.
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"


def build():
    """Both with one command, so that both have the same dependencies with the same features."""
    packages = ["-p", "sealgate", "-p", "sealgate-bare"]
    subprocess.run(["cargo", "build", "--release", *packages], cwd=REPOSITORY, check=True)
    metadata = output("cargo", "metadata", "--format-version", "1", "--no-deps", cwd=REPOSITORY)
    release = pathlib.Path(json.loads(metadata)["target_directory"]) / "release"
    return {"sealgate": release / "sealgate", "bare": release / "bare"}


def make_certificates(scratch):
    """A CA and a leaf with each kind of key; the leaf alone is what servers send."""
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
            "-subj", "/CN=Benchmark CA", "-keyout", scratch / "ca.key", "-out", scratch / "ca.pem")
    (scratch / "extensions").write_text(f"subjectAltName=DNS:{NAME}\nextendedKeyUsage=serverAuth\n")
    kinds = {"p256": ("ec", "-pkeyopt", "ec_paramgen_curve:P-256"), "rsa2048": ("rsa:2048",)}
    pki = {}
    for kind, algorithm in kinds.items():
        key, request, cert = (scratch / f"{kind}.{end}" for end in ("key", "csr", "pem"))
        openssl("req", "-new", "-newkey", *algorithm, "-nodes", "-subj", f"/CN={NAME}", "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", scratch / "ca.pem", "-CAkey", scratch / "ca.key", "-days", "30",
                "-set_serial", str(random.getrandbits(64)), "-extfile", scratch / "extensions", "-out", cert)
        both = scratch / f"{kind}.both.pem"
        both.write_text(cert.read_text() + key.read_text())
        pki[kind] = {"cert": cert, "key": key, "both": both}
    return pki


# --- servers: each a context that yields (pid, port) ---


@contextlib.contextmanager
def start(server, certificate, pki, scratch, binaries):
    """Runs a server as a child of this process, and ends it by its process id."""
    directory = scratch / f"{server}-{certificate}"
    directory.mkdir(exist_ok=True)
    port = free_port()
    command = STARTERS[server](directory, port, pki[certificate], binaries)
    log = directory / "log"
    with open(log, "ab") as out:
        child = subprocess.Popen([str(word) for word in command], stdout=out, stderr=out, env={**os.environ, "PATH": PATH})
    try:
        wait_for(port, child, log)
        yield child.pid, port
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
        try:
            child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def bare(directory, port, pki, binaries):
    return [binaries["bare"], "--listen", f"127.0.0.1:{port}", "--cert", pki["cert"], "--key", pki["key"],
            "--workers", WORKERS]


def sealgate(directory, port, pki, binaries):
    state, config = directory / "state", directory / "sealgate.yaml"
    if not state.exists():
        for words in (["init"], ["cert", "import", NAME, "--cert", pki["cert"], "--key", pki["key"]]):
            run(binaries["sealgate"], *words, "--state", state)
    config.write_text(f"""\
version: 1
workers: {WORKERS}
listeners:
  https:
    bind: 127.0.0.1:{port}
    tls:
      policy: modern
      certificates: [{NAME}]
    action: {{ respond: 200 }}
""")
    return [binaries["sealgate"], "run", "-c", config, "--state", state, "--log", "warn"]


def nginx(directory, port, pki, binaries):
    config = directory / "nginx.conf"
    config.write_text(f"""\
daemon off;
worker_processes {WORKERS};
pid {directory}/pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl reuseport backlog=1024;
        server_name {NAME};
        ssl_certificate {pki["cert"]};
        ssl_certificate_key {pki["key"]};
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
        ssl_conf_command NumTickets 1;
        ssl_ecdh_curve X25519:prime256v1;
        ssl_session_cache off;
        ssl_session_tickets on;
        return 200;
    }}
}}
""")
    return ["nginx", "-p", directory, "-c", config, "-e", "stderr"]


def haproxy(directory, port, pki, binaries):
    config = directory / "haproxy.cfg"
    config.write_text(f"""\
global
    nbthread {WORKERS}
    maxconn 4096
defaults
    mode http
    timeout connect 5s
    timeout client 10s
    timeout server 10s
    timeout http-request 10s
frontend https
    bind 127.0.0.1:{port} backlog 1024 ssl crt {pki["both"]} ssl-min-ver TLSv1.2 curves X25519:P-256 ciphersuites TLS_AES_128_GCM_SHA256
    http-request return status 200
""")
    return ["haproxy", "-db", "-f", config]


STARTERS = {"bare": bare, "sealgate": sealgate, "nginx": nginx, "haproxy": haproxy}


def wait_for(port, child, log):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and child.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise SystemExit(f"the server does not listen on port {port}:\n{log.read_text()}")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


# --- measuring ---


def measure(name, workload, started, binaries, options):
    """Rounds in which each server has its turn, in an order that is drawn each time."""
    results = {server: [] for server in started}
    for server, (pid, port) in started.items():
        check(server, workload, handshakes(workload, pid, port, options.concurrency * 8, binaries, options))
    for turn in range(options.rounds):
        for server in random.sample(list(started), len(started)):
            pid, port = started[server]
            report = handshakes(workload, pid, port, options.count, binaries, options)
            check(server, workload, report)
            results[server].append(report)
        print(f"{name}: round {turn + 1} of {options.rounds}", file=sys.stderr)
    return results


def handshakes(workload, pid, port, count, binaries, options):
    return json.loads(output(
        binaries["sealgate"], "bench", "handshake", "--connect", f"127.0.0.1:{port}", "--sni", NAME,
        *workload.client, "--count", count, "--concurrency", options.concurrency, "--pid", pid,
        "--output", "json", "--state", "/nonexistent"))


def check(server, workload, report):
    """Figures compare only where the same was negotiated, and everything went well."""
    shakes, agreed = report["handshakes"], report["negotiated"]
    faults = []
    if shakes["failed"]:
        faults.append(f"failures: {report['failures']}")
    if len(agreed) != 1 or agreed[0]["resumed"] != workload.resumed:
        faults.append(f"negotiated: {agreed}")
    elif parity(agreed[0]) != expected(workload):
        faults.append(f"negotiated {parity(agreed[0])} instead of {expected(workload)}")
    if shakes["left_open"]:
        faults.append(f"{shakes['left_open']} connections left open")
    if faults:
        raise SystemExit(f"{server}, {workload.title}: " + "; ".join(faults))


def parity(agreed):
    return (agreed["version"], agreed["suite"], agreed["group"], agreed["certificate"])


def expected(workload):
    tls13 = "1.3" in workload.client
    key = {"p256": "ECDSA P-256", "rsa2048": "RSA 2048"}[workload.certificate]
    group = "X25519MLKEM768" if "x25519mlkem768" in workload.client else "X25519"
    if tls13:
        return ("TLSv1.3", "TLS13_AES_128_GCM_SHA256", group, key)
    # What is resumed in TLS 1.2 exchanges no key.
    return ("TLSv1.2", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", None if workload.resumed else group, key)


# --- the table ---


def document(results, options, binaries):
    lines = [f"{options.rounds} interleaved rounds of {options.count} handshakes, {options.concurrency} connections at "
             f"a time, {WORKERS} workers per server; {machine()}.", ""]
    lines += [f"- {server}: {version(server, binaries)}" for server in options.servers]
    for name, result in results.items():
        lines += ["", f"**{name}: {WORKLOADS[name].title}**", ""] + table(result)
    return "\n".join(lines) + "\n"


def table(result):
    peers = [server for server in ("bare", "nginx", "haproxy") if server in result]
    lines = ["| server | CPU µs per handshake, median (min–max) | " + "".join(f"÷ {peer} | " for peer in peers)
             + "p99 ms | tickets | close_notify | memory MiB |", "|---|---|" + "---|" * (len(peers) + 4)]
    for server, reports in result.items():
        cpu = costs(reports)
        ratios = "".join(f"{paired(cpu, costs(result[peer])):.2f} | " for peer in peers)
        last = reports[-1]
        tickets = last["handshakes"]["tickets"] / last["handshakes"]["succeeded"]
        p99 = statistics.median(report["latency"]["p99_us"] / 1000 for report in reports)
        lines.append(f"| {server} | {statistics.median(cpu):.1f} ({min(cpu):.1f}–{max(cpu):.1f}) | {ratios}"
                     f"{p99:.1f} | {tickets:.2g} | {'no' if last['handshakes']['unannounced'] else 'yes'} | {last['server']['peak_memory_bytes'] / 2**20:.1f} |")
    return lines


def costs(reports):
    return [report["server"]["cpu_us_per_handshake"] for report in reports]


def paired(ours, theirs):
    """The median of the ratios within a round: what slows a round down slows both."""
    return statistics.median(mine / other for mine, other in zip(ours, theirs))


def machine():
    with open("/proc/cpuinfo") as info:
        models = [line.split(":", 1)[1].strip() for line in info if line.startswith("model name")]
    return f"{len(models) or os.cpu_count()} × {models[0] if models else os.uname().machine}, Linux {os.uname().release}"


def version(server, binaries):
    if server in binaries:
        rustls = next(line for line in (REPOSITORY / "Cargo.lock").read_text().split("[[package]]") if 'name = "rustls"\n' in line)
        return "rustls " + rustls.split('version = "')[1].split('"')[0] + " with aws-lc-rs, tokio"
    told = subprocess.run([server, "-v" if server == "haproxy" else "-V"], capture_output=True, text=True, env={"PATH": PATH})
    lines = (told.stdout + told.stderr).splitlines()
    built = [line for line in lines if line.startswith("built with OpenSSL")]
    return ", ".join([lines[0].split(" - http")[0]] + built[:1])


def run(*command):
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{result.stdout}{result.stderr}")


def openssl(*words):
    run("openssl", *words)


def output(*command, cwd=None):
    result = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True, cwd=cwd)
    if result.returncode:
        raise SystemExit(f"failed: {' '.join(map(str, command))}\n{result.stdout}")
    return result.stdout


if __name__ == "__main__":
    main()
