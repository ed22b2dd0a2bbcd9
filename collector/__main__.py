"""The entry point: gevent's patches come before any other import, or paramiko's waiting would stop everything."""

from gevent import config, monkey

# Who has spawned a greenlet, and where, nobody asks here; to know it costs time and 1 kB each.
config.track_greenlet_tree = False
monkey.patch_all()

import sys

from collector.cli import main

if __name__ == "__main__":
    sys.exit(main())
