"""The entry point: gevent's patches come before any other import, or paramiko's waiting would stop everything."""

from gevent import monkey

monkey.patch_all()

import sys

from collector.cli import main

if __name__ == "__main__":
    sys.exit(main())
