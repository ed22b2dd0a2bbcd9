"""What node_exporter tells of itself, and dashboards ask for: how its collectors fared, which are our gatherers.

We write ourselves what is read here, once all others have been read.
"""

from array import array
from functools import lru_cache
from importlib.metadata import version

from collector.metric import Gauge, Samples, Series, Shape, shape_of

SUCCESS = Gauge("node_scrape_collector_success", "Whether the gatherer had data in the last poll.", "collector")
DURATION = Gauge("node_scrape_collector_duration_seconds", "How long it took to parse what it read.", "collector")
BUILD = Gauge("node_exporter_build_info", "Which version of the collector plays its part; always 1.", "version")
TEXTFILE_ERROR = Gauge("node_textfile_scrape_error", "Whether any file of metrics could not be read.")

VERSION = version("collector")

FILES = ("gathered", "textfile")
OPTIONAL = ("textfile",)


def parse(gathered: str, textfile: str) -> Samples:
    """Read `NAME 1 SECONDS` for each gatherer, or 0 if it has no data; and 0 where nobody reads files of metrics."""
    words = gathered.split()
    if len(words) % 3:
        raise ValueError("not three words for each gatherer")
    names, successes, durations = words[::3], words[1::3], words[2::3]
    values = array("d", map(float, (*successes, *durations, "1", *([textfile] if textfile else []))))
    return Samples(shape_of_names(tuple(names), bool(textfile)), values)


@lru_cache(maxsize=128)
def shape_of_names(names: tuple[str, ...], has_textfile: bool) -> Shape:
    """Return which series there are of these gatherers."""
    series: list[Series] = [*[(SUCCESS, (name,)) for name in names], *[(DURATION, (name,)) for name in names]]
    return shape_of((*series, (BUILD, (VERSION,)), *([(TEXTFILE_ERROR, ())] if has_textfile else [])))
