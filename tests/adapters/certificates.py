"""Certificates for tests of TLS, made by openssl."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

_NEW = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]


@dataclass(frozen=True, slots=True)
class Authority:
    """Sign certificates; all files are in one folder."""

    folder: Path
    name: str

    @property
    def certificate(self) -> Path:
        """Return the authority's own certificate."""
        return self.folder / f"{self.name}.crt"

    def create(self) -> Authority:
        """Make key and certificate of the authority."""
        _openssl(*self._files(self.name), "-addext", "basicConstraints=critical,CA:TRUE")
        return self

    def issue(self, name: str) -> tuple[Path, Path]:
        """Return certificate and key of a server at 127.0.0.1, or of a client."""
        signed_by = ["-CA", str(self.certificate), "-CAkey", str(self.folder / f"{self.name}.key")]
        _openssl(*self._files(name), *signed_by, "-addext", "subjectAltName=IP:127.0.0.1")
        return self.folder / f"{name}.crt", self.folder / f"{name}.key"

    def server(self, name: str, clients: Authority) -> ssl.SSLContext:
        """Return what a server needs that asks clients for a certificate of an authority."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(clients.certificate))
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(*self.issue(name))
        return context

    def _files(self, name: str) -> list[str]:
        key, certificate = self.folder / f"{name}.key", self.folder / f"{name}.crt"
        return ["-subj", f"/CN={name}", "-keyout", str(key), "-out", str(certificate)]


def _openssl(*arguments: str) -> None:
    subprocess.run([*_NEW, *arguments], check=True, capture_output=True)
