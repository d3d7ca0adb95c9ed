"""W1 to W12: what is asked, and what must have come out for the figures to be comparable."""

import dataclasses

from . import clients, material
from .processes import Failed

TLS13 = ("--tls", "1.3", "--suite", "aes128", "--group", "x25519")
# In TLS 1.2 the groups are also the curves that a certificate may be on.
TLS12 = ("--tls", "1.2", "--suite", "aes128", "--group", "x25519,p256")
POST_QUANTUM = ("--tls", "1.3", "--suite", "aes128", "--group", "x25519mlkem768")
RESUME = ("--resume", "100%")

ECDSA = "ECDSA P-256"
FULL13 = {"version": "TLSv1.3", "suite": "TLS13_AES_128_GCM_SHA256", "group": "X25519", "resumed": False,
          "certificate": ECDSA}
FULL12 = {**FULL13, "version": "TLSv1.2", "suite": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"}


@dataclasses.dataclass(frozen=True)
class Handshakes:
    """Connections from accept to close, each new."""
    title: str
    unit = "handshake"
    client: tuple
    agreed: dict
    certificate: str = "p256"
    count: int = 1500
    concurrency: int = 32
    # Who cannot do it: Debian's OpenSSL has no ML-KEM, and Pingora's settings for BoringSSL no tickets in TLS 1.3.
    cannot: tuple = ()
    reencrypt: bool = False
    only_handshakes: bool = True
    # What a response holds; handshakes alone have none.
    body: int = 0

    def warm_up(self, server, binaries):
        clients.handshakes(server, self.client, self.concurrency * 8, self.concurrency, binaries)

    def sample(self, server, scale, binaries):
        return clients.handshakes(server, self.client, max(self.concurrency, int(self.count * scale)),
                                  self.concurrency, binaries)

    def most_upstream(self, operations):
        return max(self.concurrency * 4, operations // 20)


@dataclasses.dataclass(frozen=True)
class Requests:
    """Requests over connections that stay open."""
    title: str
    unit = "request"
    path: str
    body: int
    count: int
    connections: int
    streams: int = 1
    protocol: str = "http/1.1"
    reencrypt: bool = False
    certificate = "p256"
    only_handshakes = False
    cannot: tuple = ()

    @property
    def agreed(self):
        return {"version": "TLSv1.3", "suite": "TLS_AES_128_GCM_SHA256", "group": "X25519", "alpn": self.protocol}

    def warm_up(self, server, binaries):
        self.sample(server, 0.1, binaries)

    def sample(self, server, scale, binaries):
        count = max(self.connections * self.streams, int(self.count * scale))
        return clients.requests(server, self.path, count, self.connections, self.streams, self.protocol)

    def most_upstream(self, operations):
        return self.connections * self.streams * 2 + operations // 100


@dataclasses.dataclass(frozen=True)
class Rate:
    """Requests at a constant rate, whose latency counts from when each was due."""
    title: str
    unit = "request"
    per_second: int
    seconds: float
    path: str = "/small"
    body: int = len(material.SMALL)
    connections: int = 64
    reencrypt = False
    certificate = "p256"
    only_handshakes = False
    cannot: tuple = ()
    agreed = FULL13

    def warm_up(self, server, binaries):
        self.sample(server, 0.2, binaries)

    def sample(self, server, scale, binaries):
        words = ["http", "--path", self.path, "--rate", self.per_second, "--connections", self.connections,
                 *TLS13, "--count", int(self.per_second * self.seconds * scale)]
        return clients.by_bench(server, words, 0, binaries)

    def most_upstream(self, operations):
        return self.connections * 2


SMALL, LARGE = len(material.SMALL), len(material.LARGE)
WORKLOADS = {
    "W1": Handshakes("full TLS 1.3 handshake, ECDSA P-256", TLS13, FULL13),
    "W1b": Handshakes("full TLS 1.2 handshake, ECDHE-ECDSA", TLS12, FULL12),
    "W2": Handshakes("full TLS 1.3 handshake, RSA-2048", TLS13, {**FULL13, "certificate": "RSA 2048"}, "rsa2048"),
    "W3": Handshakes("resumed TLS 1.3 handshake", TLS13 + RESUME, {**FULL13, "resumed": True},
                     cannot=("pingora",)),
    # What is resumed in TLS 1.2 exchanges no key.
    "W3b": Handshakes("resumed TLS 1.2 handshake", TLS12 + RESUME, {**FULL12, "resumed": True, "group": None},
                      count=3000),
    "W4": Handshakes("full TLS 1.3 handshake, X25519MLKEM768", POST_QUANTUM, {**FULL13, "group": "X25519MLKEM768"},
                     cannot=("nginx", "haproxy")),
    "W5": Handshakes("new connection and 1 GET", TLS13 + ("--request", "/small"), FULL13, only_handshakes=False,
                     body=SMALL),
    "W6": Requests("keep-alive HTTP/1.1 GET of 128 B", "/small", SMALL, 40000, 64),
    "W7": Requests("HTTP/2 GET of 128 B, 16 connections × 32 streams", "/small", SMALL, 60000, 16, 32, "h2"),
    "W8": Requests("GET of 1 MiB with content-length", "/large", LARGE, 1000, 16),
    "W8c": Requests("GET of 1 MiB in chunks", "/chunked.html", LARGE, 1000, 16),
    "W9": Requests("keep-alive HTTP/1.1 GET of 128 B, re-encrypted", "/small", SMALL, 30000, 64, reencrypt=True),
    "W12": Rate("HTTP/1.1 GET of 128 B, 6,000 per second", 6000, 2),
}


def check(workload, sample):
    """Figures compare only where the same was agreed on, and everything went well."""
    faults = []
    if sample.agreed != workload.agreed:
        faults.append(f"agreed on {sample.agreed} instead of {workload.agreed}")
    if not workload.only_handshakes:
        if sample.upstream > workload.most_upstream(sample.operations):
            faults.append(f"{sample.upstream} connections to the target for {sample.operations} requests")
        if sample.bytes is not None and sample.bytes != workload.body * sample.operations:
            faults.append(f"{sample.bytes} bytes instead of {workload.body} × {sample.operations}")
    if faults:
        raise Failed("; ".join(faults))
