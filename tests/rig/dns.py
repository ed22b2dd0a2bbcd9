"""A name server of our own, and who asks it.

    with NameServer({"web1.test": ["127.0.0.1"], "odd.test": ["2001:db8::1", "127.0.0.1"]}) as names:
        argv = names.asked_by([sys.executable, …], tmp_path)    # in namespaces of its own, with this resolv.conf
        names.answer = names.silence                            # or .failure (SERVFAIL)

Names end in .test. Needs root, for port 53 of an address of 127.0.0.0/8, and namespaces.
"""

import ipaddress
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from gevent.server import DatagramServer

from rig.private import private

SUCCESS, SERVFAIL, NXDOMAIN = 0, 2, 3
TYPES = {4: 1, 6: 28}
"""A, AAAA."""


class NameServer:
    """Answers for `records`, name → addresses; `questions` counts what it was asked."""

    def __init__(self, records: Mapping[str, Sequence[str]], address: str = "127.0.53.53") -> None:
        self.records = dict(records)
        self.questions = 0
        self.answer: Callable[[bytes], bytes] = self.truth
        self._address = address
        self._server = DatagramServer((address, 53), self._serve)  # type: ignore[arg-type]

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop(timeout=0)

    def asked_by(self, argv: Sequence[str], folder: Path) -> list[str]:
        """Return the command that runs `argv` where this is the only name server."""
        conf, switch, hosts = folder / "resolv.conf", folder / "nsswitch.conf", folder / "hosts"
        conf.write_text(f"nameserver {self._address}\noptions timeout:5 attempts:2\n")
        switch.write_text("hosts: files dns\n")
        hosts.write_text("127.0.0.1 localhost\n")
        over = {"/etc/resolv.conf": conf, "/etc/nsswitch.conf": switch, "/etc/hosts": hosts}
        return private(argv, over={path: file for path, file in over.items() if Path(path).exists()})

    def truth(self, question: bytes) -> bytes:
        """Answer as the records say."""
        name, kind = _asked(question)
        if name not in self.records:
            return _reply(question, NXDOMAIN)
        addresses = [ipaddress.ip_address(address) for address in self.records[name]]
        return _reply(question, SUCCESS, [address.packed for address in addresses if TYPES[address.version] == kind])

    def silence(self, question: bytes) -> bytes:
        """Say nothing."""
        return b""

    def failure(self, question: bytes) -> bytes:
        """Say that it does not work."""
        return _reply(question, SERVFAIL)

    def _serve(self, question: bytes, address: tuple[str, int]) -> None:
        self.questions += 1
        if reply := self.answer(question):
            self._server.sendto(reply, address)


def _asked(question: bytes) -> tuple[str, int]:
    """Return the name and the type of a question (RFC 1035 §4.1)."""
    labels, place = [], 12
    while size := question[place]:
        labels.append(question[place + 1 : place + 1 + size].decode())
        place += 1 + size
    (kind,) = struct.unpack_from(">H", question, place + 1)
    return ".".join(labels).lower(), kind


def _reply(question: bytes, code: int, found: Sequence[bytes] = ()) -> bytes:
    """Return the answer to a question, with these addresses."""
    end = question.index(b"\0", 12) + 5
    _, kind = _asked(question)
    head = question[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(found), 0, 0)
    records = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 0, len(packed)) + packed for packed in found)
    return head + question[12:end] + records
