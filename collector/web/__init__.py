"""The HTTP side: `bind` a port, make a `Site` of the fleet, `serve` it.

    server.py       connections: deadlines, limits, what is refused
    protection.py   the web configuration in force
    guard.py        passwords asked for, headers added
    passwords.py    bcrypt, off the hub
    request.py      the head of a request, read strictly
    site.py         which path answers what
    probe.py        one machine, and a poll of it now; debug.py shows how that went
    discovery.py    the machines, for Prometheus to find
    response.py     what a page answers
    negotiate.py    what a client takes
    pack.py         gzip
    overview.py     the fleet as the status page shows it
    status.py       the status page as HTML; static/ has its parts
    human.py        numbers as people read them

Only server.py knows pywsgi; what the pages say is in plain functions of the fleet.
"""

from collector.web.protection import Protection
from collector.web.server import Limits, Server, bind, serve
from collector.web.site import Site

__all__ = ["Limits", "Protection", "Server", "Site", "bind", "serve"]
