"""The public models that liftform runs by name: who publishes which files, under which licence, and what to expect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..errors import UsageError
from ..recipe import suggest

_REMBG = "https://github.com/danielgatis/rembg/releases/download/v0.0.0"
_FREE = "allowed"


@dataclass(frozen=True)
class File:
    """One file of a model. role: what its adapter asks for; path: within the repository or release.

    size: bytes, 0 where not known; sha256: as published, "" where not known: then that of the first download is
    recorded and holds from then on (see ``liftform.zoo.cache``).
    """

    role: str
    path: str
    size: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class Public:
    """One row of the table of public models.

    task: of the registry; the backend there has the row's name. source: "hub:owner/name" or the https address of a
    folder of files. revision: of a repository, a commit or a branch. code and weights: their licences. commercial: in
    plain words. accept: the licence asks for consent before the download. memory: GB while it runs; seconds: a picture,
    on 2 CPU cores; 0 where not measured. extra: the pip extra that it needs. about: what it is for, in a few words.
    """

    task: str
    source: str
    files: tuple[File, ...]
    code: str
    weights: str
    about: str
    revision: str = "main"
    commercial: str = _FREE
    accept: bool = False
    memory: float = 0.0
    seconds: float = 0.0
    extra: str = ""

    @property
    def size(self) -> int:
        """Bytes of all files together, as far as they are known."""
        return sum(file.size for file in self.files)

    @property
    def repository(self) -> str:
        """owner/name on the hub, or "" for files of a release."""
        return self.source.removeprefix("hub:") if self.source.startswith("hub:") else ""

    @property
    def page(self) -> str:
        """Where its publisher describes it."""
        return f"https://huggingface.co/{self.repository}" if self.repository else self.source

    @property
    def licence_line(self) -> str:
        """One line: both licences and what they mean for trade."""
        return f"code {self.code}, weights {self.weights}; commercial use {self.commercial}; {self.page}"


MODELS: Mapping[str, Public] = MappingProxyType(
    {
        "triposr": Public(
            task="object",
            source="hub:stabilityai/TripoSR",
            revision="5b521936b01fbe1890f6f9baed0254ab6351c04a",
            files=(
                File("config", "config.yaml", 0, "74ca708ce086bf68e97709ea6b3d91f14717921c04691e84043f0eb8fcc68e62"),
                File(
                    "weights",
                    "model.ckpt",
                    1_677_246_742,
                    "429e2c6b22a0923967459de24d67f05962b235f79cde6b032aa7ed2ffcd970ee",
                ),
            ),
            code="MIT",
            weights="MIT",
            about="objects: a far larger network, taught far more things",
            memory=2.1,
            seconds=41,
            extra="torch",
        ),
        "triposg": Public(
            task="object",
            source="hub:VAST-AI/TripoSG",
            revision="2c1c516d22d58db486a058d98d31bb6177344e06",
            files=(
                File("encoder_config", "image_encoder_dinov2/config.json"),
                File(
                    "encoder",
                    "image_encoder_dinov2/model.safetensors",
                    1_217_522_888,
                    "399fba97a95f22c36834418bc69373364a99af3a1153da1c0fb31db567c92e23",
                ),
                File("transformer_config", "transformer/config.json"),
                File(
                    "transformer",
                    "transformer/diffusion_pytorch_model.safetensors",
                    5_758_280_104,
                    "9192b5923f7b605b394192809aa2ceb73bf0f4009674d8e3b999b45bb97d4bf2",
                ),
                File("vae_config", "vae/config.json"),
                File(
                    "vae",
                    "vae/diffusion_pytorch_model.safetensors",
                    970_685_468,
                    "a2e667c24927a5a35e5f19fcb4c75890e9399aa966b6db8131d7df733a750c8b",
                ),
                File("scheduler_config", "scheduler/scheduler_config.json"),
                File("preprocessor", "feature_extractor_dinov2/preprocessor_config.json"),
            ),
            code="MIT",
            weights="MIT",
            about="objects: finer shapes, drawn in many steps; slow without a GPU",
            memory=7,
            seconds=10_700,
            extra="torch",
        ),
        "depth-anything": Public(
            task="depth",
            source="hub:depth-anything/Depth-Anything-V2-Small-hf",
            revision="5426e4f0f36572d16453bbda7a8389317b1bef99",
            files=(
                File("config", "config.json", 950, "c56698d3643dde1f83ea2212759e6b31a22b8f827246a36dd007ee8a22b3ff75"),
                File(
                    "weights",
                    "model.safetensors",
                    99_173_660,
                    "3152477ce0d8d6978d76b995120de97cb5b928701fd0f817769f59e249a16b70",
                ),
            ),
            code="Apache-2.0",
            weights="Apache-2.0",
            about="relative depth of any picture",
            extra="torch",
        ),
        "moge": Public(
            task="depth",
            source="hub:Ruicheng/moge-2-vits-normal",
            revision="26b477f41595707c5db6770294c0d1721e8ed4ed",
            files=(
                File(
                    "weights",
                    "model.pt",
                    140_550_416,
                    "79a16621928c2bf0ed04659218c55c01075e950507f40bb3332fb4c873d3e1dc",
                ),
            ),
            code="MIT",
            weights="MIT",
            about="metric depth, normals and field of view of any picture",
            extra="torch",
        ),
        "u2netp": Public(
            task="mask",
            source=_REMBG,
            files=(
                File(
                    "weights",
                    "u2netp.onnx",
                    4_574_861,
                    "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8",
                ),
            ),
            code="Apache-2.0",
            weights="Apache-2.0",
            about="foreground, small and quick",
            memory=0.4,
            seconds=0.5,
        ),
        "isnet": Public(
            task="mask",
            source=_REMBG,
            files=(
                File(
                    "weights",
                    "isnet-general-use.onnx",
                    178_648_008,
                    "60920e99c45464f2ba57bee2ad08c919a52bbf852739e96947fbb4358c0d964a",
                ),
            ),
            code="Apache-2.0",
            weights="Apache-2.0",
            about="foreground with fine parts",
        ),
        "birefnet-lite": Public(
            task="mask",
            source=_REMBG,
            files=(
                File(
                    "weights",
                    "BiRefNet-general-bb_swin_v1_tiny-epoch_232.onnx",
                    224_005_088,
                    "5600024376f572a557870a5eb0afb1e5961636bef4e1e22132025467d0f03333",
                ),
            ),
            code="MIT",
            weights="MIT",
            about="foreground, the finest edges; slow and large",
        ),
    }
)


def named(backends: Mapping[str, str]) -> list[str]:
    """The public models among task -> name of a backend."""
    return [name for task, name in backends.items() if name in MODELS and MODELS[name].task == task]


def runs_on_torch(task: str, name: str) -> bool:
    """Whether a backend is a public model that torch runs."""
    return bool(named({task: name})) and MODELS[name].extra == "torch"


def size_text(count: int) -> str:
    """Bytes in words: "4.6 MB"; "-" for none."""
    if not count:
        return "-"
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def model(name: str) -> Public:
    """The row of a public model; raises UsageError with the nearest name."""
    if name not in MODELS:
        raise UsageError(f"no public model named {name!r}", suggest(name, list(MODELS)))
    return MODELS[name]
