"""One file a gatherer: what to read on the machine, and how to parse it.

A module here has a docstring, its metrics, `FILES`, and `parse`, which takes the text of each file and yields samples,
or returns Samples. The name of the module is the gatherer's name in collector.ini, in `ssh_gather_success{gatherer}`
and under tests/fixtures/. Discovery is in `collector.gather`.
"""
