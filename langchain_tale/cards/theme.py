"""The colours of cards and plots, and the style sheet of a card.

A card follows the notebook it is in: JupyterLab and VS Code say their colours by variables, and
elsewhere `prefers-color-scheme` decides. It brings its own background, so that its text can be
read wherever it is pasted.

Colours are those of Okabe and Ito ("Color Universal Design", 2008), told apart under every
common colour blindness; blue and vermilion are darkened so that white on them has a contrast of
at least 4.5 to 1 (WCAG 2.2, 1.4.3). No colour is the only sign of anything.
"""

from __future__ import annotations

from typing import Final

GOOD: Final = "#0072B2"
BAD: Final = "#B84A00"
SERIES: Final = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#F0E442",
)  # fmt: skip
"""Okabe and Ito's colours in an order for lines and points."""

IGNORED_BY_TEX: Final = "tex2jax_ignore mathjax_ignore"

STYLE: Final = "".join(
    f"""
.tale{{--ink0:#23201c;--paper0:#fffdf8;--line0:#ddd6c8;
--ink:var(--vscode-editor-foreground,var(--jp-content-font-color1,var(--ink0)));
--paper:var(--vscode-editor-background,var(--jp-layout-color1,var(--paper0)));
--line:var(--vscode-panel-border,var(--jp-border-color2,var(--line0)));
--soft:color-mix(in srgb,var(--ink) 72%,var(--paper));
box-sizing:border-box;max-width:44rem;margin:.4rem 0;padding:1.1rem 1.4rem;
border:1px solid var(--line);border-radius:10px;color:var(--ink);background:var(--paper);
background:color-mix(in srgb,var(--paper) 95%,#e69f00);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;overflow-wrap:anywhere}}
@media(prefers-color-scheme:dark){{.tale{{--ink0:#ece6da;--paper0:#1f1d1a;--line0:#4a453c}}}}
.tale.wide{{max-width:64rem}}
.tale *{{box-sizing:border-box}}
.tale .kind{{margin:0 0 .2rem;font-size:12px;letter-spacing:.04em;color:var(--soft)}}
.tale h3{{margin:0 0 .7rem;font:600 1.5rem/1.25 Georgia,"Times New Roman",serif;color:inherit}}
.tale h4{{margin:1rem 0 .4rem;font:600 1.1rem/1.3 Georgia,"Times New Roman",serif;color:inherit}}
.tale .prose p{{margin:0 0 .75rem;font:1.08rem/1.65 Georgia,"Times New Roman",serif;
white-space:pre-line}}
.tale dl{{display:flex;flex-wrap:wrap;gap:.5rem 1.6rem;margin:.9rem 0 0;padding:.7rem 0 0;
border-top:1px solid var(--line);font-size:13px}}
.tale dt{{margin:0;color:var(--soft);font-weight:400}}
.tale dd{{margin:0;font-weight:600}}
.tale .note{{margin:.7rem 0;padding:.1rem 0 .1rem .7rem;font-size:14px;
border-left:3px solid color-mix(in srgb,{BAD} 75%,var(--ink))}}
.tale .note.calm{{border-color:var(--line);color:var(--soft)}}
.tale .tries{{margin:.8rem 0 0;font-size:13px}}
.tale .strip{{display:flex;flex-wrap:wrap;align-items:center;gap:.3rem;margin:0;padding:0;
list-style:none}}
.tale .strip li{{margin:0;padding:.05rem .5rem;border-radius:9px;color:#fff;background:{GOOD};
font-weight:600}}
.tale .strip li.bad{{border-radius:2px;background:{BAD}}}
.tale .strip li.gap{{padding:0 .1rem;background:none;color:var(--soft);font-weight:400}}
.tale details{{margin:.4rem 0 0;font-size:13px}}
.tale summary{{cursor:pointer;color:var(--soft)}}
.tale details ol{{margin:.4rem 0 0;padding-left:1.6rem}}
.tale .sheet{{overflow-x:auto;margin:.7rem 0 0}}
.tale table{{border-collapse:collapse;width:100%;margin:0;font-size:13px;color:inherit;
background:none}}
.tale th,.tale td{{padding:.35rem .7rem .35rem 0;border:0;border-bottom:1px solid var(--line);
text-align:left;vertical-align:top;background:none;color:inherit;white-space:normal;
overflow-wrap:normal}}
.tale th{{color:var(--soft);font-weight:400;white-space:nowrap}}
.tale .n{{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}}
.tale .n+:not(.n){{padding-left:.8rem}}
.tale .wordy{{min-width:7.5rem}}
.tale tr.bad td{{font-weight:600}}
.tale code{{font:12px/1.5 ui-monospace,Consolas,monospace;color:inherit;background:none}}
""".split("\n")
)
