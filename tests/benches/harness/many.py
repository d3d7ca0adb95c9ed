"""W11: what ten thousand certificates take until they are served, CPU time and memory."""

import dataclasses
import socket
import ssl
import time

from . import servers
from .processes import Failed, free_port, memory, run, running, total_cpu

COUNT = 10_000
# Pingora and the bare proxy have no certificates to choose from.
ABLE = ("sealgate", "nginx", "haproxy", "envoy")


@dataclasses.dataclass
class Start:
    cpu_seconds: float
    wall_seconds: float
    memory_bytes: int
    # Above the same server with one certificate.
    bytes_each: float
    certificates: int = COUNT


def make(scratch, binaries):
    """The certificates as PEM and as a sealed store."""
    state, pems = scratch / "many-state", scratch / "many"
    run(binaries["sealgate"], "init", "--state", state)
    run(binaries["certificates"], COUNT, pems, state)
    return pems, state


def measure(name, task, made, directory, binaries):
    pems, state = made
    one = begin(name, [next(pems.iterdir())], None, task, directory / "one", binaries)
    all_of_them = begin(name, sorted(pems.iterdir()), state, task, directory / "all", binaries)
    more = all_of_them.memory_bytes - one.memory_bytes
    return vars(dataclasses.replace(all_of_them, bytes_each=more / (COUNT - 1)))


def begin(name, pems, state, task, directory, binaries):
    directory.mkdir(parents=True)
    port = free_port()
    command = COMMANDS[name](directory, port, pems, state, task, binaries)
    began = time.monotonic()
    with running(command, directory, [port], patience=300) as pid:
        shown(port, pems[len(pems) // 2])
        wall = time.monotonic() - began
        return Start(total_cpu(pid), wall, memory(pid), 0)


def shown(port, pem):
    """Waits until the server shows this certificate for its name."""
    expected = ssl.PEM_cert_to_DER_cert(pem.read_text().split("-----BEGIN PRIVATE")[0].strip())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    deadline = time.monotonic() + 60
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=60) as tcp, \
                    context.wrap_socket(tcp, server_hostname=pem.stem) as tls:
                if tls.getpeercert(binary_form=True) == expected:
                    return
                why = "another certificate"
        except OSError as error:
            why = error
        if time.monotonic() > deadline:
            raise Failed(f"{pem.stem} is not served: {why}")
        time.sleep(0.05)


def sealgate(directory, port, pems, state, task, binaries):
    if state is None:
        state = directory / "state"
        run(binaries["sealgate"], "init", "--state", state)
        cert, key = directory / "cert.pem", directory / "key.pem"
        parts = pems[0].read_text().partition("-----BEGIN PRIVATE")
        cert.write_text(parts[0])
        key.write_text("".join(parts[1:]))
        run(binaries["sealgate"], "cert", "import", pems[0].stem, "--cert", cert, "--key", key, "--state", state)
    config = directory / "sealgate.yaml"
    config.write_text(f"""\
version: 1
workers: {task.workers}
listeners:
  https:
    bind: 127.0.0.1:{port}
    tls: {{ policy: modern, certificates: ["*"] }}
    action: {{ respond: 200 }}
""")
    return [binaries["sealgate"], "run", "-c", config, "--state", state, "--log", "warn"]


def nginx(directory, port, pems, state, task, binaries):
    blocks = "\n".join(
        f"server {{ listen 127.0.0.1:{port} ssl; server_name {pem.stem}; ssl_certificate {pem}; "
        f"ssl_certificate_key {pem}; return 200; }}" for pem in pems)
    config = directory / "nginx.conf"
    config.write_text(f"""\
daemon off;
worker_processes {task.workers};
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
    server_names_hash_max_size 65536;
    server_names_hash_bucket_size 128;
    ssl_session_cache off;
    {blocks}
}}
""")
    return ["nginx", "-p", directory, "-c", config, "-e", "stderr"]


def haproxy(directory, port, pems, state, task, binaries):
    crt = pems[0] if len(pems) == 1 else pems[0].parent
    config = directory / "haproxy.cfg"
    config.write_text(f"""\
global
    nbthread {task.workers}
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend https
    bind 127.0.0.1:{port} ssl crt {crt}
    http-request return status 200
""")
    return ["haproxy", "-db", "-f", config]


def envoy(directory, port, pems, state, task, binaries):
    return servers.envoy_command(directory, servers.envoy_listener(port, [(pem, pem) for pem in pems]),
                                 task, binaries)


COMMANDS = {"sealgate": sealgate, "nginx": nginx, "haproxy": haproxy, "envoy": envoy}
