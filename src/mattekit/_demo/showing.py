"""Mattes of all photos that come with the package."""

from pathlib import Path

from tqdm import tqdm

from mattekit._demo.examples import EXAMPLES
from mattekit._demo.sheet import CELL, TITLES, panels
from mattekit._progress import hidden
from mattekit.compositing import cutout
from mattekit.inference import predict, prepare
from mattekit.models import pp_matting
from mattekit.photos import write_image
from mattekit.photos.sheet import contact_sheet
from mattekit.photos.writing import write_cutout

_OPENING = """\
Matting {number} photos with the small weights that come with mattekit; nothing is downloaded. The network has seen none
of them. contact_sheet.png will show a row a photo: the photo; the semantic map, white for foreground, black for
background, grey for the transition between them; the detail map, which means something in the transition alone; the
matte, which mixes the two by how sure the semantic map is; and the cut-out on a new background.
"""
_CLOSING = """
Wrote contact_sheet.png, and NAME_alpha.png and NAME_cutout.png of each photo, to {folder}.
Photos: {credits}.

Now one of yours:   mattekit predict photo.jpg
Or see it learn:    mattekit demo --train
"""


def run(folder: Path) -> None:
    """Say what comes, matte every photo, write mattes, cut-outs and the contact sheet."""
    print(_OPENING.format(number=len(EXAMPLES)))
    network, rows = prepare(pp_matting(weights="small")), []
    for example in tqdm(EXAMPLES, desc="matting", unit="photo", disable=hidden()):
        photo = example.read()
        maps = predict(network, photo, return_maps=True)
        cut = cutout(photo, maps.alpha)
        write_cutout(folder, example.name, maps.alpha, cut)
        rows.append(panels(photo, maps, cut))
    write_image(folder / "contact_sheet.png", contact_sheet(rows, CELL, titles=TITLES))
    credits = "; ".join(f"{name} ({credit})" for name, credit in EXAMPLES)
    print(_CLOSING.format(folder=folder, credits=credits))
