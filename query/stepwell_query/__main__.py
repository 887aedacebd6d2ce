"""Run the query service: `python -m stepwell_query`."""

from stepwell_query.service import serve
from stepwell_query.settings import QuerySettings
from stepwell_schemas.logs import configure_logging
from stepwell_schemas.settings import LogSettings

settings = QuerySettings()
configure_logging(settings.query_log_level or LogSettings().log_level)
serve(settings)
