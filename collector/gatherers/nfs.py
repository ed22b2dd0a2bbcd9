"""What the NFS client asked its servers for, from /proc/net/rpc/nfs (nfsstat(8))."""

from collections.abc import Iterator

from collector.metric import Counter, Sample

PACKETS = Counter("node_nfs_packets_total", "Packets sent and received.", "protocol")
CONNECTIONS = Counter("node_nfs_connections_total", "Connections made over TCP.")
RPCS = Counter("node_nfs_rpcs_total", "Remote calls made.")
RETRANSMISSIONS = Counter("node_nfs_rpc_retransmissions_total", "Remote calls sent again.")
REFRESHES = Counter("node_nfs_rpc_authentication_refreshes_total", "Times that credentials were renewed.")
REQUESTS = Counter("node_nfs_requests_total", "Requests made, by version of the protocol.", "proto", "method")

FILES = ("/proc/net/rpc/nfs",)

V2 = (
    *("Null", "GetAttr", "SetAttr", "Root", "Lookup", "ReadLink", "Read", "WrCache", "Write", "Create", "Remove"),
    *("Rename", "Link", "SymLink", "MkDir", "RmDir", "ReadDir", "FsStat"),
)
V3 = (
    *("Null", "GetAttr", "SetAttr", "Lookup", "Access", "ReadLink", "Read", "Write", "Create", "MkDir", "SymLink"),
    *("MkNod", "Remove", "RmDir", "Rename", "Link", "ReadDir", "ReadDirPlus", "FsStat", "FsInfo", "PathConf", "Commit"),
)
V4 = (
    *("Null", "Read", "Write", "Commit", "Open", "OpenConfirm", "OpenNoattr", "OpenDowngrade", "Close", "Setattr"),
    *("FsInfo", "Renew", "SetClientID", "SetClientIDConfirm", "Lock", "Lockt", "Locku", "Access", "Getattr", "Lookup"),
    *("LookupRoot", "Remove", "Rename", "Link", "Symlink", "Create", "Pathconf", "StatFs", "ReadLink", "ReadDir"),
    *("ServerCaps", "DelegReturn", "GetACL", "SetACL", "FsLocations", "ReleaseLockowner", "Secinfo", "FsidPresent"),
    *("ExchangeID", "CreateSession", "DestroySession", "Sequence", "GetLeaseTime", "ReclaimComplete", "LayoutGet"),
    *("GetDeviceInfo", "LayoutCommit", "LayoutReturn", "SecinfoNoName", "TestStateID", "FreeStateID", "GetDeviceList"),
    *("BindConnToSession", "DestroyClientID", "Seek", "Allocate", "DeAllocate", "LayoutStats", "Clone"),
)
"""The requests of each version, as in the kernel's nfs4.h: older ones have fewer, and some have no version 2.

node_exporter has LayoutGet and GetDeviceInfo the wrong way round.
"""


def parse(text: str) -> Iterator[Sample]:
    """Read the lines `net` and `rpc 12 0 12`, and of each version one like `proc3 22 ...`: how many numbers follow."""
    lines = read(text)
    _, udp, tcp, connections = lines["net"]
    yield PACKETS(udp, "udp")
    yield PACKETS(tcp, "tcp")
    yield CONNECTIONS(connections)
    for metric, number in zip((RPCS, RETRANSMISSIONS, REFRESHES), lines["rpc"], strict=True):
        yield metric(number)
    for version, methods in (("2", V2), ("3", V3), ("4", V4)):
        for method, number in zip(methods, lines.get(f"proc{version}", [0.0])[1:], strict=False):
            yield REQUESTS(number, version, method)


def read(text: str) -> dict[str, list[float]]:
    """Return the numbers of each line by its first word."""
    words = [line.split() for line in text.splitlines()]
    return {name: [float(number) for number in numbers] for name, *numbers in words}
