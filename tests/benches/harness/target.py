"""The web server behind the proxies: Debian's nginx, in the clear and with TLS."""

import contextlib
import dataclasses
import http.client
import os
import subprocess

from . import material
from .processes import Failed, free_port, running


@dataclasses.dataclass
class Target:
    plain: int
    tls: int
    status: http.client.HTTPConnection

    def accepted(self):
        """How many connections it has accepted since it began."""
        return self.counts()[0]

    def asked(self):
        """How many requests it has had since it began."""
        return self.counts()[2]

    def counts(self):
        """Connections accepted, connections handled, requests (nginx: ngx_http_stub_status_module)."""
        self.status.request("GET", "/status")
        return [int(word) for word in self.status.getresponse().read().split()[7:10]]


@contextlib.contextmanager
def start(scratch, certificates):
    directory = scratch / "target"
    directory.mkdir()
    (directory / "small").write_bytes(material.SMALL)
    (directory / "large").write_bytes(material.LARGE)
    (directory / "chunked.html").write_bytes(material.LARGE)
    plain, tls = free_port(), free_port()
    config = directory / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(CONFIG.format(user=user, directory=directory, plain=plain, tls=tls, certificate=certificates.p256,
                                    small=material.SMALL.decode()))
    with running(["nginx", "-p", directory, "-c", config, "-e", "stderr"], directory, [plain, tls]):
        status = http.client.HTTPConnection("127.0.0.1", plain)
        yield Target(plain, tls, status)


# The files are in a directory that is closed to others: the workers stay who we are.
CONFIG = """\
{user}
daemon off;
worker_processes 2;
pid {directory}/pid;
error_log stderr warn;
worker_rlimit_nofile 20000;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    keepalive_time 1h;
    tcp_nopush on;
    sendfile on;
    open_file_cache max=16;
    server {{
        listen 127.0.0.1:{plain} reuseport backlog=4096;
        listen 127.0.0.1:{tls} ssl reuseport backlog=4096;
        ssl_certificate {certificate.cert};
        ssl_certificate_key {certificate.key};
        ssl_protocols TLSv1.3;
        ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
        ssl_ecdh_curve X25519;
        root {directory};
        location = /small {{ return 200 "{small}"; }}
        location = /large {{ }}
        location = /chunked.html {{ ssi on; }}
        location = /status {{ stub_status; }}
        location / {{ return 200 "{small}"; }}
    }}
}}
"""


def check_answers(port, ca):
    """Whether what a proxy hands on is what the target holds, byte by byte."""
    bodies = {"/small": material.SMALL, "/large": material.LARGE, "/chunked.html": material.LARGE}
    for version in ("--http1.1", "--http2"):
        for path, body in bodies.items():
            url = f"https://{material.NAME}:{port}{path}"
            got = subprocess.run(["curl", "-sS", "--fail", version, "--cacert", ca, "--resolve",
                                  f"{material.NAME}:{port}:127.0.0.1", url], capture_output=True)
            if got.returncode or got.stdout != body:
                raise Failed(f"{version} {path}: {len(got.stdout)} other bytes than the target's; {got.stderr.decode()}")
