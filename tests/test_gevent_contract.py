"""The private names of gevent that collector/ssh relies on: one that changes fails here, by name."""

import inspect

import gevent


def test_timeout_expires_by_what_we_override() -> None:
    """A Timeout still ends by the method that `Deadline` overrides, which its timer calls with these arguments."""
    overridden = vars(gevent.Timeout)["_on_expiration"]
    assert ["self", "prev_greenlet", "ex"] == list(inspect.signature(overridden).parameters)
    assert "self.timer.start(self._on_expiration" in inspect.getsource(gevent.Timeout.start)
