"""Draws pictures with several labels, and pictures with a number, so that the two examples need no download.

- scenes (several labels): up to four of six shapes in any colour and size, anywhere, one over the other, among stray
  lines. `labels.jsonl` tells which shapes there are; of some there is none.
- dials (a number): a gauge with ticks, round or square, seen a little from the side; `metadata.csv` tells what its
  needle shows, from 0 to 100.

They are drawn, and no photographs: what a model reaches here says that the chain works, not how it does on yours.

    python examples/make_scenes.py [FOLDER]      (default: .graft/demo)
"""

import csv
import json
import math
import random
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
SCENES, DIALS = 3000, 900
SIDE, FINE = 48, 4  # pixels; drawn at so many times the size, and made smaller: no stairs
SWEEP = (225.0, -45.0)  # degrees of the needle at 0 and at 100, against the clock from the right

Colour = tuple[int, int, int]


def main(folder: Path) -> None:
    """Writes both sets into a folder."""
    draw = random.Random(0)
    scenes, dials = (empty(folder / "data" / name) for name in ("scenes", "dials"))
    rows = []
    for number in range(SCENES):
        image, labels = make_scene(draw)
        rows.append({"file_name": f"images/{number:04}.png", "labels": labels})
        image.save(scenes / rows[-1]["file_name"])
    (scenes / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    with (dials / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file_name", "value"])
        for number in range(DIALS):
            image, value = make_dial(draw)
            table.writerow([f"images/{number:04}.png", value])
            image.save(dials / f"images/{number:04}.png")
    print(f"wrote {scenes} ({SCENES:,} pictures) and {dials} ({DIALS:,} pictures)")


def empty(folder: Path) -> Path:
    """Returns a folder with nothing in it but a folder for images."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "images").mkdir(parents=True)
    return folder


def make_scene(draw: random.Random) -> tuple[Image.Image, list[str]]:
    """Returns a picture, and which shapes are on it."""
    labels = sorted(draw.sample(SHAPES, draw.choice([0, 1, 1, 2, 2, 3, 4])))
    page = background(draw)
    pen = ImageDraw.Draw(page)
    for _ in range(draw.randrange(4)):
        pen.line([draw.randrange(page.width) for _ in range(4)], fill=colour(draw), width=draw.randrange(3, 9))
    for label in draw.sample(labels, len(labels)):
        radius = draw.uniform(0.11, 0.2) * page.width
        x, y = (draw.uniform(radius, page.width - radius) for _ in range(2))
        draw_shape(pen, label, (x, y), radius, draw.uniform(-0.3, 0.3), colour(draw))
    return finish(page, draw), labels


def draw_shape(
    pen: ImageDraw.ImageDraw, label: str, centre: tuple[float, float], radius: float, turn: float, fill: Colour
) -> None:
    """Draws one of the shapes, turned by so many radians."""
    if label in ("circle", "ring"):
        box = [centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius]
        pen.ellipse(box, fill=fill if label == "circle" else None, outline=fill, width=round(radius / 3.5))
        return
    corners = {"square": 4, "triangle": 3, "star": 10, "cross": 12}[label]
    points = []
    for corner in range(corners):
        angle, far = turn - math.pi / 2 + 2 * math.pi * corner / corners, radius
        if label == "square":
            angle += math.pi / 4
        if label == "star" and corner % 2:
            far = 0.45 * radius
        if label == "cross":  # four arms, each of two outer corners and an inner one
            arm, place = divmod(corner, 3)
            angle = turn + arm * math.pi / 2 + (-0.32, 0.32, math.pi / 4)[place]
            far = (radius, radius, 0.45 * radius)[place]
        points.append((centre[0] + far * math.cos(angle), centre[1] + far * math.sin(angle)))
    pen.polygon(points, fill=fill)


def make_dial(draw: random.Random) -> tuple[Image.Image, float]:
    """Returns a picture of a gauge, and what its needle shows."""
    value = round(draw.uniform(0, 100), 1)
    page = background(draw)
    pen = ImageDraw.Draw(page)
    radius = draw.uniform(0.3, 0.42) * page.width
    x, y = (page.width / 2 + draw.uniform(-0.06, 0.06) * page.width for _ in range(2))
    face, ink, red = colour(draw, 170), colour(draw, 0, 90), colour(draw, 0, 160)
    plate = pen.ellipse if draw.random() < 0.7 else pen.rectangle
    plate([x - radius, y - radius, x + radius, y + radius], fill=face, outline=ink, width=5)
    for tick in range(11):
        pen.line([*at(x, y, 0.8 * radius, 10 * tick), *at(x, y, 0.95 * radius, 10 * tick)], fill=ink, width=3)
    pen.line([x, y, *at(x, y, draw.uniform(0.6, 0.78) * radius, value)], fill=red, width=draw.randrange(6, 11))
    pen.ellipse([x - 8, y - 8, x + 8, y + 8], fill=ink)
    seen = (1, draw.uniform(-0.1, 0.1), 0, draw.uniform(-0.1, 0.1), 1, 0)
    return finish(page.transform(page.size, Image.Transform.AFFINE, seen, Image.Resampling.BILINEAR), draw), value


def at(x: float, y: float, radius: float, value: float) -> tuple[float, float]:
    """Returns the point of a dial at a value."""
    angle = math.radians(SWEEP[0] + (SWEEP[1] - SWEEP[0]) * value / 100)
    return x + radius * math.cos(angle), y - radius * math.sin(angle)


def background(draw: random.Random) -> Image.Image:
    """Returns an empty page whose light changes from one corner to another."""
    side = SIDE * FINE
    first, last = (np.array(colour(draw, 60, 200), np.float64) for _ in range(2))
    slope = (np.linspace(0, draw.random(), side)[:, None] + np.linspace(0, draw.random(), side)) / 2
    return Image.fromarray((first + (last - first) * slope[..., None]).astype(np.uint8))


def colour(draw: random.Random, low: int = 0, high: int = 256) -> Colour:
    """Returns any colour between two brightnesses."""
    return draw.randrange(low, high), draw.randrange(low, high), draw.randrange(low, high)


def finish(page: Image.Image, draw: random.Random) -> Image.Image:
    """Returns a page as a small camera sees it: smaller, a little out of focus, in noise."""
    small = page.filter(ImageFilter.GaussianBlur(draw.uniform(0, 2))).resize((SIDE, SIDE), Image.Resampling.BOX)
    noise = np.random.default_rng(draw.randrange(2**32)).normal(0, draw.uniform(2, 10), (SIDE, SIDE, 3))
    return Image.fromarray(np.clip(np.asarray(small) + noise, 0, 255).astype(np.uint8))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(".graft/demo"))
