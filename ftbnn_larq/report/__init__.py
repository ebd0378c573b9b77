"""The report: runs, conversions and measurements on one self-contained HTML page."""

from __future__ import annotations

import base64
import os
import time
import warnings
from pathlib import Path

from ftbnn_larq.benchmarking.measurements import FOLDER
from ftbnn_larq.benchmarking.statistics import SCATTER
from ftbnn_larq.errors import short
from ftbnn_larq.files import write_text
from ftbnn_larq.report import figures
from ftbnn_larq.report.gather import gather

# Of a table of classes.
MOST_ROWS = 12
TEMPLATE = Path(__file__).parent / "page.html.j2"


def report(
    path: str | os.PathLike = "report.html",
    *,
    runs: str | os.PathLike = "runs",
    measurements: str | os.PathLike = FOLDER,
    ops: bool = True,
) -> dict:
    """Write the report.

    Arguments:
        path: the HTML file to write.
        runs: the folder of runs.
        measurements: the folder of measurements.
        ops: whether to count the OPs of the runs' networks; this loads TensorFlow.

    Returns:
        `{path, bytes, runs, measurements, left_out: [path, ...]}`: the size of the page, the numbers of runs and
            measurements in it, and the paths that could not be read.

    Raises:
        RunError: there are neither runs nor measurements, or none that can be read.
        OSError: the page cannot be written.
    """
    import jinja2

    found = gather(runs, measurements, ops=ops)
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"picture": _picture, "counted": counted, "short": short}
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        found=found, figures=figures, scatter=SCATTER, made=time.strftime("%Y-%m-%d %H:%M"), most_rows=MOST_ROWS
    )
    write_text(path, page)
    return {
        "path": str(path),
        "bytes": Path(path).stat().st_size,
        "runs": len(found.runs),
        "measurements": sum(len(board.rows) for board in found.boards),
        "left_out": found.left_out,
    }


def counted(number: int, noun: str) -> str:
    """1 and "run" as "1 run", 2 as "2 runs"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _picture(figure) -> str:
    """A figure as a data URL for <img>, so that the page needs no other file."""
    import io

    # Keep text as text: the file is smaller, and any browser has a font for it.
    import matplotlib

    data = io.StringIO()
    with warnings.catch_warnings(), matplotlib.rc_context({"svg.fonttype": "none", "font.family": "sans-serif"}):
        # Of matplotlib's own font, which only measures the text.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure.savefig(data, format="svg")
    return "data:image/svg+xml;base64," + base64.b64encode(data.getvalue().encode()).decode()
