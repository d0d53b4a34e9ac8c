"""Cards: how results and errors show themselves, as HTML and as Markdown, from plain data.

The classes that show themselves live in all layers; so this one lies below them all. It knows
strings and numbers, and neither our classes nor IPython: what needs a notebook (streaming,
buttons, bars, plots) is in `langchain_tale.display`.

| module | what is in it |
| --- | --- |
| `markup` | escaping, for HTML and for Markdown |
| `theme` | the colours, light and dark, and the style sheet of a card |
| `wording` | seconds, dollars and counts in words |
| `blocks` | what a card is made of: prose, facts, notes, tables |
| `strip` | the attempts of one call: one mark each |
| `card` | a card of blocks, and `Shown`, for classes that show themselves as one |
| `stories` | the card of a story, and of one that did not come to be |
"""
