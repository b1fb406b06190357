"""The results as an SVG: bars as ratio to the base, whiskers from the least round to the most."""

from xml.sax.saxutils import escape

from modes import MODES
from peers import PEERS
from results import BASE, number

# What is shown, and what it is called there. All of it TLS on both sides.
GROUPS = (
    ("call", ("200 calls", "CPU per message")),
    ("call20", ("20 calls", "CPU per message")),
    ("flood1k", ("1 KB, bursts of 16", "CPU per message")),
    ("flood64k", ("64 KB messages", "CPU per message")),
    ("flood1m", ("1 MB messages", "CPU per message")),
    ("connect", ("new connection", "CPU, full handshake")),
    ("resume", ("new connection", "CPU, TLS resumed")),
    ("idle", ("idle session", "resident memory")),
    ("idle-ex", ("idle after 16 KB", "resident memory")),
)
ORDER = ("tonegate", "haproxy", "envoy", "node", "floor")

WIDTH = 860
LEFT = 176  # where the bars begin
UNIT = 290  # pixels of 1.00×
SCALE_MAX = 1.5  # a longer bar is cut there, and its number says how long it is
BAR, STEP, GAP = 13, 17, 20
HEAD, FOOT = 76, 68

STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; fill: var(--ink);
         /* Words stay readable where a line of the grid passes below them. */
         paint-order: stroke; stroke: var(--card); stroke-width: 3px; stroke-linejoin: round; }
  .title { font-size: 17px; font-weight: 600; }
  .strong { font-weight: 600; }
  .soft { fill: var(--soft); }
  .card { fill: var(--card); stroke: var(--line); }
  .grid { stroke: var(--line); }
  .base { stroke: var(--ink); stroke-dasharray: 4 3; }
  .whisker { stroke: var(--ink); stroke-width: 1.5; }
  .tonegate { fill: var(--own); } .haproxy { fill: var(--one); } .envoy { fill: var(--two); }
  .node { fill: var(--three); } .floor { fill: var(--four); }
  svg { --card: #ffffff; --ink: #1f2328; --soft: #59636e; --line: #d1d9e0;
        --own: #d9480f; --one: #7aa6d8; --two: #a793d6; --three: #8fbf8a; --four: #b4b9bf; }
  @media (prefers-color-scheme: dark) {
    svg { --card: #0d1117; --ink: #f0f6fc; --soft: #9198a1; --line: #3d444d;
          --own: #f0763b; --one: #4e79ab; --two: #7b67ad; --three: #5f8f5a; --four: #6b7178; }
  }
"""


def at(share):
    return LEFT + UNIT * min(share, SCALE_MAX)


def words(x, y, text, kind="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'


def line(x1, y1, x2, y2, kind):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def bar(results, mode, target, y):
    """One peer's bar with its whisker and its words, or why there is none."""
    figure = MODES[mode].figures[0]
    name, own = PEERS[target].label, "strong" if target == "tonegate" else "soft"
    spread = results.spread("t2t", mode, target, figure)
    if spread is None:
        yield words(LEFT + 6, y + BAR - 2, f"{name}: failed", "soft")
        return
    middle, least, most = spread
    yield f'<rect x="{LEFT}" y="{y}" width="{at(middle) - LEFT:.1f}" height="{BAR}" rx="2" class="{target}"/>'
    if middle < SCALE_MAX:
        height = y + BAR / 2
        yield line(at(least), height, at(most), height, "whisker")
        for end in (least, most):
            if end < SCALE_MAX:
                yield line(at(end), height - 3.5, at(end), height + 3.5, "whisker")
    cut = "› " if middle >= SCALE_MAX else ""
    value = number(results.median("t2t", mode, target, figure))
    unit = figure.unit.split("/")[0]
    x = max(at(middle), at(most)) + 7
    yield words(x, y + BAR - 2, f"{cut}{name} {middle:.2f}× · {value} {unit}", own)


def grid(bottom):
    for tenths in range(0, round(SCALE_MAX * 10) + 1, 5):
        x = at(tenths / 10)
        yield line(x, HEAD - 6, x, bottom, "base" if tenths == 10 else "grid")
        name, kind = (BASE, "strong") if tenths == 10 else (f"{tenths / 10:g}×" if tenths else "0", "soft")
        yield words(x, HEAD - 12, name, kind, "middle")


def group(results, mode, title, y, targets):
    figure = MODES[mode].figures[0]
    base = results.median("t2t", mode, BASE, figure)
    yield words(16, y + 11, title[0], "strong")
    yield words(16, y + 28, title[1], "soft")
    yield words(16, y + 45, f"{BASE}: {number(base)} {figure.unit.split('/')[0]}", "soft")
    for place, target in enumerate(targets):
        yield from bar(results, mode, target, y + place * STEP)


def draw(results):
    """The whole picture as text. Only what was measured beside the base is on it."""
    groups = [
        (mode, title, [target for target in ORDER if ("t2t", mode, target) in results.runs])
        for mode, title in GROUPS
        if results.median("t2t", mode, BASE, MODES[mode].figures[0]) is not None
    ]
    body, y = [], HEAD
    for mode, title, targets in groups:
        body += group(results, mode, title, y, targets)
        # Never less than the three lines on the left.
        y += max(len(targets), 3) * STEP + GAP
    bottom, height = y - GAP + 6, y - GAP + FOOT
    part = results.parts[-1]
    own = part["versions"].get("tonegate", "tonegate")
    rounds = results.rounds()
    foot = (
        f"{part['date'].split()[0]} · {own} · {part['cores']} cores of {part['cpu'].split(' (')[0]}, {part['kernel']}",
        f"TLS on both sides. Medians of {rounds} round{'s' * (rounds > 1)}, whiskers from least to most. "
        f"{PEERS['floor'].label}: a bare forwarder without HTTP.",
    )
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'role="img" aria-labelledby="title">',
        f'<title id="title">What tonegate and its peers spend, as ratio to {BASE}</title>',
        f"<style>{STYLE}</style>",
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8" class="card"/>',
        words(16, 30, f"tonegate beside its peers: ratio to {BASE}, less is better", "title"),
        *grid(bottom),
        *body,
        words(16, height - 34, foot[0], "soft"),
        words(16, height - 15, foot[1], "soft"),
        "</svg>",
        "",
    ])
