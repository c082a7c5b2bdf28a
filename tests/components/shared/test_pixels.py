import io
import random
import struct
import warnings
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components.shared.backbones.pixels import ImageError, check_image, open_image

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
FORMATS = ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF"]


@pytest.fixture(autouse=True)
def _no_warnings() -> Any:
    """A warning of Pillow's (of a bomb, above all) is an error here."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def photograph(width: int = 96, height: int = 64) -> Image.Image:
    """Smooth colours with some noise."""
    noise = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def pixels(data: bytes) -> np.ndarray:
    """What the file shows; `check_image` must agree that it can be read."""
    assert check_image(data) is None
    image = open_image(data)
    assert image.mode == "RGB"
    return np.asarray(image, np.int64)


def refusal(data: bytes, **options: Any) -> str:
    """Why the file is refused, by both functions."""
    with pytest.raises(ImageError) as caught:
        open_image(data, **options)
    assert check_image(data, **options) == str(caught.value)
    return str(caught.value)


def png_header(width: int, height: int) -> bytes:
    """A PNG file that claims a size and holds next to nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + content


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_shows_the_same_picture(kind: str) -> None:
    original = np.asarray(photograph(), np.int64)
    difference = np.abs(pixels(encode(photograph(), kind)) - original).mean()
    assert difference < {"GIF": 16, "JPEG": 8, "WEBP": 8, "AVIF": 8}.get(kind, 0.1)


class TestColours:
    def test_cmyk_jpeg(self) -> None:
        for colour in (RED, GREEN, BLUE, WHITE, (0, 0, 0)):
            data = encode(Image.new("RGB", (16, 16), colour).convert("CMYK"), "JPEG", quality=100)
            assert Image.open(io.BytesIO(data)).mode == "CMYK"
            assert np.abs(pixels(data) - colour).max() <= 3

    def test_16_bits_are_scaled_and_not_cut_off(self) -> None:
        ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
        expected = np.repeat(np.round(ramp / 257)[..., None], 3, axis=2)
        for kind in ("PNG", "TIFF", "PPM"):
            np.testing.assert_array_equal(pixels(encode(Image.fromarray(ramp), kind)), expected)
        big_endian = Image.frombytes("I;16B", (64, 64), ramp.astype(">u2").tobytes())
        np.testing.assert_array_equal(pixels(encode(big_endian, "TIFF")), expected)
        np.testing.assert_array_equal(pixels(encode(Image.fromarray(ramp.astype(np.int32)), "TIFF")), expected)

    def test_numbers_that_are_no_colours(self) -> None:
        many = np.linspace(0, 2**31 - 1, 64).astype(np.int32).reshape(8, 8)
        assert refusal(encode(Image.fromarray(many), "TIFF")) == "pixels of more than 16 bits"
        assert refusal(encode(Image.fromarray(many.astype(np.float32)), "TIFF")) == "float pixels"

    def test_palette(self) -> None:
        image = Image.new("P", (8, 8), 1)
        image.putpalette([*RED, *GREEN])
        np.testing.assert_array_equal(pixels(encode(image, "PNG")), np.full((8, 8, 3), GREEN))
        image.paste(0, (0, 0, 4, 8))
        found = pixels(encode(image, "PNG", transparency=0))
        assert found[0, 0].tolist() == list(WHITE)
        assert found[0, 7].tolist() == list(GREEN)
        found = pixels(encode(image, "PNG", transparency=bytes([255, 51])))  # green, one fifth of it
        assert found[0, 0].tolist() == list(RED)
        assert found[0, 7].tolist() == [204, 255, 204]

    @pytest.mark.parametrize(("mode", "colour"), [("RGBA", (0, 0, 255, 51)), ("LA", (0, 51))])
    def test_transparent_parts_lie_on_white(self, mode: str, colour: Any) -> None:
        expected = (204, 204, 255) if mode == "RGBA" else (204, 204, 204)
        data = encode(Image.new(mode, (8, 8), colour), "PNG")
        np.testing.assert_array_equal(pixels(data), np.full((8, 8, 3), expected))

    def test_a_colour_can_stand_for_transparent(self) -> None:
        data = encode(Image.new("RGB", (8, 8), BLUE), "PNG", transparency=BLUE)
        np.testing.assert_array_equal(pixels(data), np.full((8, 8, 3), 255))

    def test_grey_and_black_or_white(self) -> None:
        np.testing.assert_array_equal(pixels(encode(Image.new("L", (8, 8), 77), "PNG")), np.full((8, 8, 3), 77))
        np.testing.assert_array_equal(pixels(encode(Image.new("1", (8, 8), 1), "PNG")), np.full((8, 8, 3), 255))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_picture_upright(kind: str, orientation: int) -> None:
    corners = Image.new("RGB", (32, 16), WHITE)
    for colour, box in ((RED, (0, 0, 16, 8)), (GREEN, (16, 0, 32, 8)), (BLUE, (0, 8, 16, 16))):
        corners.paste(colour, box)
    turned = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    lying = corners if turned is None else corners.transpose(turned)
    found = pixels(encode(lying, kind, exif=exif, **({} if kind in ("PNG", "TIFF") else {"quality": 100})))
    assert found.shape == (16, 32, 3)
    assert np.abs(found - np.asarray(corners, np.int64)).mean() < 12  # a wrong turn makes over 60


def test_damaged_exif_does_not_make_a_picture_unreadable() -> None:
    data = encode(photograph(), "PNG", exif=b"Exif\0\0no TIFF header")
    np.testing.assert_array_equal(pixels(data), np.asarray(photograph()))


class TestDamage:
    @pytest.mark.parametrize("part", [0.3, 0.5, 0.9, 0.99])
    @pytest.mark.parametrize("kind", FORMATS)
    @pytest.mark.case(17)
    def test_truncated(self, kind: str, part: float) -> None:
        data = encode(photograph(), kind)
        assert "truncated" in refusal(data[: int(part * len(data))])

    @pytest.mark.parametrize("options", [{}, {"progressive": True}])
    @pytest.mark.case(17)
    def test_a_jpeg_that_was_cut_and_filled_with_zeros(self, options: Any) -> None:
        data = encode(photograph(), "JPEG", **options)
        assert refusal(data[: len(data) // 2] + bytes(len(data) // 2)) == "truncated file"
        assert pixels(data + b"anything after its end").shape == (64, 96, 3)

    @pytest.mark.parametrize("kind", FORMATS)
    def test_whatever_is_wrong_both_functions_say_the_same(self, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
        draw = random.Random(kind)
        whole = encode(photograph(), kind)
        reasons = []
        for _ in range(150):
            data = bytearray(whole)
            for _ in range(draw.choice([1, 3, 20])):
                data[draw.randrange(draw.choice([20, len(data)]))] = draw.randrange(256)
            reasons.append(check_image(bytes(data)))
            if reasons[-1] is None:
                open_image(bytes(data))
            else:
                assert refusal(bytes(data)) == reasons[-1]
        assert any(reasons)
        capfd.readouterr()  # libtiff's own complaints

    @pytest.mark.parametrize("data", [b"", b"\0", b"GIF", b"a text", b"<svg></svg>", b"%!PS-Adobe-3.0 EPSF-3.0"])
    @pytest.mark.case(17)
    def test_no_image(self, data: bytes) -> None:
        assert refusal(data).startswith("no image (")

    def test_a_beginning_alone(self) -> None:
        for beginning in (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a"):
            assert refusal(beginning + b" and nothing else").startswith("truncated or damaged file (")


class TestSizes:
    @pytest.mark.case(17)
    def test_a_bomb_is_refused_by_its_header(self) -> None:
        assert refusal(png_header(50_000, 50_000)) == "more than 100,000,000 pixels (50000 x 50000)"
        gif = b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + encode(Image.new("P", (8, 8)), "GIF")[10:]
        assert refusal(gif).startswith("more than 100,000,000 pixels")

    def test_the_limit_is_the_callers(self) -> None:
        data = encode(photograph(), "JPEG")
        assert refusal(data, max_pixels=96 * 64 - 1) == "more than 6,143 pixels (96 x 64)"
        assert check_image(data, max_pixels=96 * 64) is None
        assert "truncated" in refusal(png_header(20_000, 10_000), max_pixels=1 << 40)  # Pillow's own limit is lower

    def test_one_pixel(self) -> None:
        assert refusal(encode(Image.new("RGB", (1, 1)), "PNG")) == "a side under 2 pixels (1 x 1)"
        assert pixels(encode(Image.new("RGB", (2, 2)), "PNG")).shape == (2, 2, 3)

    def test_a_strip(self) -> None:
        strip = encode(Image.new("RGB", (2, 201)), "PNG")
        assert refusal(strip) == "longer side more than 100 times the shorter (2 x 201)"
        assert check_image(encode(Image.new("RGB", (200, 2)), "PNG")) is None


class TestFrames:
    @pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
    def test_animations_and_pages(self, kind: str) -> None:
        frames = [Image.new("RGB", (16, 16), (20 * number, 0, 0)) for number in range(12)]
        data = encode(frames[0], kind, save_all=True, append_images=frames[1:])
        assert refusal(data) == "an animation or several pages (12 frames)"
        assert check_image(encode(frames[0], kind, save_all=True)) is None  # of one frame

    def test_a_phones_second_picture_does_no_harm(self) -> None:
        frames = [photograph(), Image.new("RGB", (32, 32), RED)]
        data = encode(frames[0], "MPO", save_all=True, append_images=frames[1:])
        assert np.abs(pixels(data) - np.asarray(frames[0], np.int64)).mean() < 8
