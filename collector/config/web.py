"""The file that `web_config` names -> WebConfig: who may see the pages, in the format of Prometheus' exporter-toolkit.

https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md is the reference, `promtool check
web-config` another reader. Where we are stricter: what Python's ssl cannot do, or what would let everybody in by
mistake, is refused. Passwords' hashes and keys are in no message.
"""

import ipaddress
import re
import ssl
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yaml import Node

from collector.config.document import (
    Contents,
    Converter,
    Document,
    Fields,
    list_of,
    mapping,
    one_of,
    refused,
    switch,
    text,
    value,
    word,
)
from collector.config.problems import Problems, in_order
from collector.config.tls import (
    CIPHERS,
    CURVES,
    FIXED,
    VERSIONS,
    Unusable,
    ask_for_certificates,
    choose_ciphers,
    server_context,
)
from collector.errors import ConfigError

HASH = re.compile(r"\$2[aby]\$(?P<cost>[0-9]{2})\$[./A-Za-z0-9]{53}")
COSTS = range(4, 19)
"""What a bcrypt hash may cost: 18 is a quarter of a minute for every guess, and each further one doubles it."""
HEADERS: Mapping[str, tuple[str, ...]] = {
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
    "Content-Security-Policy": (),
}
"""The headers that may be set, and their values where those are a closed set."""
ASKS = {"NoClientCert": None, "VerifyClientCertIfGiven": False, "RequireAndVerifyClientCert": True}
"""Whether a client must show a certificate; None where it is not asked for one."""
UNVERIFIED = ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert")
STRICTEST = "RequireAndVerifyClientCert"


@dataclass(frozen=True, slots=True)
class WebConfig:
    """Who may see the pages. Without `context` there is no TLS, without `users` (name -> bcrypt hash) no password."""

    context: ssl.SSLContext | None = None
    allowed_sans: frozenset[str] = frozenset()
    users: Mapping[bytes, bytes] = field(default_factory=dict, repr=False)
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def guards(self) -> frozenset[str]:
        """By which fields strangers are kept out."""
        verified = self.context is not None and self.context.verify_mode == ssl.CERT_REQUIRED
        guards = {
            "tls_server_config": self.context is not None,
            f"client_auth_type: {STRICTEST}": verified,
            "client_allowed_sans": bool(self.allowed_sans),
            "basic_auth_users": bool(self.users),
        }
        return frozenset(name for name, there in guards.items() if there)

    def admits(self, certificate: Mapping[str, Any] | None) -> bool:
        """Say whether a client's certificate (SSLSocket.getpeercert) has a name that may come in."""
        names = (certificate or {}).get("subjectAltName", ())
        return not self.allowed_sans or any(_san(*name) in self.allowed_sans for name in names)


def _san(kind: str, name: str) -> str:
    """Return a name of a certificate as Go writes it."""
    with suppress(ValueError):
        return str(ipaddress.ip_address(name.strip())) if kind == "IP Address" else name
    return name


def load(file: Path) -> WebConfig:
    """Return what a file says; ConfigError with all that is wrong in it."""
    config, problems, _ = read(file)
    if problems:
        raise ConfigError(in_order(problems, [file]))
    return config


def read(file: Path) -> tuple[WebConfig, Problems, Contents]:
    """Return what a file says, what is wrong with it, and what was in it and in each file that it names.

    With problems it says nothing.
    """
    problems: Problems = []
    document = Document(file, problems)
    root = document.root()
    config = _config(document, document.fields(root, "", TOP)) if root else WebConfig()
    return WebConfig() if problems else config, problems, document.contents


def _config(document: Document, top: Fields) -> WebConfig:
    """Return what the document says; with problems noted that is not to be used."""
    tls, http = (
        document.fields(top[name].value, name, converters) if name in top else {}
        for name, converters in (("tls_server_config", TLS), ("http_server_config", HTTP))
    )
    return WebConfig(
        context=_Tls(document, top["tls_server_config"].line, tls).context() if tls else None,
        allowed_sans=frozenset(value(tls, "client_allowed_sans") or ()),
        users=value(top, "basic_auth_users") or {},
        headers=value(http, "headers") or (),
    )


def _users(document: Document, node: Node, name: str) -> dict[bytes, bytes] | None:
    """Return name and hash of each user. Neither is in a message: people mix up which goes where."""
    users: dict[bytes, bytes] = {}
    lines: dict[str, int] = {}
    for line, user, below in document.pairs(node, name):
        if user in lines:
            document.wrong(line, name, f"this user is in line {lines[user]} already; take one of them away")
        if ":" in user or not user.isprintable():
            document.wrong(line, name, "a user's name with a colon or control character, whom no browser can send")
        hashed = word(below) or ""
        if fault := _hash_fault(hashed):
            document.wrong(line, name, fault)
        users[user.encode()] = hashed.encode()
        lines.setdefault(user, line)
    return users


def _hash_fault(text: str) -> str:
    match = HASH.fullmatch(text)
    if not match:
        return "this user has no bcrypt hash; htpasswd -nBC 10 USER asks for a password and prints one, $2y$10$..."
    if int(match["cost"]) not in COSTS:
        return f"the cost of this user's hash, {match['cost']}, is not {COSTS[0]} to {COSTS[-1]}; make one with 10"
    return ""


def _headers(document: Document, node: Node, name: str) -> tuple[tuple[str, str], ...]:
    """Return the headers that are to be sent; a blank one is not."""
    known: dict[str, Converter] = {header: _header(values) for header, values in HEADERS.items()}
    fields = document.fields(node, name, known)
    return tuple((header, text) for header, (_, text) in fields.items() if text)


def _header(values: Collection[str]) -> Converter:
    if values:
        return one_of(values)

    def convert(document: Document, node: Node, name: str) -> str:
        line = word(node)
        if line is not None and all(" " <= letter <= "~" for letter in line):
            return line
        document.wrong(node, name, "not one line of plain ASCII; write it so")
        return ""

    return convert


TOP: dict[str, Converter] = {
    "tls_server_config": mapping,
    "http_server_config": mapping,
    "basic_auth_users": _users,
    "rate_limit": refused("is not done here; take it away (the collector has limits of its own)"),
}
# HTTP/2 is spoken by nobody here; true is the format's own default, and a client never notices.
HTTP: dict[str, Converter] = {"http2": switch, "headers": _headers}
_OLD = "older than TLS 1.2, which is the least here; write TLS12 or TLS13"
_UNVERIFIED = f"asks for certificates and does not verify them, which Python's ssl cannot; write {STRICTEST}"
VERSION = one_of(VERSIONS, dict.fromkeys(("TLS10", "TLS11"), _OLD))
TLS: dict[str, Converter] = {
    **dict.fromkeys(("cert", "key", "client_ca", "cert_file", "key_file", "client_ca_file"), text),
    "client_auth_type": one_of(ASKS, dict.fromkeys(UNVERIFIED, _UNVERIFIED)),
    "client_allowed_sans": list_of(text),
    "min_version": VERSION,
    "max_version": VERSION,
    "cipher_suites": list_of(one_of((*CIPHERS, *FIXED))),
    "curve_preferences": list_of(one_of(CURVES)),
    "prefer_server_cipher_suites": switch,
}


class _Tls:
    """tls_server_config -> an SSLContext; what is wrong between its fields is noted in the document."""

    def __init__(self, document: Document, line: int, fields: Fields) -> None:
        self._document = document
        self._line = line
        self._fields = fields

    def context(self) -> ssl.SSLContext | None:
        """Return the context of the fields; None, with something noted, where they make none."""
        certificate, key = self._pem("cert", needed=True), self._pem("key", needed=True)
        authorities = self._pem("client_ca", needed=False)
        self._check_clients()
        self._check_choices()
        if self._document.problems or certificate is None or key is None:
            return None
        try:
            context = server_context(certificate, key)
            if (required := ASKS[self._get("client_auth_type") or "NoClientCert"]) is not None:
                ask_for_certificates(context, authorities, required)
        except Unusable as error:
            field = error.field if error.field in self._fields else f"{error.field}_file"
            self._wrong(field, str(error))
            return None
        self._choose(context)
        return context

    def _get(self, field: str) -> Any:
        return value(self._fields, field)

    def _wrong(self, field: str, text: str) -> None:
        line = self._fields[field].line if field in self._fields else self._line
        named = self._get(field) if field.endswith("_file") else None
        self._document.wrong(line, f"tls_server_config.{field}", f"{named}: {text}" if named else text)

    def _pem(self, field: str, needed: bool) -> bytes | None:
        """Return the text that stands in a field, or in the file that it names, relative to the one that names it."""
        file = f"{field}_file"
        if field in self._fields and file in self._fields:
            self._wrong(field, f"stands beside {file}; take one of them away")
        elif needed and field not in self._fields and file not in self._fields:
            self._wrong(file, "missing; name the file in PEM form")
        if path := self._get(file):
            content = self._document.content(self._document.file.parent / path)
            if isinstance(content, bytes):
                return content
            self._wrong(file, f"{content}; name a file that is there and may be read")
        found = self._get(field)
        return None if found is None else found.encode()

    def _check_clients(self) -> None:
        kind = self._get("client_auth_type")
        asked = [field for field in ("client_ca", "client_ca_file") if field in self._fields]
        if "client_auth_type" in self._fields and kind is None:
            return
        if kind == STRICTEST and not asked:
            self._wrong("client_auth_type", "wants client_ca_file: name who signs your clients' certificates")
        elif asked and ASKS[kind or "NoClientCert"] is None:
            self._wrong(asked[0], f"is not looked at without client_auth_type; write client_auth_type: {STRICTEST}")
        if kind != STRICTEST and "client_allowed_sans" in self._fields:
            self._wrong("client_allowed_sans", f"means nothing without client_auth_type: {STRICTEST}; write that")

    def _check_choices(self) -> None:
        least, most = self._get("min_version"), self._get("max_version")
        if (least, most) == ("TLS13", "TLS12"):
            self._wrong("max_version", "is less than min_version; write TLS13, or take it away")
        suites = self._get("cipher_suites")
        if suites and not CIPHERS.keys() & set(suites) and least != "TLS13":
            self._wrong("cipher_suites", "names none of TLS 1.2; write min_version: TLS13 instead")
        curves = self._get("curve_preferences")
        if curves and len(curves) > 1:
            self._wrong("curve_preferences", "has more than one, where Python's ssl takes one or all; name one or none")

    def _choose(self, context: ssl.SSLContext) -> None:
        if least := self._get("min_version"):
            context.minimum_version = VERSIONS[least]
        if most := self._get("max_version"):
            context.maximum_version = VERSIONS[most]
        if CIPHERS.keys() & set(suites := self._get("cipher_suites") or ()):
            choose_ciphers(context, suites)
        if curves := self._get("curve_preferences"):
            context.set_ecdh_curve(CURVES[curves[0]])
        if self._get("prefer_server_cipher_suites") is False:
            context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
