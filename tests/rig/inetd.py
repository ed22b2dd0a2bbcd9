"""Gives each connection to a program as its standard input and output, as inetd does: `inetd.py DESCRIPTOR PROGRAM`."""

import socket
import subprocess
import sys

listener = socket.socket(fileno=int(sys.argv[1]))
listener.setblocking(True)
children: list["subprocess.Popen[bytes]"] = []
while True:
    connection, _ = listener.accept()
    with connection:
        line = connection.fileno()
        children = [child for child in children if child.poll() is None]
        children.append(subprocess.Popen(sys.argv[2:], stdin=line, stdout=line))
