from .photographs import Patches as Patches
from .photographs import patches as patches
from .probes import Probe as Probe
from .probes import ProbeSpec as ProbeSpec
from .probes import load_probe as load_probe
