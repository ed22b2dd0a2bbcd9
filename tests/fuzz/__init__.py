"""Each parser fed with anything: it is a total function, which gives a result, or the error that its docstring names.

    __main__.py     `make fuzz`: every target for its share of the time, each in a process of its own
    engine.py       one target, run by atheris (libFuzzer), which looks for inputs that reach code not yet reached
    targets.py      the targets, by name, each with its seeds
    gathered.py     gatherers, and the page that their samples become
    answers.py      what a machine says: the probe's READY, answers and clock; what is no probe
    wire.py         SSH packets: in the clear, encrypted, and as the hub reads them
    script.py       bytes -> a stream of encrypted packets in pieces, which may be corrupted
    hosts.py        known_hosts
    heads.py        heads of HTTP requests, and what a client takes

A target is a function of bytes that returns nothing, and raises when something is wrong: what must hold is its
docstring. tests/test_fuzz.py runs them all for a moment, by hypothesis and without atheris.
"""
