"""What the NFS server was asked for, from /proc/net/rpc/nfsd (nfsstat(8))."""

from collections.abc import Iterator

from collector.gatherers.nfs import V2, V3, read
from collector.metric import Counter, Gauge, Metric, Sample

REQUESTS = Counter("node_nfsd_requests_total", "Requests served, by version of the protocol.", "proto", "method")

PACKETS = Counter("node_nfsd_packets_total", "Packets received and sent.", "proto")
ERRORS = Counter("node_nfsd_rpc_errors_total", "Remote calls that were refused.", "error")

NUMBERS: tuple[tuple[str, int, Metric, tuple[str, ...]], ...] = (
    ("rc", 0, Counter("node_nfsd_reply_cache_hits_total", "Requests that came again."), ()),
    ("rc", 1, Counter("node_nfsd_reply_cache_misses_total", "Requests that had to be remembered."), ()),
    ("rc", 2, Counter("node_nfsd_reply_cache_nocache_total", "Requests that need not be remembered."), ()),
    ("fh", 0, Counter("node_nfsd_file_handles_stale_total", "File handles of files that were gone."), ()),
    ("io", 0, Counter("node_nfsd_disk_bytes_read_total", "Bytes read."), ()),
    ("io", 1, Counter("node_nfsd_disk_bytes_written_total", "Bytes written."), ()),
    ("th", 0, Gauge("node_nfsd_server_threads", "Threads of the server."), ()),
    ("ra", 0, Gauge("node_nfsd_read_ahead_cache_size_blocks", "Size of the read-ahead cache, in blocks."), ()),
    ("ra", 11, Counter("node_nfsd_read_ahead_cache_not_found_total", "Reads not found in that cache."), ()),
    ("net", 1, PACKETS, ("udp",)),
    ("net", 2, PACKETS, ("tcp",)),
    ("net", 3, Counter("node_nfsd_connections_total", "Connections accepted over TCP."), ()),
    ("rpc", 0, Counter("node_nfsd_server_rpcs_total", "Remote calls served."), ()),
    ("rpc", 2, ERRORS, ("fmt",)),
    ("rpc", 3, ERRORS, ("auth",)),
    ("rpc", 4, ERRORS, ("cInt",)),
    ("wdeleg_getattr", 0, REQUESTS, ("4", "WdelegGetattr")),
)
"""What a line's numbers are, and the labels of each; a kernel need not have each line."""

FILES = ("/proc/net/rpc/nfsd",)

V4 = (
    *("", "", "", "Access", "Close", "Commit", "Create", "DelegPurge", "DelegReturn", "GetAttr", "GetFH", "Link"),
    *("Lock", "Lockt", "Locku", "Lookup", "LookupRoot", "Nverify", "Open", "OpenAttr", "OpenConfirm", "OpenDgrd"),
    *("PutFH", "", "", "Read", "ReadDir", "ReadLink", "Remove", "Rename", "Renew", "RestoreFH", "SaveFH", "SecInfo"),
    *("SetAttr", "SetClientID", "SetClientIDConfirm", "Verify", "Write", "RelLockOwner"),
)
"""The operations of version 4 by their numbers in the protocol (RFC 7530); node_exporter has none of later ones."""


def parse(text: str) -> Iterator[Sample]:
    """Read lines like `io 157286400 72864`, and of each version one like `proc3 22 ...`: how many numbers follow."""
    lines = read(text)
    if "rpc" not in lines:
        raise ValueError("no rpc")
    for name, place, metric, labels in NUMBERS:
        if name in lines:
            yield metric(lines[name][place], *labels)
    for version, line, methods in (("2", "proc2", V2), ("3", "proc3", V3), ("4", "proc4ops", V4)):
        for method, number in zip(methods, lines.get(line, [0.0])[1:], strict=False):
            if method not in {"", "Null"}:
                yield REQUESTS(number, version, method)
