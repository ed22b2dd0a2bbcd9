"""What XFS did, from /sys/fs/xfs/DEVICE/stats/stats (https://xfs.org/index.php/Runtime_Stats)."""

from collections.abc import Iterator, Mapping

from collector.metric import Counter, Sample

NAMES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "extent_alloc": (
        ("extent_allocation_extents_allocated", "Extents allocated."),
        ("extent_allocation_blocks_allocated", "Blocks allocated."),
        ("extent_allocation_extents_freed", "Extents freed."),
        ("extent_allocation_blocks_freed", "Blocks freed."),
    ),
    "abt": (
        ("allocation_btree_lookups", "Searches in the tree of free space."),
        ("allocation_btree_compares", "Comparisons in it."),
        ("allocation_btree_records_inserted", "Records put into it."),
        ("allocation_btree_records_deleted", "Records taken out of it."),
    ),
    "blk_map": (
        ("block_mapping_reads", "Blocks of files looked up to be read."),
        ("block_mapping_writes", "Blocks of files looked up to be written."),
        ("block_mapping_unmaps", "Blocks taken away from files."),
        ("block_mapping_extent_list_insertions", "Extents put into lists."),
        ("block_mapping_extent_list_deletions", "Extents taken out of lists."),
        ("block_mapping_extent_list_lookups", "Extents looked up in lists."),
        ("block_mapping_extent_list_compares", "Comparisons in lists of extents."),
    ),
    "bmbt": (
        ("block_map_btree_lookups", "Searches in the trees of files' extents."),
        ("block_map_btree_compares", "Comparisons in them."),
        ("block_map_btree_records_inserted", "Records put into them."),
        ("block_map_btree_records_deleted", "Records taken out of them."),
    ),
    "dir": (
        ("directory_operation_lookup", "Names looked up that the kernel did not remember."),
        ("directory_operation_create", "Names made."),
        ("directory_operation_remove", "Names removed."),
        ("directory_operation_getdents", "Directories listed."),
    ),
    "ig": (
        ("inode_operation_attempts", "Inodes looked up."),
        ("inode_operation_found", "Inodes found in memory."),
        ("inode_operation_recycled", "Inodes found that were about to go."),
        ("inode_operation_missed", "Inodes that were not in memory."),
        ("inode_operation_duplicates", "Inodes that another had put there meanwhile."),
        ("inode_operation_reclaims", "Inodes that went to make room."),
        ("inode_operation_attribute_changes", "Inodes of which attributes were changed."),
    ),
    "rw": (("write_calls", "Writes."), ("read_calls", "Reads.")),
    "vnodes": (
        ("vnode_active", "Vnodes in use; goes down, too."),
        ("vnode_allocate", "Vnodes allocated."),
        ("vnode_get", "Vnodes got."),
        ("vnode_hold", "Vnodes held."),
        ("vnode_release", "Vnodes let go."),
        ("vnode_reclaim", "Vnodes taken back."),
        ("vnode_remove", "Vnodes removed."),
    ),
}
"""What node_exporter calls the numbers of a line; of other lines it has none."""

COUNTERS: Mapping[str, tuple[Counter, ...]] = {
    line: tuple([Counter(f"node_xfs_{name}_total", about, "device") for name, about in names])
    for line, names in NAMES.items()
}

FILES = ("/sys/fs/xfs/*/stats/stats",)


def parse(found: Mapping[str, str]) -> Iterator[Sample]:
    """Read lines like `rw 28 0` of each file system."""
    for path, text in found.items():
        device = path.split("/")[4]
        for line in text.splitlines():
            name, *numbers = line.split()
            # Newer kernels have more numbers at the end.
            for metric, number in zip(COUNTERS.get(name, ()), numbers, strict=False):
                yield metric(float(number), device)
