from mattekit.photos import list_images
from mattekit.photos.folders import count_others, expand_folders


def test_folders_are_expanded_and_hidden_files_left_out(tmp_path):
    for name in ("b.jpg", "a.PNG", ".hidden.png", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    found = [tmp_path / "a.PNG", tmp_path / "b.jpg"]
    assert list_images(tmp_path) == found
    assert expand_folders([tmp_path, tmp_path / "none.jpg"]) == [*found, tmp_path / "none.jpg"]
    assert count_others(tmp_path) == 2
