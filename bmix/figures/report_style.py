"""The look of report.html."""

from __future__ import annotations

CSS = """\
:root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --paper: #ffffff; --line: #d9dee3; --band: #f5f7f9; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ec; --soft: #9aa4ae; --paper: #14181c; --line: #333b43; --band: #1c2228; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; margin: 0 0 .25rem; }
h2 { font-size: 1.3rem; margin: 2.75rem 0 .75rem; padding-bottom: .3rem; border-bottom: 2px solid var(--line); }
h3 { font-size: 1.05rem; margin: 0; }
p { max-width: 46rem; margin: .5rem 0; }
small, figcaption, summary + p { color: var(--soft); }
small { font-size: .75em; font-weight: normal; }
.scroll { overflow-x: auto; margin: .75rem 0 1rem; }
.long { max-height: 30rem; overflow-y: auto; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { padding: .35rem .8rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--soft); position: sticky; top: 0; background: var(--paper); }
th:first-child, td:first-child, .long th, .long td { text-align: left; }
tbody tr:nth-child(even) { background: var(--band); }
.headline td { font-size: 1.25rem; font-weight: 600; }
.headline td:first-child { font-size: 1rem; }
figure { margin: 2rem 0; }
figcaption { margin: .15rem 0 .6rem; }
img { display: block; max-width: 100%; height: auto; background: #ffffff; padding: .6rem; border: 1px solid var(--line);
  border-radius: 6px; }
details { margin: 1.5rem 0; }
summary { font-weight: 600; font-size: 1.05rem; cursor: pointer; }
@media print {
  :root { --ink: #000000; --soft: #444444; --paper: #ffffff; --line: #cccccc; --band: #f5f5f5; }
  main { max-width: none; padding: 0; }
  figure, tr { break-inside: avoid; }
  h2, h3, summary { break-after: avoid; }
  .scroll, .long { overflow: visible; max-height: none; border: 0; }
  table { font-size: .75rem; }
  img { max-height: 20cm; border: 0; padding: 0; }
}
"""
