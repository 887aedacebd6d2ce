"""Functions, table functions and formats that SQL of users may use.

ClickHouse lists its functions by category (`system.functions`). Functions of the categories below depend on their
arguments only. Functions of other categories, such as new ones of a later version, and user-defined functions are
rejected unless they are listed here. A second list applies to servers that report no categories.
"""

from __future__ import annotations

import re
from typing import Final

PURE_CATEGORIES: Final = frozenset(
    {
        *("Aggregate Functions", "Arithmetic", "Arrays", "Bit", "Bitmap", "Comparison", "Conditional"),
        *("Dates and Times", "Distance", "Encoding", "Encryption", "Financial", "Geo", "Geo Polygon", "Hash"),
        *("IP Address", "JSON", "Logical", "Map", "Mathematical", "Null", "NumericIndexedVector", "QBit"),
        *("Random Number", "Rounding", "String", "String Replacement", "String Search", "String Splitting"),
        *("Time Series", "Time Window", "Tuple", "Type Conversion", "URL", "UUID"),
    }
)

HARMLESS: Final = frozenset(
    {
        *("authenticateduser", "bar", "blocknumber", "blockserializedsize", "blocksize", "bytesize", "countdigits"),
        *("currentdatabase", "currentqueryid", "currentschemas", "currentuser", "connectionid"),
        *("currentprofiles", "defaultprofiles", "enabledprofiles", "currentroles", "defaultroles", "enabledroles"),
        *("coloroklabtosrgb", "coloroklchtosrgb", "colorsrgbtooklab", "colorsrgbtooklch"),
        *("defaultvalueofargumenttype", "defaultvalueoftypename", "digits", "dumpcolumnstructure", "errorcodetoname"),
        *("finalizeaggregation", "flipcoordinates", "formatreadabledecimalsize", "formatreadablequantity"),
        *("formatreadablesize", "formatreadabletimedelta", "getsizeofenumtype", "getsubcolumn", "globalvariable"),
        *("gettypeserializationstreams", "icebergbucket", "icebergtruncate", "identity", "ignore", "indexhint"),
        *("initializeaggregation", "initialqueryid", "initialquerystarttime", "isconstant", "isdecimaloverflow"),
        *("formatquery", "formatqueryornull", "formatquerysingleline", "formatquerysinglelineornull"),
        *("highlightquery", "normalizequery", "normalizequerykeepnames", "normalizedqueryhash", "tokenizequery"),
        *("normalizedqueryhashkeepnames", "obfuscatequery", "obfuscatequerywithseed", "parsequerytojson"),
        *("lowcardinalityindices", "lowcardinalitykeys", "macnumtostring", "macstringtonum", "macstringtooui"),
        *("materialize", "minsamplesizecontinuous", "minsamplesizeconversion", "neighbor", "nested"),
        *("parseiso8601duration", "parsereadablesize", "parsereadablesizeornull", "parsereadablesizeorzero"),
        *("parsetimedelta", "partitionid", "pggetuserbyid", "pgtableisvisible", "queryid", "revision"),
        *("rownumberinallblocks", "rownumberinblock", "runningaccumulate", "runningconcurrency"),
        *("runningdifference", "runningdifferencestartingwithfirstvalue", "shardcount", "shardnum", "throwif"),
        *("tocolumntypename", "totypename", "transform", "uptime", "variantelement", "varianttype", "version"),
        *("visiblewidth", "structuretocapnprotoschema", "structuretoprotobufschema", "generaterandomstructure"),
        *("casewithexpr", "casewithexpression", "casewithoutexpr", "casewithoutexpression", "evalmlmethod", "_cast"),
        *("stochasticlinearregression", "stochasticlogisticregression", "hierarchicalkmeans"),
    }
)
"""Functions of other categories that access only their arguments and the query itself (in lower case)."""

REACHING_OUT: Final = re.compile(
    r"file|filesystem\w*|joinget\w*|dict\w+|hascolumnintable|getmacro|get\w*setting\w*|getserverport|getclienthttpheader"
    r"|hostname|fullhostname|fqdn|tcpport|serveruuid|displayname|showcertificate|sleep\w*|catboostevaluate|ai[a-z]+"
    r"|addressto\w+|demangle|zookeeper\w*|transaction\w+|currentrequesturl|currenthandler|buildid|trap|eval(?!mlmethod)\w*"
    r"|region[a-z]+|naivebayesclassifier\w*|assigncentroid|generateserialid|fuzzquery|formatqueryfromjson|getoskernel\w*"
    r"|hasthreadfuzzer|getmaxtablenamelength\w*|logtrace|tid|mergetreepartinfo|ismergetreepartcoveredby|flamegraph"
)
"""Functions that access files, other tables, other machines or the state of the server, or that only wait."""

ASKED_BY_TOOLS: Final = re.compile(r"hostname|fullhostname|fqdn|displayname|serveruuid|getsetting|getsettingordefault")
"""Functions among these that tools call when they connect; they disclose nothing else to a guest."""

TABLE_FUNCTIONS: Final = frozenset(
    {"numbers", "numbers_mt", "zeros", "zeros_mt", "generateseries", "generate_series", "values", "null"}
    | {"sqlstandardvalues"}
)
"""Table functions that access no data (in lower case); all others are rejected."""

PLAIN_FORMATS: Final = frozenset(
    {
        *("TabSeparated", "TabSeparatedRaw", "TabSeparatedWithNames", "TabSeparatedWithNamesAndTypes"),
        *("TabSeparatedRawWithNames", "TabSeparatedRawWithNamesAndTypes", "TSV", "TSVRaw", "TSVWithNames"),
        *("TSVWithNamesAndTypes", "TSVRawWithNames", "TSVRawWithNamesAndTypes", "TSKV", "Raw", "RawBLOB"),
        *("LineAsString", "CSV", "CSVWithNames", "CSVWithNamesAndTypes", "Values", "Vertical", "Markdown", "Null"),
        *("JSON", "JSONStrings", "JSONCompact", "JSONCompactStrings", "JSONColumns", "JSONCompactColumns"),
        *("JSONColumnsWithMetadata", "JSONEachRow", "JSONLines", "JSONL", "NDJSON", "JSONStringsEachRow"),
        *("JSONCompactEachRow", "JSONCompactEachRowWithNames", "JSONCompactEachRowWithNamesAndTypes"),
        *("JSONCompactStringsEachRow", "JSONCompactStringsEachRowWithNames", "JSONObjectEachRow"),
        *("JSONCompactStringsEachRowWithNamesAndTypes", "JSONEachRowWithProgress"),
        *("Pretty", "PrettyCompact", "PrettyCompactMonoBlock", "PrettySpace", "PrettyNoEscapes"),
        *("PrettyCompactNoEscapes", "PrettyMonoBlock", "PrettySpaceNoEscapes"),
        *("Arrow", "ArrowStream", "Parquet", "ORC", "Avro", "Native", "RowBinary", "RowBinaryWithNames"),
        *("RowBinaryWithNamesAndTypes", "MsgPack", "Npy", "BSONEachRow", "Buffers"),
    }
)
"""Formats without a schema, template or registry, allowed for answers and as arguments of functions."""

COUNTING_FORMATS: Final = frozenset({"JSONEachRowWithProgress"})
"""Those that also report how many rows were read, among them rows that filters left out."""

FORMAT_FUNCTIONS: Final = frozenset({"formatrow", "formatrownonewline"})
"""Functions whose first argument names a format."""

NAMING_FUNCTIONS: Final = frozenset({"arrayreduce", "arrayreduceinranges", "initializeaggregation"})
"""Functions whose first argument names an aggregate function."""


def _listed(names: frozenset[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names))


FORBIDDEN_NAMES_SQL: Final = f"""
SELECT lower(name) AS name FROM system.table_functions WHERE lower(name) NOT IN ({_listed(TABLE_FUNCTIONS)})
UNION ALL
SELECT lower(f.name) AS name FROM system.functions AS f
LEFT ANY JOIN (SELECT name, categories FROM system.functions WHERE alias_to = '') AS target
    ON lower(target.name) = lower(f.alias_to)
WHERE f.origin != 'System'
    OR (if(f.alias_to = '', f.categories, target.categories) NOT IN ('', {_listed(PURE_CATEGORIES)})
        AND lower(if(f.alias_to = '', f.name, f.alias_to)) NOT IN ({_listed(HARMLESS)}))
"""  # noqa: S608 - of the names above
"""Lists the names of the server's functions that are not allowed, in lower case."""
