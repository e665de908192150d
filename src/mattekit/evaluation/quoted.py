"""The rows of the paper's Tables 1 and 2, as printed: to be quoted beside one's own, never to be mixed with them."""

from __future__ import annotations

from typing import NamedTuple


class Quoted(NamedTuple):
    """A published row. The numbers are text, with the digits that were printed."""

    method: str
    sad: str
    mse: str
    gradient_error: str
    connectivity_error: str


def _rows(text: str) -> tuple[Quoted, ...]:
    return tuple(Quoted(*(cell.strip() for cell in line.split("|"))) for line in text.strip().splitlines())


QUOTED: dict[int, tuple[Quoted, ...]] = {
    1: _rows("""
        Share Matting   | 119.56 | 0.026 | 129.61 | 114.37
        Global Matting  | 135.56 | 0.039 | 119.53 | 136.44
        ClosedForm      | 105.73 | 0.023 | 91.76  | 114.55
        KNN Matting     | 116.68 | 0.025 | 103.15 | 121.45
        DCNN            | 103.81 | 0.020 | 82.45  | 99.96
        Info-Flow       | 78.89  | 0.016 | 58.72  | 80.47
        DIM             | 47.56  | 0.009 | 43.29  | 55.90
        HAttMatting     | 48.98  | 0.009 | 41.57  | 49.93
        PP-Matting      | 40.69  | 0.009 | 43.91  | 40.56
    """),
    2: _rows("""
        Share Matting   | 125.37 | 0.029 | 144.28 | 123.53
        Global Matting  | 156.88 | 0.042 | 112.28 | 155.08
        ClosedForm      | 124.68 | 0.025 | 115.31 | 106.06
        KNN Matting     | 126.24 | 0.025 | 117.17 | 131.05
        DCNN            | 115.82 | 0.023 | 107.36 | 111.23
        Info-Flow       | 70.36  | 0.013 | 42.79  | 70.66
        DIM             | 48.87  | 0.008 | 31.04  | 50.36
        AlphaGAN        | 90.94  | 0.018 | 93.92  | 95.29
        SampleNet       | 48.03  | 0.008 | 35.19  | 56.55
        IndexNet        | 44.52  | 0.005 | 29.88  | 42.37
        Late Fusion     | 58.34  | 0.011 | 41.63  | 59.74
        HAttMatting     | 44.01  | 0.007 | 29.26  | 46.41
        PP-Matting      | 46.22  | 0.005 | 22.69  | 45.40
    """),
}
