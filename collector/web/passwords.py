"""Passwords against their bcrypt hashes, without the hub: the only module that knows bcrypt.

A comparison takes 60 ms and more of a processor, on purpose, and whoever reaches the port can ask for one. So they run
in few threads, few wait for these, and a password that was right once is known again without. A wrong one is worked out
every time; that of a user who is not there too, with the hash of one who is: the time tells nobody who there is.
"""

import hmac
import secrets
from collections import Counter
from collections.abc import Mapping

import bcrypt
from gevent.threadpool import ThreadPool

THREADS = 2
MOST = 34
"""Comparisons under way or waiting for a thread."""
MOST_OF_ONE = 8
"""Those of one address: whoever guesses from there does not keep out who logs in for the first time from elsewhere."""
LONGEST = 72
"""Bytes of a password that bcrypt looks at."""


class Busy(Exception):
    """As many passwords as may be are being worked out."""


class Passwords:
    """Who has shown the right password, until the users change."""

    def __init__(self) -> None:
        self._threads = ThreadPool(THREADS)
        self._waiting: Counter[str] = Counter()
        """How many passwords from each address are being worked out, or wait for it."""
        self._secret = secrets.token_bytes(32)
        self._users: Mapping[bytes, bytes] = {}
        self._proofs: dict[bytes, bytes] = {}
        """For each user who has shown it, what `_proof` makes of the right password."""

    def is_right(self, users: Mapping[bytes, bytes], user: bytes, password: bytes, address: str) -> bool:
        """Say whether this is the user's password; `users` has the bcrypt hash of each, one at least. Raises Busy.

        `address` is the client's.
        """
        if users is not self._users:
            self._users, self._proofs = users, {}
        proofs, known = self._proofs, users.get(user)
        hashed = known or self._decoy(user)
        proof = self._proof(hashed, password[:LONGEST])
        if known and hmac.compare_digest(proof, proofs.get(user, b"")):
            return True
        if not self._compare(hashed, password[:LONGEST], address) or not known:
            return False
        # If the users have changed meanwhile, nobody looks at these proofs any more.
        proofs[user] = proof
        return True

    def _compare(self, hashed: bytes, password: bytes, address: str) -> bool:
        if self._waiting.total() >= MOST or self._waiting[address] >= MOST_OF_ONE:
            raise Busy
        self._waiting[address] += 1
        try:
            return bool(self._threads.apply(bcrypt.checkpw, (password, hashed)))
        finally:
            self._waiting[address] -= 1
            if not self._waiting[address]:
                del self._waiting[address]

    def _decoy(self, user: bytes) -> bytes:
        """Return somebody's hash, always the same for a name: who is not there takes as long as somebody who is."""
        hashes = list(self._users.values())
        return hashes[int.from_bytes(self._digest(user), "big") % len(hashes)]

    def _proof(self, hashed: bytes, password: bytes) -> bytes:
        # A hash has no colon, so no other pair makes the same text.
        return self._digest(hashed + b":" + password)

    def _digest(self, text: bytes) -> bytes:
        return hmac.digest(self._secret, text, "sha256")
