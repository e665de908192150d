import numpy as np
import pytest

from mattekit.photos.sheet import Panel, contact_sheet

COLOURS = [(200, 10, 10), (10, 200, 10)]


@pytest.mark.parametrize("words", [{}, {"titles": ["one", "two"]}, {"legend": "all of them"}])
@pytest.mark.parametrize("caption", ["", "a caption"])
@pytest.mark.parametrize("rows", [1, 3])
def test_every_panel_is_shown_whole(rows, caption, words):
    row = [Panel(np.full((20, 30, 3), colour, np.uint8), caption) for colour in COLOURS]
    drawn = contact_sheet([row] * rows, (60, 60), **words)
    for colour in COLOURS:  # 30×20 in a cell of 60×60 becomes 60×40
        assert (drawn == colour).all(axis=2).sum() == rows * 60 * 40


def test_words_stand_outside_the_panels():
    white = Panel(np.ones((40, 40)), "below")
    drawn = contact_sheet([[white, white]], (40, 40), titles=["above", "above"], legend="at the end")
    left = [10, 60]
    assert all((drawn[34:74, x : x + 40] == 255).all() for x in left)
    for rows in (slice(10, 34), slice(74, 98), slice(108, None)):
        assert (drawn[rows] < 100).any()


def test_rows_may_differ_in_length():
    black = Panel(np.zeros((10, 10)))
    drawn = contact_sheet([[black], [black, black]], (10, 10))
    assert drawn.shape == (50, 50, 3)
    assert (drawn == 0).all(axis=2).sum() == 300
