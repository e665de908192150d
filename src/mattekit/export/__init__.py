"""Networks as files that run elsewhere: ONNX, and programs of torch.export. Each is checked before it is handed out."""

from mattekit.export.checking import Exported
from mattekit.export.onnx_file import onnx
from mattekit.export.program_file import program

__all__ = ["Exported", "onnx", "program"]
