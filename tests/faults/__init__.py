"""The fault bench: every fault befalls one machine of a fleet that a real daemon polls, and nobody else may notice.

    fault.py       Fault: one row of the matrix; Patient: the machine that it befalls
    ward.py        Ward: a fleet and its daemon; what is seen of each fault, and what must hold for all of them
    watched.py     the daemon, with its pauses cut short and a window through which it can be looked at
    connections.py, networks.py, handshakes.py, logins.py, answers.py    the rows
    test_matrix.py a test for each row
    struck.py      connections that are struck at each packet and at every byte, many at once (test_strikes.py)

A fault is a context manager over a patient: entering makes it, leaving heals it. The table in docs/faults.md is made
of what the tests saw (`pytest --regen tests/faults`).
"""
