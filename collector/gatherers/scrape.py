"""What node_exporter tells of itself, and dashboards ask for: how its collectors fared, which are our gatherers.

We write ourselves what is read here, once all others have been read.
"""

from collections.abc import Iterator
from importlib.metadata import version

from collector.metric import Gauge, Sample

SUCCESS = Gauge("node_scrape_collector_success", "Whether the gatherer had data in the last poll.", "collector")
DURATION = Gauge("node_scrape_collector_duration_seconds", "How long it took to parse what it read.", "collector")
BUILD = Gauge("node_exporter_build_info", "Which version of the collector plays its part; always 1.", "version")
TEXTFILE_ERROR = Gauge("node_textfile_scrape_error", "Whether any file of metrics could not be read.")

VERSION = version("collector")

FILES = ("gathered", "textfile")
OPTIONAL = ("textfile",)


def parse(gathered: str, textfile: str) -> Iterator[Sample]:
    """Read `NAME 1 SECONDS` for each gatherer, or 0 if it has no data; and 0 where nobody reads files of metrics."""
    for line in filter(None, gathered.split("\n")):
        name, success, seconds = line.split(" ")
        yield SUCCESS(float(success), name)
        yield DURATION(float(seconds), name)
    yield BUILD(1.0, VERSION)
    if textfile:
        yield TEXTFILE_ERROR(float(textfile))
