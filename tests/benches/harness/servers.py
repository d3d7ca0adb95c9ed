"""The servers side by side: how each is told to do the same.

All have the same certificate, TLS_AES_128_GCM_SHA256 (or that cipher in TLS 1.2), X25519, tickets, as
many workers, no access log unless their name says so, and connections to the target that stay open.
"""

import contextlib
import dataclasses
import json

from .material import NAME, Certificate, Material
from .processes import free_port, run, running
from .target import Target


@dataclasses.dataclass(frozen=True)
class Task:
    """What a server is to do: with which certificate, in front of which target."""
    certificates: Material
    certificate: Certificate
    target: Target
    # Whether it asks the target over TLS.
    reencrypt: bool = False
    # Whether it only shakes hands: the bare server is a loop without HTTP then.
    handshakes: bool = False
    workers: int = 2


@dataclasses.dataclass(frozen=True)
class Server:
    """A server that runs: its process and where it listens."""
    pid: int
    port: int


@contextlib.contextmanager
def start(name, task, directory, binaries):
    """Runs a server until the end of the block; `NAME@N` has N workers, and the first N cores alone."""
    name, _, cores = name.partition("@")
    if cores:
        task = dataclasses.replace(task, workers=int(cores))
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [*pinned(cores), *COMMANDS[name](directory, port, task, binaries)]
    with running(command, directory, [port]) as pid:
        yield Server(pid, port)


def pinned(cores):
    return ["taskset", "-c", f"0-{int(cores) - 1}"] if cores else []


def is_known(name):
    name, at, cores = name.partition("@")
    return name in COMMANDS and (not at or cores.isdigit() and int(cores) > 0)


def bare(directory, port, task, binaries):
    command = [binaries["bare"], "--listen", f"127.0.0.1:{port}", "--cert", task.certificate.cert,
               "--key", task.certificate.key, "--workers", task.workers]
    if task.handshakes:
        return command
    if task.reencrypt:
        return command + ["--target", f"127.0.0.1:{task.target.tls}", "--target-ca", task.certificates.ca,
                          "--target-name", NAME]
    return command + ["--target", f"127.0.0.1:{task.target.plain}"]


def sealgate(directory, port, task, binaries, more="", rules=""):
    state, config = directory / "state", directory / "sealgate.yaml"
    if not state.exists():
        run(binaries["sealgate"], "init", "--state", state)
        run(binaries["sealgate"], "cert", "import", NAME, "--cert", task.certificate.cert,
            "--key", task.certificate.key, "--state", state)
    group = f'{{ targets: ["127.0.0.1:{task.target.plain}"] }}'
    if task.reencrypt:
        group = (f'{{ protocol: https, tls: {{ server_name: {NAME}, ca: {{ file: {task.certificates.ca} }} }}, '
                 f'targets: ["127.0.0.1:{task.target.tls}"] }}')
    config.write_text(f"""\
version: 1
workers: {task.workers}
listeners:
  https:
    bind: 127.0.0.1:{port}
    tls: {{ policy: modern, certificates: [{NAME}] }}
    action: {{ forward: target }}
target_groups:
  target: {group}
{rules}{more}""")
    return [binaries["sealgate"], "run", "-c", config, "--state", state, "--log", "warn"]


def sealgate_logged(directory, port, task, binaries):
    """With the access log in a file, and metrics that may be asked for."""
    return sealgate(directory, port, task, binaries, f"""\
access_log: {{ file: {directory}/access.log }}
admin: {{ http: 127.0.0.1:{free_port()} }}
""")


def sealgate_rules(count):
    """With so many rules, of which the last one is for the benchmark's host."""
    def command(directory, port, task, binaries):
        others = [f"  - {{ when: {{ host: h{at}.example.com, path: /p{at}/* }}, respond: 404 }}" for at in range(count - 1)]
        rules = "\n".join(["rules:", *others, f"  - {{ when: {{ host: {NAME} }}, forward: target }}", ""])
        return sealgate(directory, port, task, binaries, rules=rules)
    return command


def nginx(directory, port, task, binaries):
    config = directory / "nginx.conf"
    config.write_text(f"""\
daemon off;
worker_processes {task.workers};
pid {directory}/pid;
error_log stderr warn;
worker_rlimit_nofile 20000;
events {{ worker_connections 20000; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    keepalive_requests 1000000000;
    keepalive_time 1h;
    {nginx_upstream(task)}
    {nginx_server(port, task)}
}}
""")
    return ["nginx", "-p", directory, "-c", config, "-e", "stderr"]


def nginx_upstream(task):
    return f"""\
    upstream target {{
        server 127.0.0.1:{task.target.tls if task.reencrypt else task.target.plain};
        keepalive 600;
        keepalive_requests 1000000000;
        keepalive_time 1h;
    }}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $host;
    # Nothing to a disk.
    proxy_max_temp_file_size 0;
    proxy_ssl_verify on;
    proxy_ssl_trusted_certificate {task.certificates.ca};
    proxy_ssl_name {NAME};
    proxy_ssl_server_name on;
    proxy_ssl_protocols TLSv1.3;
"""


def nginx_server(port, task):
    return f"""\
    server {{
        listen 127.0.0.1:{port} ssl http2 reuseport backlog=4096;
        server_name {NAME};
        ssl_certificate {task.certificate.cert};
        ssl_certificate_key {task.certificate.key};
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
        ssl_conf_command NumTickets 1;
        ssl_ecdh_curve X25519:prime256v1;
        ssl_session_cache off;
        ssl_session_tickets on;
        location / {{ proxy_pass {"https" if task.reencrypt else "http"}://target; }}
    }}
"""


def haproxy(directory, port, task, binaries):
    config = directory / "haproxy.cfg"
    server = f"127.0.0.1:{task.target.plain}"
    if task.reencrypt:
        server = (f"127.0.0.1:{task.target.tls} ssl verify required ca-file {task.certificates.ca} "
                  f"sni str({NAME}) verifyhost {NAME}")
    config.write_text(f"""\
global
    nbthread {task.workers}
    maxconn 9500
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout http-request 60s
    timeout http-keep-alive 60s
    http-reuse always
frontend https
    bind 127.0.0.1:{port} backlog 4096 ssl crt {task.certificate.both} ssl-min-ver TLSv1.2 curves X25519:P-256 ciphersuites TLS_AES_128_GCM_SHA256 alpn h2,http/1.1
    default_backend target
backend target
    server target {server}
""")
    return ["haproxy", "-db", "-f", config]


def pingora(directory, port, task, binaries):
    command = [binaries["pingora"], "--listen", f"127.0.0.1:{port}", "--cert", task.certificate.cert,
               "--key", task.certificate.key, "--workers", task.workers, "--target-name", NAME]
    if task.reencrypt:
        return command + ["--target", f"127.0.0.1:{task.target.tls}", "--target-ca", task.certificates.ca]
    return command + ["--target", f"127.0.0.1:{task.target.plain}"]


def envoy(directory, port, task, binaries):
    certificates = [(task.certificate.cert, task.certificate.key)]
    return envoy_command(directory, envoy_listener(port, certificates), task, binaries)


def envoy_command(directory, listener, task, binaries):
    """JSON is YAML: Envoy reads either."""
    config = directory / "envoy.json"
    resources = {"listeners": [listener], "clusters": [envoy_cluster(task)]}
    config.write_text(json.dumps({"static_resources": resources}, default=str))
    return [binaries["envoy"], "-c", config, "--concurrency", task.workers, "--disable-hot-restart", "-l", "error"]


def envoy_listener(port, certificates):
    tls = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3",
                       "ecdh_curves": ["X25519", "X25519MLKEM768", "P-256"],
                       "cipher_suites": ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"]},
        "tls_certificates": [{"certificate_chain": {"filename": cert}, "private_key": {"filename": key}}
                             for cert, key in certificates],
    }
    router = {"name": "envoy.filters.http.router",
              "typed_config": {"@type": f"{ENVOY}.filters.http.router.v3.Router", "dynamic_stats": False,
                               "suppress_envoy_headers": True}}
    manager = {
        "@type": f"{ENVOY}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench", "codec_type": "AUTO", "http_filters": [router], "generate_request_id": False,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "route": {"cluster": "target", "timeout": "0s"}}]}]},
    }
    return {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "enable_reuse_port": True,
        "filter_chains": [{
            "transport_socket": {"name": "tls", "typed_config": {
                "@type": f"{ENVOY}.transport_sockets.tls.v3.DownstreamTlsContext", "common_tls_context": tls}},
            "filters": [{"name": "http", "typed_config": manager}],
        }],
    }


def envoy_cluster(task):
    port = task.target.tls if task.reencrypt else task.target.plain
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    most = {"max_connections": 100000, "max_pending_requests": 100000, "max_requests": 100000}
    cluster = {"name": "target", "type": "STATIC", "circuit_breakers": {"thresholds": [most]},
               "load_assignment": {"cluster_name": "target", "endpoints": [
                   {"lb_endpoints": [{"endpoint": {"address": address}}]}]}}
    if task.reencrypt:
        trust = {"trusted_ca": {"filename": task.certificates.ca},
                 "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": NAME}}]}
        cluster["transport_socket"] = {"name": "tls", "typed_config": {
            "@type": f"{ENVOY}.transport_sockets.tls.v3.UpstreamTlsContext", "sni": NAME,
            "common_tls_context": {"validation_context": trust,
                                   "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"}}}}
    return cluster


ENVOY = "type.googleapis.com/envoy.extensions"

COMMANDS = {"bare": bare, "sealgate": sealgate, "sealgate-logged": sealgate_logged, "nginx": nginx, "haproxy": haproxy,
            "envoy": envoy, "pingora": pingora,
            "sealgate-10-rules": sealgate_rules(10), "sealgate-10000-rules": sealgate_rules(10_000)}
