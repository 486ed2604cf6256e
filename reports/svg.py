"""A matplotlib figure as SVG for a page: in the colour of the page's text, accessible, and always the same bytes."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape  # nosec B406 # it writes XML and reads none

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Lines and letters of this colour, which nothing else has, get the colour of the text around the figure.
INK = "#010203"
POINTS_PER_INCH = 72.0
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
# For a file that is opened on its own, where no page sets the colour of the text.
STYLE = "svg.chart{color:#1f2328}@media (prefers-color-scheme:dark){svg.chart{color:#e6e8eb}}"
RC: dict[str, Any] = {
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": "DejaVu Sans",  # shipped with matplotlib, so text is measured the same everywhere
    "font.size": 10,
    "grid.alpha": 0.18,
    "grid.color": INK,
    "grid.linewidth": 0.6,
    "svg.fonttype": "none",
    "text.color": INK,
    "xtick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.color": INK,
    "ytick.major.width": 0.6,
}


@contextlib.contextmanager
def styled_figure(width: float, height: float, name: str) -> Iterator[Figure]:
    """An empty figure of the given size in points; matplotlib has the settings above until the block ends.

    ``name`` enters the identifiers in the file, so that two figures on one page do not share any.
    """
    import matplotlib
    from matplotlib.figure import Figure

    settings: Any = {**RC, "svg.hashsalt": name}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # Names may hold letters that this font lacks; the reader's browser has other fonts for them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield Figure(figsize=(width / POINTS_PER_INCH, height / POINTS_PER_INCH), dpi=POINTS_PER_INCH)


def render_svg(figure: Figure, name: str, title: str, description: str) -> str:
    """The figure as an <svg> element, for a file or a page. Call it within the block of ``styled_figure``."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    drawing = buffer.getvalue().decode("utf-8")
    drawing = drawing[drawing.index(">", drawing.index("<svg")) + 1 :]
    drawing = re.sub(r"<metadata>.*?</metadata>\s*", "", drawing, flags=re.S)
    drawing = drawing.replace(INK, "currentColor")
    drawing = re.sub(r"font: ([^;\"]*?)([\d.]+px) [^;\"]*", rf"font: \1\2 {FONTS}", drawing)
    drawing = re.sub(r'(\bid="|\bhref="#|url\(#)', rf"\g<1>{name}-", drawing)
    drawing = re.sub(r"\n\s*", "\n", drawing)
    width, height = (size * POINTS_PER_INCH for size in figure.get_size_inches())
    return (
        f'<svg class="chart" role="img" aria-labelledby="{name}-title {name}-description" '
        f'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}">\n'
        f'<title id="{name}-title">{escape(title)}</title>\n'
        f'<desc id="{name}-description">{escape(description)}</desc>\n'
        f"<style>{STYLE}</style>{drawing}"
    )
