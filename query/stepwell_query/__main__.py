"""`python -m stepwell_query`: the query service alone."""

from stepwell_query.service import serve
from stepwell_query.settings import QuerySettings

serve(QuerySettings())
