"""The style sheet of the report.

Colours are Okabe and Ito's ("Color Universal Design", 2008); in the dark the lighter ones stand
for the same. No colour is the only sign of anything.
"""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root {
  color-scheme: light dark;
  --page: #fdfbf6; --ink: #23201c; --soft: #625c53; --line: #ddd6c8; --track: #ece6d9;
  --blue: #0072b2; --green: #007a59; --red: #b84a00; --amber: #966500;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #1a1916; --ink: #ece6da; --soft: #b3aa9b; --line: #45403a; --track: #35312c;
    --blue: #56b4e9; --green: #2fc495; --red: #f08a4b; --amber: #e69f00;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; padding: 2rem 1.25rem 4rem; background: var(--page); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif;
  font-variant-numeric: tabular-nums;
}
main { max-width: 84rem; margin: 0 auto; }
h1 { margin: 0 0 .5rem; font: 600 1.9rem/1.2 Georgia, "Times New Roman", serif; }
h2 { margin: 2.5rem 0 .5rem; font: 600 1.35rem/1.3 Georgia, "Times New Roman", serif; }
h3 { margin: 1.5rem 0 .4rem; font-size: 1rem; overflow-wrap: anywhere; }
h4 { margin: .5rem 0; font: 600 1.1rem/1.3 Georgia, "Times New Roman", serif; }
.soft { color: var(--soft); font-size: .9em; }
.warning { padding: .4rem .8rem; border-left: 4px solid var(--red); }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: 13.5px; }
th, td {
  padding: .5rem 1rem .5rem 0; border-bottom: 1px solid var(--line);
  text-align: left; vertical-align: bottom; white-space: nowrap;
}
thead th { color: var(--soft); font-weight: 400; }
tbody th { font-weight: 600; }
.checks thead th { max-width: 9rem; white-space: normal; overflow-wrap: anywhere; }
.track {
  display: block; position: relative; width: 8rem; height: 12px; margin: 0 6px .3rem;
  background: linear-gradient(var(--track), var(--track)) center / 100% 2px no-repeat;
}
.track i {
  position: absolute; top: 3.5px; height: 5px; min-width: 2px; border-radius: 2px;
  background: currentColor; opacity: .45;
}
.dot {
  position: absolute; top: 0; width: 12px; height: 12px; margin-left: -6px; border-radius: 50%;
  border: 2px solid currentColor; background: currentColor;
}
.dot.hollow { background: var(--page); }
.blue { color: var(--blue); } .green { color: var(--green); }
.red { color: var(--red); } .amber { color: var(--amber); }
.good { color: var(--blue); } .weak { color: var(--red); }
details { margin: .2rem 0; padding: .35rem .8rem; border: 1px solid var(--line);
  border-radius: 8px; }
summary { cursor: pointer; overflow-wrap: anywhere; }
.story {
  max-width: 42rem; margin: .5rem 0; white-space: pre-line; overflow-wrap: anywhere;
  font: 1.05rem/1.6 Georgia, "Times New Roman", serif;
}
@media print { details { break-inside: avoid; } }
"""
