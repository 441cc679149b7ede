"""A page that opens offline, on light and dark screens, laptops and phones.

The look that reports and comparisons share, and nothing of what they say.
"""

import base64
import re
import string
from collections.abc import Iterable
from html import escape


def document(
    title: str, name: str, state: str, body: str, style: str = ""
) -> str:
    """A whole page as HTML that needs nothing beside it.

    title, name: plain text. state, body: HTML. style: further CSS.
    """
    return PAGE.substitute(
        title=escape(title),
        name=escape(name),
        state=state,
        body=body,
        style=style,
    )


def figure(
    title: str, light: bytes, dark: bytes, alt: str, note: str = ""
) -> str:
    """A plot as HTML, with one PNG for light and one for dark screens.

    alt: plain text that says the same. note: plain text under the title.
    """
    return PLOT.substitute(
        light=base64.b64encode(light).decode(),
        dark=base64.b64encode(dark).decode(),
        title=escape(title),
        alt=escape(alt),
        note=f"<figcaption>{escape(note)}</figcaption>\n" if note else "",
    )


def gallery(
    pictures: Iterable[tuple[Iterable[tuple[str, str]], str]], kind: str = ""
) -> str:
    """Pictures in as many columns as the screen is wide, as HTML.

    pictures: each one or more of (data URI, plain text that says the same),
    side by side, and a caption as plain text. kind: a CSS class more.
    """
    figures = ""
    for images, caption in pictures:
        words = re.sub("([/_])", r"\1<wbr>", escape(caption))
        words = words and f"<figcaption>{words}</figcaption>"
        shown = "".join(
            f'<img src="{uri}" alt="{escape(alt)}">' for uri, alt in images
        )
        figures += f"<figure><div>{shown}</div>{words}</figure>\n"
    return f'<div class="{f"gallery {kind}".strip()}">\n{figures}</div>\n'


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Plain text as an HTML table."""
    lines = ["".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)]
    for row in rows:
        lines.append("".join(f"<td>{escape(cell)}</td>" for cell in row))
    lines = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table>\n{lines}\n</table>"


PLOT = string.Template("""<figure>
<h3>$title</h3>
$note<picture>
<source media="(prefers-color-scheme: dark)"
 srcset="data:image/png;base64,$dark">
<img src="data:image/png;base64,$light" alt="$alt">
</picture>
</figure>
""")
PAGE = string.Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>$title: $name</title>
<style>
:root { --paper: #fff; --ink: #24292f; --soft: #57606a; --line: #d0d7de;
  --tile: #f3f5f8; }
@media (prefers-color-scheme: dark) { :root { --paper: #1b1f24; --ink: #dde3ea;
  --soft: #a3adb8; --line: #3d4650; --tile: #252b32; } }
* { box-sizing: border-box; }
body { background: var(--paper); color: var(--ink); margin: 0 auto;
  max-width: 76rem; padding: 1.5rem clamp(1rem, 3vw, 2.5rem) 4rem;
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0; }
h2, summary { font-size: 1.25rem; font-weight: 700; margin: 2.5rem 0 .75rem; }
h3 { font-size: 1rem; margin: 0 0 .4rem; }
header p, dt, dd + dd { color: var(--soft); font-size: .875rem; }
dl { display: grid; gap: .75rem;
  grid-template-columns: repeat(auto-fit, minmax(min(10.5rem, 45%), 1fr)); }
dl div { background: var(--tile); border-radius: .5rem; padding: .7rem 1rem; }
dl div:last-child { grid-column: 1 / -1; }
dd { margin: 0; }
dd b { font-size: 1.3rem; font-weight: 600; }
dl div:last-child b { font-size: 1rem; }
main > div { overflow-x: auto; }
.plots { display: grid; gap: 2rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); }
figure { margin: 0; }
.gallery { display: grid; gap: .75rem .6rem; margin-bottom: 1.25rem;
  grid-template-columns: repeat(auto-fill,
  minmax(clamp(4.6rem, 8vw, 6.2rem), 1fr)); }
.gallery.row { grid-template-columns: repeat(auto-fill,
  minmax(clamp(3.6rem, 8vw, 6.2rem), 1fr)); }
.gallery.pairs { gap: 1.25rem; grid-template-columns:
  repeat(auto-fill, minmax(min(100%, 16rem), 1fr)); }
.gallery div { display: flex; gap: .3rem; }
.gallery img { border-radius: .25rem; flex: 1; min-width: 0; }
.gallery figcaption { font-size: .8rem; line-height: 1.3; margin-top: .25rem; }
figcaption { color: var(--soft); font-size: .875rem; margin: 0 0 .4rem; }
img { display: block; height: auto; width: 100%; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .4rem 1rem .4rem 0;
  text-align: right; vertical-align: bottom; }
.stages { white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
pre { background: var(--tile); border-radius: .5rem; padding: 1rem;
  white-space: pre-wrap; }
$style</style>
</head>
<body>
<header><h1>$title</h1><p>$name: $state</p></header>
<main>
$body
</main>
</body>
</html>
""")
