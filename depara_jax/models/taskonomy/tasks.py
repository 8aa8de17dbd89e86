"""The twenty tasks whose encoders both papers compare, and how each sees an image.

Every encoder takes 256x256 pixels on [-1, 1]. The authors' code (zju-vipa's
TransferbilityFromAttributionMaps, tools/deep_attribution.py, with load_ops.py of
StanfordVL/taskonomy) crops the largest centred square, resizes it to 256 with scikit-image's
bilinear interpolation on floats, and then, by task: clips the pixels to [.1, .9] of their range (14
tasks; the result spans [-.8, .8]), takes the lightness L* of CIELAB instead of the colours
(colorization), or sets the middle 128x128 of the result to 0 (inpainting). `InputSpec` does the
same in the other order, resize and then crop, with Pillow's antialiased bilinear filter on 8 bits:
equal up to interpolation.
"""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np

from depara_jax.errors import DeparaError
from depara_jax.models.taskonomy.config import TaskonomyConfig
from depara_jax.spec import InputSpec

__all__ = ["TASKS", "Task"]


@dataclasses.dataclass(frozen=True)
class Task:
    """One of Taskonomy's single-image tasks.

    Attributes:
      name: in Taskonomy's code and in both papers' matrices.
      torch_name: in the PyTorch ports (`visualpriors`).
      sha256: digest of the port's file TORCH_NAME_encoder-SHA256.pth, which carries it in its name.
      channels: "rgb", or "lab_l" for colorization.
      low_saturation: whether pixels are clipped to [.1, .9].
      hole: whether the middle is blanked.
    """

    name: str
    torch_name: str
    sha256: str
    channels: Literal["rgb", "lab_l"] = "rgb"
    low_saturation: bool = True
    hole: bool = False

    @property
    def model(self) -> str:
        """The name of its encoder."""
        return f"taskonomy/{self.name}"

    @property
    def channels_in(self) -> int:
        """Channels that the encoder takes."""
        return 1 if self.channels == "lab_l" else 3

    def input(self, size: int = 256) -> InputSpec:
        """Preprocessing; `size` other than 256 is for tests and quick looks."""
        return dataclasses.replace(
            TaskonomyConfig(channels_in=self.channels_in).input,
            size=(size, size),
            clip=(0.1, 0.9) if self.low_saturation else None,
            hole=(size // 2, size // 2) if self.hole else None,
        )

    def check(self, tensors: Mapping[str, np.ndarray], sha256: str | None, source: str) -> None:
        """Refuses another task's encoder where that can be told.

        Args:
          tensors: a file's tensors.
          sha256: its digest; None for a checkpoint, which is several files.
          source: what a message calls it.

        Raises:
          DeparaError: it is the published file of another task, or takes another number of input
            channels (1 for colorization, 3 for all others).
        """
        published = next((task for task in _TASKS if task.sha256 == sha256), self)
        if published.name != self.name:
            raise DeparaError(
                f"{source} is the published encoder of {published.name!r} "
                f"({published.torch_name} in the ports), not of {self.name!r}"
            )
        for name, axis in _FIRST_KERNELS.items():
            if name in tensors and tensors[name].ndim == 4:
                found, kinds = tensors[name].shape[axis], {1: "colorization", 3: "any other task"}
                if found != self.channels_in:
                    raise DeparaError(
                        f"{source} holds another task's encoder: its first convolution takes "
                        f"{found} input channels ({kinds.get(found, 'no Taskonomy task')}), but "
                        f"{self.channels_in} are expected here ({kinds[self.channels_in]}; "
                        "colorization alone sees one channel, the lightness)"
                    )


# Where the first convolution's input channels are, under each naming.
_FIRST_KERNELS = {
    "conv1.weight": 1,
    "encoder/conv1/weights": 2,
    "feedforward/encoder/conv1/weights": 2,
}
# In the order of both papers' 20x20 matrices: Taskonomy's name, the ports' name, the digest of the
# port's encoder. Names and digests: the list of weight files in `visualpriors` 0.3.5 (PyPI).
_PORTS = """
autoencoder      autoencoding     e35146c09253720e97c0a7f8ee4e896ac931f5faa1449df003d81e6089ac6307
curvature        curvature        3767cf5d06d9c6bca859631eb5a3c368d66abeb15542171b94188ffbe47d7571
denoise          denoising        b64cab95af4a2c565066a7e8effaf37d6586c3b9389b47fff9376478d849db38
edge2d           edge_texture     be2d686a6a4dfebe968d16146a17176eba37e29f736d5cd9a714317c93718810
edge3d           edge_occlusion   5ac3f3e918131f61e01fe95e49f462ae2fc56aa463f8d353ca84cd4e248b9c08
keypoint2d       keypoints2d      6b77695acff4c84091c484a7b128a1e28a7e9c36243eda278598f582cf667fe0
keypoint3d       keypoints3d      7e3f1ec97b82ae30030b7ea4fec2dc606b71497d8c0335d05f0be3dc909d000d
colorization     colorization     5ed817acdd28d13e443d98ad15ebe1c3059a3252396a2dff6a2090f6f86616a5
reshade          reshading        de456246e171dc8407fb2951539aa60d75925ae0f1dbb43f110b7768398b36a6
rgb2depth        depth_zbuffer    cc343a8ed622fd7ee3ce54398be8682bbbbfb5d11fa80e8d03a56a5ae4e11b09
rgb2mist         depth_euclidean  88f18d41313de7dbc88314a7f0feec3023047303d94d73eb8622dc40334ef149
rgb2sfnorm       normal           f5e2c7737e4948e3b2a822f584892c342eaabbe66661576ba50db7cdd40561c5
room_layout      room_layout      1e1662f43b834261464b1825227a04efba59b50cc8883bee9adc3ddafd4796c1
segment25d       segment_unsup25d 7d12d2500c18c003ffc23943214f5dfd74932f0e3d03dde2c3a81ebc406e31a0
segment2d        segment_unsup2d  b679053a920e8bcabf0cd454606098ae85341e054080f2be29473971d4265964
vanishing_point  vanishing_point  afd2ae9b71d46a54efc5231b3e38ebc3e35bfab78cb0a78d9b75863a240b19a8
segmentsemantic  segment_semantic bb3007244520fc89cd111e099744a22b1e5c98cd83ed3f116fbff6376d220127
class_1000       class_object     4a4e42dad58066039a0d2f9d128bb32e93a7e4aa52edb2d2a07bcdd1a6536c18
class_places     class_scene      ad85764467cddafd98211313ceddebb98adf2a6bee2cedfe0b922a37ae65eaf8
inpainting_whole inpainting       bf96fbaaea9268a820a19a1d13dbf6af31798f8983c6d9203c00fab2d236a142
"""
_FULL_RANGE = (
    "colorization", "vanishing_point", "segmentsemantic", "class_1000", "class_places",
    "inpainting_whole",
)  # fmt: skip
_TASKS = tuple(
    Task(
        name,
        torch_name,
        sha256,
        channels="lab_l" if name == "colorization" else "rgb",
        low_saturation=name not in _FULL_RANGE,
        hole=name == "inpainting_whole",
    )
    for name, torch_name, sha256 in (line.split() for line in _PORTS.strip().splitlines())
)
TASKS: MappingProxyType[str, Task] = MappingProxyType({task.name: task for task in _TASKS})
