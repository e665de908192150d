import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mattekit.photos import list_images, read_image, read_matte, write_atomically, write_image
from mattekit.photos.atomic import check_apart, check_writable
from mattekit.photos.folders import expand_folders


def photo(height=6, width=9):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".PNG"])
def test_lossless_round_trip(tmp_path, suffix):
    write_image(tmp_path / f"a{suffix}", photo())
    np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}"), photo())


# EXIF's orientation, and what brings the stored pixels upright
ORIENTATIONS = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.transpose(1, 0, 2),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].transpose(1, 0, 2),
    8: lambda x: np.rot90(x),
}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_exif_orientation_is_honoured(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(photo()).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), ORIENTATIONS[orientation](photo()))


def test_other_modes_become_rgb(tmp_path):
    grey = photo()[..., 0]
    write_image(tmp_path / "grey.png", grey)
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), np.dstack([grey] * 3))
    write_image(tmp_path / "rgba.png", np.dstack([photo(), grey]))
    np.testing.assert_array_equal(read_image(tmp_path / "rgba.png"), photo())
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png"), np.dstack([grey] * 3))


def test_matte_is_the_first_channel(tmp_path):
    write_image(tmp_path / "rgb.png", photo())
    np.testing.assert_array_equal(read_matte(tmp_path / "rgb.png"), photo()[..., 0])
    Image.fromarray(photo()[..., 0].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_matte(tmp_path / "deep.png"), photo()[..., 0])
    Image.fromarray(photo()[..., 0] > 127).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_matte(tmp_path / "bits.png"), np.where(photo()[..., 0] > 127, 255, 0))


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_a_cutout_is_no_matte(tmp_path, mode):
    """Its first channel is the photo's red."""
    image = Image.fromarray(photo()).convert(mode)
    image.save(tmp_path / "a.png")  # opaque: its colours are all there is
    np.testing.assert_array_equal(read_matte(tmp_path / "a.png"), np.asarray(image)[..., 0])
    image.putpixel((3, 2), (*[0] * (len(mode) - 1), 254))
    image.save(tmp_path / "a.png")
    with pytest.raises(OSError, match=r"a\.png': its alpha channel is not constant, so it looks like a cut-out"):
        read_matte(tmp_path / "a.png")


@pytest.mark.parametrize("read", [read_image, read_matte])
def test_unreadable_files(tmp_path, read):
    write_image(tmp_path / "whole.png", photo(60, 90))
    data = (tmp_path / "whole.png").read_bytes()
    for content in (b"", b"no image", data[: len(data) // 2], data[:40] + bytes(len(data) - 40)):
        (tmp_path / "bad.png").write_bytes(content)
        with pytest.raises(OSError, match=r"."):
            read(tmp_path / "bad.png")
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.png")


def test_folders_are_expanded_and_hidden_files_left_out(tmp_path):
    for name in ("b.jpg", "a.PNG", ".hidden.png", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    found = [tmp_path / "a.PNG", tmp_path / "b.jpg"]
    assert list_images(tmp_path) == found
    assert expand_folders([tmp_path, tmp_path / "none.jpg"]) == [*found, tmp_path / "none.jpg"]


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"before")

    def fail(file):
        file.write(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fail)
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]
    assert path.read_bytes() == b"before"


def test_written_files_have_ordinary_permissions(tmp_path):
    write_atomically(tmp_path / "a.bin", lambda file: file.write(b"x"))
    (tmp_path / "b.bin").write_bytes(b"x")
    assert (tmp_path / "a.bin").stat().st_mode == (tmp_path / "b.bin").stat().st_mode


def test_outputs_are_kept_apart_from_inputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").touch()
    (tmp_path / "hard.png").hardlink_to(tmp_path / "a.png")
    check_apart([tmp_path / "b.png"], [tmp_path / "a.png"])
    for output in ("a.png", "./a.png", "hard.png"):
        with pytest.raises(ValueError, match=r"must not be written, for .*a\.png is read"):
            check_apart([Path(output)], [tmp_path / "a.png"])
    with pytest.raises(ValueError, match="must not be written"):  # neither is there
        check_apart([Path("b.png")], [tmp_path / "b.png"])


def test_what_cannot_be_written_shows_beforehand(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    check_writable(tmp_path / "file")
    check_writable(tmp_path / "new" / "newer" / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    with pytest.raises(IsADirectoryError, match=re.escape(str(tmp_path))):
        check_writable(tmp_path)
    with pytest.raises(NotADirectoryError, match=re.escape(str(tmp_path / "file"))):
        check_writable(tmp_path / "file" / "new" / "a.png")
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(PermissionError, match=re.escape(str(tmp_path))):
        check_writable(tmp_path / "new" / "a.png")
