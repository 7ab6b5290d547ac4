"""liftform: one picture in, a clean, textured, checked 3D asset out.

Everything named in ``__all__`` is loaded when it is first touched, so that importing the package is cheap (PEP 562).
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .assets import Assembly as Assembly
    from .assets import Material as Material
    from .assets import Mesh as Mesh
    from .assets import Model as Model
    from .assets import PointCloud as PointCloud
    from .camera import Camera as Camera
    from .capture import Capture as Capture
    from .capture import Decision as Decision
    from .capture import Mask as Mask
    from .capture import Photo as Photo
    from .export import save as save
    from .finish import fix as fix
    from .floorplan import Plan as Plan
    from .home import Home as Home
    from .home import plan as plan
    from .load import load as load
    from .pipeline import Recipe as Recipe
    from .pipeline import Result as Result
    from .pipeline import make as make
    from .poses import poses as poses
    from .read_mesh import read_mesh as read_mesh
    from .report import Report as Report
    from .scan import scan as scan

#: public name -> the module it lives in
_HOME = {
    "Assembly": "assets",
    "Camera": "camera",
    "Capture": "capture",
    "Decision": "capture",
    "Mask": "capture",
    "Home": "home",
    "Material": "assets",
    "Mesh": "assets",
    "Model": "assets",
    "Photo": "capture",
    "Plan": "floorplan",
    "PointCloud": "assets",
    "Recipe": "pipeline",
    "Report": "report",
    "Result": "pipeline",
    "errors": "errors",
    "fix": "finish",
    "load": "load",
    "make": "pipeline",
    "plan": "home",
    "poses": "poses",
    "read_mesh": "read_mesh",
    "save": "export",
    "scan": "scan",
}

__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> Any:
    """A public name, imported on first use."""
    if name not in _HOME:
        raise AttributeError(f"module 'liftform' has no attribute {name!r}")
    import importlib

    module = importlib.import_module(f".{_HOME[name]}", __name__)
    value = module if name == "errors" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)


class _Package(ModuleType):
    """``liftform.load`` and ``liftform.read_mesh`` are functions, though modules of the same names hold them.

    Importing a submodule binds it as an attribute of its package, which would hide the function of the same name.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        """Bind the function instead of the module that bears its name."""
        if isinstance(value, ModuleType) and _HOME.get(name) == name and name != "errors":
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
