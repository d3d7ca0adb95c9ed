"""Certificates, and what the target serves."""

import dataclasses
import pathlib
import random

from .processes import run

NAME = "bench.example.com"


@dataclasses.dataclass(frozen=True)
class Certificate:
    cert: pathlib.Path
    key: pathlib.Path
    both: pathlib.Path


@dataclasses.dataclass(frozen=True)
class Material:
    ca: pathlib.Path
    p256: Certificate
    rsa2048: Certificate


def make(scratch):
    """A CA and a leaf with each kind of key; the leaf alone is what servers send."""
    ca = scratch / "ca.pem"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
        "-subj", "/CN=Benchmark CA", "-keyout", scratch / "ca.key", "-out", ca)
    (scratch / "extensions").write_text(f"subjectAltName=DNS:{NAME}\nextendedKeyUsage=serverAuth\n")
    return Material(ca, issue(scratch, "p256", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
                    issue(scratch, "rsa2048", "rsa:2048"))


def issue(scratch, kind, *algorithm):
    key, request, cert, both = (scratch / f"{kind}.{end}" for end in ("key", "csr", "pem", "both.pem"))
    run("openssl", "req", "-new", "-newkey", *algorithm, "-nodes", "-subj", f"/CN={NAME}", "-keyout", key,
        "-out", request)
    run("openssl", "x509", "-req", "-in", request, "-CA", scratch / "ca.pem", "-CAkey", scratch / "ca.key",
        "-days", "30", "-set_serial", str(random.getrandbits(64)), "-extfile", scratch / "extensions", "-out", cert)
    both.write_text(cert.read_text() + key.read_text())
    return Certificate(cert, key, both)


def pattern(length):
    """Bytes that no compression, and no include of nginx, takes for something else."""
    return random.Random(length).choices(b"abcdefghijklmnopqrstuvwxyz", k=length)


SMALL = bytes(pattern(128))
LARGE = bytes(pattern(1 << 20))
