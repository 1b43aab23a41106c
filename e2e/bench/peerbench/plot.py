"""Draws CPU time per request as an SVG, one panel a row of the table. It knows nothing of measuring."""

from html import escape

from .figures import middle
from .measure import RowResult

PANEL_WIDTH, BAR_HEIGHT, GAP, LABEL, VALUE, COLUMNS = 460, 18, 6, 110, 70, 2
HEAD_HEIGHT = 44
COLOURS = {"portolan": "#0b7285", "nginx": "#74b816", "haproxy": "#1971c2", "envoy": "#ae3ec9"}


def svg(results: list[RowResult], caption: str) -> str:
    """The plot; shorter is better."""
    panels = [_panel(result) for result in results]
    lines = [panels[start:start + COLUMNS] for start in range(0, len(panels), COLUMNS)]
    parts, y = [], 50
    for line in lines:
        for column, (body, _) in enumerate(line):
            parts.append(f'<g transform="translate({20 + column * (PANEL_WIDTH + 20)},{y})">{body}</g>')
        y += max(height for _, height in line) + 16
    width = 20 + COLUMNS * (PANEL_WIDTH + 20)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" viewBox="0 0 {width} {y}"'
        ' font-family="sans-serif" font-size="12">'
        f'<rect width="{width}" height="{y}" fill="#fff"/>'
        '<text x="20" y="24" font-size="16">CPU time per request, µs: shorter is better</text>'
        f'<text x="20" y="40" fill="#666">{escape(caption)}</text>' + "".join(parts) + "</svg>\n"
    )


def _panel(result: RowResult) -> tuple[str, int]:
    values = {name: middle(samples, "cpu_us") for name, samples in result.samples.items()}
    measured = {name: value for name, value in values.items() if value is not None}
    longest = max(measured.values(), default=1.0) or 1.0
    room = PANEL_WIDTH - LABEL - VALUE
    parts = [f'<text y="26" font-weight="bold">{escape(result.row.title)}</text>']
    y = HEAD_HEIGHT - 6
    for name, value in measured.items():
        length = room * value / longest
        peer = name.split("+")[0].split("/")[0]
        parts.append(
            f'<text x="{LABEL - 6}" y="{y + 13}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{LABEL}" y="{y}" width="{length:.1f}" height="{BAR_HEIGHT}" fill="{COLOURS.get(peer, "#888")}"/>'
            f'<text x="{LABEL + length + 5:.1f}" y="{y + 13}">{value:,.1f}</text>'
        )
        y += BAR_HEIGHT + GAP
    return "".join(parts), y
