from .build import (
    add_to_index as add_to_index,
)
from .build import (
    build_index as build_index,
)
from .build import (
    store_entries as store_entries,
)
from .file import Index as Index
from .file import IndexHeader as IndexHeader
from .projection import Projection as Projection
from .projection import standard_error as standard_error
from .query import Match as Match
from .query import query_index as query_index
