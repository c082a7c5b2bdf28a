"""Makes the demo's images out of what is installed, so that it needs no download.

- glyphs: letters, drawn with the fonts that matplotlib ships: the source task. Every letter is tilted, slanted, drawn
  with another pen, and scanned as the digits were. The classes are those of EMNIST (Cohen et al. 2017, 1702.05373)
  without its digits: the capitals, and the eleven small letters that are no smaller copy of their capital.
- digits: scikit-learn's handwritten digits: the target task, with few labels. 10 of each digit to train on, 10 to
  validate, and all the others as the test.

Both are grey 32 x 32 PNG files in a folder a class.

    python examples/make_images.py [FOLDER]      (default: .graft/demo)
"""

import random
import shutil
import string
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_digits

LETTERS = {letter: letter for letter in string.ascii_uppercase} | {
    f"small-{letter}": letter for letter in "abdefghnqrt"
}
EXAMPLES = 150  # a letter
FONTS = ["DejaVuSans*.ttf", "DejaVuSerif*.ttf", "STIXGeneral*.ttf", "cm[brt]*10.ttf", "cmss10.ttf"]
LABELLED = {"train": 10, "validation": 10}  # a digit
SIDE = 32
GRID = 8  # what the digits were scanned to


def main(folder: Path) -> None:
    """Writes both datasets into a folder."""
    glyphs = write(folder / "data" / "glyphs", make_glyphs())
    digits = write(folder / "data" / "digits", make_digits())
    print(f"wrote {folder}/data/glyphs ({glyphs:,} images) and {folder}/data/digits ({digits:,} images)")


def make_glyphs() -> Iterator[tuple[str, Image.Image]]:
    """Yields class and image of the letters."""
    fonts = [ImageFont.truetype(str(path), 96) for path in font_files()]
    for name, letter in LETTERS.items():
        for _ in range(EXAMPLES):
            yield name, smooth(scan(draw_letter(letter, draw.choice(fonts))))


def make_digits() -> Iterator[tuple[str, Image.Image]]:
    """Yields split, class and image of the digits."""
    digits = load_digits()
    seen = dict.fromkeys(map(str, digits.target_names), 0)
    order = draw.sample(range(len(digits.target)), len(digits.target))
    for number in order:
        digit = str(digits.target[number])
        yield f"{split_of(seen[digit])}/{digit}", smooth(digits.images[number])
        seen[digit] += 1


def split_of(number: int) -> str:
    """Returns the split of the n-th example of a digit."""
    for split, count in LABELLED.items():
        if number < count:
            return split
        number -= count
    return "test"


def font_files() -> list[Path]:
    """Returns the fonts that matplotlib ships, without those that have no letters of their own."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return sorted({path for pattern in FONTS for path in folder.glob(pattern) if "Display" not in path.name})


def draw_letter(letter: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """Draws a letter, tilted and slanted, with a pen of some width; cut to its bounding box."""
    image = Image.new("L", (256, 256))
    ImageDraw.Draw(image).text((128, 128), letter, 255, font, anchor="mm", stroke_width=draw.randrange(6))
    slant = draw.uniform(-0.3, 0.3)
    image = image.rotate(draw.uniform(-12, 12), Image.Resampling.BILINEAR)
    shear = (1, slant, -128 * slant, 0, 1, 0)
    image = image.transform(image.size, Image.Transform.AFFINE, shear, Image.Resampling.BILINEAR)
    return image.crop(image.getbbox())


def scan(letter: Image.Image) -> np.ndarray:
    """Scans a letter as the digits were: black or white at 32 x 32, counted in blocks of 4 x 4; [8, 8], 0 to 16."""
    width, height = letter.size
    scale = draw.uniform(0.85, 1.0) * SIDE / max(width, height)
    fitted = letter.resize((max(4, round(width * scale)), max(4, round(height * scale))), Image.Resampling.BILINEAR)
    page = Image.new("L", (SIDE, SIDE))
    page.paste(fitted, tuple((SIDE - side) // 2 + draw.randint(-1, 1) for side in fitted.size))
    ink = np.asarray(page) > draw.randint(96, 160)
    return ink.reshape(GRID, SIDE // GRID, GRID, SIDE // GRID).sum((1, 3))


def smooth(grid: np.ndarray) -> Image.Image:
    """Returns a scanned grid [8, 8], 0 to 16, as an image of 32 x 32."""
    return Image.fromarray((grid * 255 / 16).astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def write(folder: Path, images: Iterator[tuple[str, Image.Image]]) -> int:
    """Writes images as PNG files, each into the folder of its class; returns how many."""
    shutil.rmtree(folder, ignore_errors=True)
    number = 0
    for number, (name, image) in enumerate(images, 1):
        (folder / name).mkdir(parents=True, exist_ok=True)
        image.save(folder / name / f"{number:05}.png")
    return number


draw = random.Random(0)

if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(".graft/demo"))
