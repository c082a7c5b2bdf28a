"""The bytes of an image file into upright RGB pixels, or the reason why there are none.

Stands alone (Pillow, numpy): it is copied beside registered models, so that they read images as training did.
"""

import io
import re

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

# How files of each format begin. A reader is called by itself: Image.open would try formats that run other programs
# (EPS), and knows one limit of pixels for the whole process. JpegImageFile reads the first picture of an MPO file.
_READERS: dict[bytes, type[ImageFile.ImageFile]] = {
    rb"\xff\xd8\xff": JpegImagePlugin.JpegImageFile,
    rb"\x89PNG\r\n\x1a\n": PngImagePlugin.PngImageFile,
    rb"RIFF.{4}WEBP": WebPImagePlugin.WebPImageFile,
    rb"GIF8[79]a": GifImagePlugin.GifImageFile,
    rb"BM": BmpImagePlugin.BmpImageFile,
    rb"II[*+]\0|MM\0[*+]": TiffImagePlugin.TiffImageFile,
    rb"P[1-6]\s": PpmImagePlugin.PpmImageFile,
    rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n": Jpeg2KImagePlugin.Jpeg2KImageFile,
    rb".{4}ftypavi[fs]": AvifImagePlugin.AvifImageFile,
}
_ORIENTATION = 0x0112  # the EXIF tag
_UPRIGHT: dict[object, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BESIDE, _BESIDE_MOST = (b"tEXt", b"zTXt", b"iTXt", b"iCCP"), 1000
"""What a PNG file holds beside its pixels, and how many bytes of it are no matter."""
_LONGEST = 100  # times the shorter side
_TO_8_BITS = np.round(np.arange(1 << 16) / 257).astype(np.uint8)


class ImageError(ValueError):
    """An image that cannot be used; the message is the reason, with its detail in round brackets."""


def open_image(data: bytes, max_pixels: int = 100_000_000) -> Image.Image:
    """Decodes an image file whole: what it holds decides how, whatever its name.

    Args:
        data: The file's bytes.
        max_pixels: The largest image (width x height) that is decoded; told from the header, before decoding.

    Returns:
        The image in mode RGB, upright by its EXIF orientation, transparent parts on white, 16 bits scaled to 8.

    Raises:
        ImageError: It is no image, truncated or damaged, too large, animated (or has several pages), less than 2
            pixels wide or high, over 100 times longer than wide, or its pixels are no colours (floats).
    """
    return _open(data, max_pixels, draft=False)


def check_image(data: bytes, max_pixels: int = 100_000_000) -> str | None:
    """Returns why `open_image` would refuse a file, or None; reads the whole file, but makes a JPEG at an 8th."""
    try:
        _open(data, max_pixels, draft=True)
    except ImageError as error:
        return str(error)
    return None


def decoded_bytes(data: bytes) -> int:
    """Returns about how much memory `check_image` takes for a file, told by its header; 0 where it reads none.

    A picture is held as it was stored, upright, and in RGB. Of a JPEG only an eighth of each side is made.
    """
    try:
        image = _read_header(data)
    except Exception:  # as in `_open`
        return 0
    small = isinstance(image, JpegImagePlugin.JpegImageFile)
    return image.width * image.height * 12 // (64 if small else 1)


def _open(data: bytes, max_pixels: int, draft: bool) -> Image.Image:
    try:
        file = _read_header(data)
        _check_header(file, max_pixels)
        if draft:
            file.draft(None, (1, 1))
        file.load()
        image: Image.Image = file
        upright = _UPRIGHT.get(_orientation(image))
        image = _to_rgb(image)
        return image if upright is None else image.transpose(upright)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # whatever Pillow's readers stumble over in a damaged file, most types of error
        raise ImageError(_reason(error)) from error


def _read_header(data: bytes) -> ImageFile.ImageFile:
    if not data:
        raise ImageError("no image (an empty file)")
    for beginning, reader in _READERS.items():
        if re.match(beginning, data, re.DOTALL):
            image = reader(io.BytesIO(_bare(data) if reader is PngImagePlugin.PngImageFile else data))
            if isinstance(image, JpegImagePlugin.JpegImageFile) and not _has_end(image, data):
                raise ImageError("truncated file")
            return image
    raise ImageError(f"no image (begins with {data[:8]!r})")


def _bare(data: bytes) -> bytes:
    """Returns a PNG file without its texts and colour profile where they are large: Pillow refuses it for them."""
    parts, at = [data[:8]], 8
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        if data[at + 4 : at + 8] not in _BESIDE:
            parts.append(data[at:end])
        at = end
    bare = b"".join([*parts, data[at:]])
    return bare if len(bare) + _BESIDE_MOST < len(data) else data


def _has_end(image: ImageFile.ImageFile, data: bytes) -> bool:
    """Tells a whole JPEG file from one that was cut and filled up again (with zeros), which can be decoded too."""
    end = b"\xff\xd9"
    return data.endswith(end) or (image.fp is not None and data.find(end, image.fp.tell()) >= 0)


def _check_header(image: ImageFile.ImageFile, max_pixels: int) -> None:
    shorter, longer = sorted(image.size)
    size = f"{image.width} x {image.height}"
    if image.width * image.height > max_pixels:
        raise ImageError(f"more than {max_pixels:,} pixels ({size})")
    if shorter < 2:
        raise ImageError(f"a side under 2 pixels ({size})")
    if longer > _LONGEST * shorter:
        raise ImageError(f"longer side more than {_LONGEST} times the shorter ({size})")
    if (frames := getattr(image, "n_frames", 1)) > 1:
        raise ImageError(f"an animation or several pages ({frames} frames)")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ImageError("float pixels")
    if image.mode.startswith("I"):
        image = Image.fromarray(_to_8_bits(np.asarray(image)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _to_8_bits(pixels: np.ndarray) -> np.ndarray:
    if pixels.min() < 0 or pixels.max() >= 1 << 16:
        raise ImageError("pixels of more than 16 bits")
    scaled: np.ndarray = _TO_8_BITS[pixels]
    return scaled


def _orientation(image: Image.Image) -> object:
    try:
        return image.getexif().get(_ORIENTATION)
    except Exception:  # damaged EXIF: the picture itself is whole
        return None


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return "more pixels than can be decoded"
    if "truncated" in str(error).lower():
        return "truncated file"
    return f"truncated or damaged file ({type(error).__name__}: {error})"
