"""The chart that the README shows, as SVG: bars relative to Debian's nginx, shorter is better."""

import html
import statistics

from .report import CPU, FIGURES, REFERENCE, paired

COLOURS = {"sealgate": "#0b6e4f", "sealgate-logged": "#5fb49c", "bare": "#9aa0a6", "nginx": "#3b6fb6",
           "haproxy": "#c44e52", "envoy": "#8172b3", "pingora": "#dd8452"}
BAR, GAP, LEFT, WIDTH, MOST = 9, 10, 330, 470, 2.0


def svg(document):
    rows = [(name, workload, bars(name, workload, document)) for name, workload in document["workloads"].items()]
    rows = [row for row in rows if row[2]]
    servers = [server for server in COLOURS if any(server in shares for _, _, shares in rows)]
    top = 58
    height = top + sum(len(shares) * BAR + GAP for _, _, shares in rows) + 24
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 70} {height}" '
             'font-family="system-ui, sans-serif" font-size="11">',
             '<rect width="100%" height="100%" fill="#ffffff"/>',
             '<text x="8" y="18" font-size="14" font-weight="bold" fill="#222">'
             "Cost relative to nginx (Debian); shorter is better</text>", *legend(servers), *grid(top, height)]
    y = top
    for name, workload, shares in rows:
        parts += row(y, name, workload, shares)
        y += len(shares) * BAR + GAP
    return "\n".join([*parts, "</svg>"]) + "\n"


def bars(name, workload, document):
    """By server: the ratio to the reference; where it cannot do it, to the dearest."""
    measured = {server: samples for server, samples in workload["servers"].items() if samples}
    figure = FIGURES.get(name, CPU)
    values = {server: figure.values(samples) for server, samples in measured.items()}
    if not values:
        return {}
    reference = values.get(REFERENCE) or max(values.values(), key=statistics.median)
    return {server: (paired(values[server], reference), figure.format(statistics.median(values[server])))
            for server in COLOURS if server in values}


def legend(servers):
    for at, server in enumerate(servers):
        x = 8 + at * 110
        yield f'<rect x="{x}" y="30" width="10" height="10" fill="{COLOURS[server]}"/>'
        yield f'<text x="{x + 14}" y="39" fill="#222">{server}</text>'


def grid(top, height):
    for tick in (0, 0.5, 1, 1.5, 2):
        x = LEFT + tick / MOST * WIDTH
        yield f'<line x1="{x}" y1="{top - 4}" x2="{x}" y2="{height - 20}" stroke="#{"888" if tick == 1 else "ddd"}"/>'
        yield f'<text x="{x}" y="{height - 6}" text-anchor="middle" fill="#444">{tick:g}</text>'


def row(y, name, workload, shares):
    title = html.escape(f"{name}  {workload['title']}")
    yield f'<text x="{LEFT - 8}" y="{y + len(shares) * BAR / 2 + 4}" text-anchor="end" fill="#222">{title}</text>'
    for at, (server, (ratio, text)) in enumerate(shares.items()):
        width = min(ratio, MOST) / MOST * WIDTH
        top = y + at * BAR
        beyond = " →" if ratio > MOST else ""
        yield f'<rect x="{LEFT}" y="{top}" width="{width:.1f}" height="{BAR - 1}" fill="{COLOURS[server]}"/>'
        yield f'<text x="{LEFT + width + 4:.1f}" y="{top + 8}" font-size="8" fill="#444">{text}{beyond}</text>'
