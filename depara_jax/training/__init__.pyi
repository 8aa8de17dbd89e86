from .checkpoints import (
    RunFolder as RunFolder,
)
from .checkpoints import (
    load_values as load_values,
)
from .checkpoints import (
    save_values as save_values,
)
from .config import (
    PAPER_SCRATCH as PAPER_SCRATCH,
)
from .config import (
    PAPER_TRANSFER as PAPER_TRANSFER,
)
from .config import (
    TrainConfig as TrainConfig,
)
from .cut import Parts as Parts
from .cut import cut_network as cut_network
from .examples import (
    Examples as Examples,
)
from .examples import (
    folder_examples as folder_examples,
)
from .examples import (
    tfds_examples as tfds_examples,
)
from .loop import Trained as Trained
from .loop import accuracy as accuracy
from .loop import fit as fit
from .loop import predict as predict
from .networks import (
    encoder_network as encoder_network,
)
from .networks import (
    network_of as network_of,
)
from .networks import (
    vgg_network as vgg_network,
)
from .prepare import (
    CachedFeatures as CachedFeatures,
)
from .prepare import (
    ChosenView as ChosenView,
)
from .prepare import (
    Images as Images,
)
from .prepare import (
    cached_features as cached_features,
)
from .splits import (
    PAPER_SPLIT as PAPER_SPLIT,
)
from .splits import (
    Split as Split,
)
from .splits import (
    make_split as make_split,
)
from .splits import (
    read_manifest as read_manifest,
)
from .splits import (
    subset as subset,
)
from .splits import (
    write_manifest as write_manifest,
)
from .units import Network as Network
from .units import flat_values as flat_values
from .units import nested_values as nested_values
