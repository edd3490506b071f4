"""The gallery: a card for each notebook, with a picture and a sentence of its own.

Titles, questions and pictures are read from the notebooks when the documentation is built, so that
they are those of the last run.
"""

import base64
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

WIDTH, HEIGHT = 320, 136  # of a thumbnail, px: figures are wide

# section, what was found in a sentence of the notebook, and which of its figures is shown
NOTEBOOKS = {
    "seamless_tiles": ("scenes", "Across tile borders the jumps are 2.5 times those elsewhere", 1),
    "seams_between_zones": (
        "scenes",
        "Warped anew for each window, 56 % of the cells depend on who reads them; with `xpatch` none do.",
        0,
    ),
    "a_score_too_good": (
        "scenes",
        "Folds of blocks say 36 % and 66 %, near the 32 % and 64 % of new ground.",
        1,
    ),
    "out_of_core": ("scenes", "Here an elevation model of 1.1 GB, whose patches take 2.9 GB", 0),
    "heat_waves": (
        "climate",
        "29 events, all of June to August. March 2012 reached that threshold on a single day, and so is "
        "no event.",
        0,
    ),
    "moving_window_trends": (
        "climate",
        "165 windows, more than a third, have a significant trend each for itself. After both corrections "
        "four have.",
        1,
    ),
    "forecast_windows": (
        "climate",
        "Errors grow with lead, from 0.39 K a month ahead to 0.83 K six months ahead.",
        1,
    ),
    "storm_composite": (
        "climate",
        "14 storms, which went to all sides, say so with one voice once they are turned.",
        1,
    ),
    "ocean_neighbourhoods": (
        "climate",
        "In boxes the finer one seems to vary 40 % less, because its boxes are half as wide.",
        2,
    ),
    "years_to_know_its_own_warming": (
        "climate",
        "Thirty years is the answer for 2009, and not for every year.",
        1,
    ),
    "kriging_between_floats": (
        "in_situ",
        "With `within=` the same equations have less than a third of the error: 0.28 K instead of 0.96 K.",
        1,
    ),
    "twelve_stations_a_window": (
        "in_situ",
        "Tied hyperparameters are better than own ones in both: 34.9 m against 35.3",
        0,
    ),
    "calm_poles_or_small_boxes": (
        "meshes",
        "from 70° to 80° north boxes of 10° see 79 % of what five rings see",
        0,
    ),
    "neighbors_by_water": ("meshes", "By water the error is 0.52 °C instead of 0.88 °C.", 0),
}
SECTIONS = ("scenes", "climate", "in_situ", "meshes")


@dataclass(frozen=True)
class Notebook:
    """A notebook that was run."""

    path: Path

    def __post_init__(self):
        object.__setattr__(
            self, "cells", json.loads(self.path.read_text(encoding="utf-8"))["cells"]
        )

    def texts(self) -> list[str]:
        """Give the cells of text."""
        return ["".join(c["source"]) for c in self.cells if c["cell_type"] == "markdown"]

    def title(self) -> str:
        """Give the heading."""
        return self.texts()[0].splitlines()[0].removeprefix("# ").strip()

    def question(self) -> str:
        """Give the first sentence."""
        lines = " ".join(self.texts()[0].splitlines()[1:])
        return re.split(r"(?<=[.?!])\s", " ".join(lines.split()))[0]

    def says(self, words: str) -> bool:
        """Whether the notebook has these words."""
        return " ".join(words.split()) in " ".join(" ".join(self.texts()).split())

    def figures(self) -> list[bytes]:
        """Give the pictures among the outputs."""
        outputs = [o for c in self.cells for o in c.get("outputs", ())]
        found = [o["data"]["image/png"] for o in outputs if "image/png" in o.get("data", {})]
        return [base64.b64decode("".join(png)) for png in found]


def thumbnail(png: bytes, path: Path) -> None:
    """Write a picture as wide as a card, on white."""
    picture = Image.open(io.BytesIO(png)).convert("RGBA")
    picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    wide, high = 2 * WIDTH, 2 * HEIGHT  # for fine screens
    picture.thumbnail((wide, high))
    card = Image.new("RGB", (wide, high), "white")
    card.paste(picture.convert("RGB"), ((wide - picture.width) // 2, (high - picture.height) // 2))
    card.quantize(128).save(path, optimize=True)


def whole(found: str) -> str:
    """Mark where words leave out how their sentence begins or ends."""
    begins = "" if found[0].isupper() or found[0].isdigit() else "… "
    return begins + found + ("" if found.endswith(".") else " …")


def card(notebook: Notebook, found: str) -> str:
    """Give the card of a notebook, with paths from the folder of the documentation."""
    name, title = notebook.path.stem, notebook.title()
    return f"""
:::{{grid-item-card}} {title}
:link: /notebooks/{name}
:link-type: doc
:img-top: /notebooks/thumbnails/{name}.png
:img-alt: A figure of the notebook “{title}”

{notebook.question()}
```{{card-footer}}
{whole(found)}
```
:::
"""


def section_page(notebooks: list[tuple[Notebook, str]]) -> str:
    """Give the cards of a section, and its part of the table of contents."""
    cards = "".join(card(*one) for one in notebooks)
    names = "\n".join(f"/notebooks/{n.path.stem}" for n, _ in notebooks)
    return (
        f"::::{{grid}} 1 2 2 2\n:gutter: 3\n{cards}\n::::\n",
        f"```{{toctree}}\n:hidden:\n\n{names}\n```\n",
    )


def checked(folder: Path) -> dict[str, Notebook]:
    """Give the notebooks by name, all of which have an entry that is true.

    Raises
    ------
    ValueError
        If a notebook has no entry, an entry no notebook, or the notebook does not say what the entry quotes.
    """
    there = {p.stem: Notebook(p) for p in sorted(folder.glob("*.ipynb"))}
    wrong = [f"{n}: has no entry" for n in there if n not in NOTEBOOKS]
    wrong += [f"{n}: an entry without a notebook" for n in NOTEBOOKS if n not in there]
    for name, (section, found, figure) in NOTEBOOKS.items():
        if section not in SECTIONS:
            wrong.append(f"{name}: {section!r} is none of {SECTIONS}")
        if name in there and not there[name].says(found):
            wrong.append(f"{name}: does not say {found!r}")
        if name in there and len(there[name].figures()) <= figure:
            wrong.append(f"{name}: has no figure {figure}")
    if wrong:
        raise ValueError("NOTEBOOKS in docs/_scripts/gallery.py: " + "; ".join(wrong))
    return there


def write(folder: Path, target: Path) -> None:
    """Write thumbnails and, by section, cards and tables of contents."""
    there = checked(folder)
    (target / "thumbnails").mkdir(parents=True, exist_ok=True)
    for name, notebook in there.items():
        figure = NOTEBOOKS[name][2]
        thumbnail(notebook.figures()[figure], target / "thumbnails" / f"{name}.png")
    for section in SECTIONS:
        own = [(there[n], found) for n, (s, found, _) in NOTEBOOKS.items() if s == section]
        cards, contents = section_page(own)
        (target / f"{section}_cards.txt").write_text(cards, encoding="utf-8")
        (target / f"{section}_contents.txt").write_text(contents, encoding="utf-8")
