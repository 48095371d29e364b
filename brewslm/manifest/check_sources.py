"""Checks of data sources: where their rows lie, and whether they can be read from there."""

import re
import unicodedata
from collections.abc import Iterator

from brewslm.diagnostics import Finding, FindingCode, Severity
from brewslm.files import PathError, check_relative
from brewslm.manifest.schema import ManifestFile
from brewslm.manifest.speaker import Say
from brewslm.manifest.yaml_file import Path as YamlPath
from brewslm.registry import closest
from brewslm.rows.source import find_source, local_schemes
from brewslm.stages.data_source import scheme_of

_DELIMITER = re.compile(r"[!#-~\t ]")


def check_sources(file: ManifestFile, say: Say) -> Iterator[Finding]:
    """Yield what is wrong with where the rows of each source lie."""
    yield from _merging_paths(file, say)
    for index, item in enumerate(file.spec.data_sources):
        path: YamlPath = ("spec", "data_sources", index)
        if item.locator is not None and item.file_path is not None:
            yield say(
                FindingCode.LOCATOR_CONFLICT,
                (*path, "locator"),
                "locator and file_path both say where the rows are",
                "keep locator",
            )
        elif item.delimiter is not None and not _DELIMITER.fullmatch(item.delimiter):
            yield say(
                FindingCode.INVALID_VALUE,
                (*path, "delimiter"),
                "the delimiter is not a single ASCII character",
                'write one character, such as ";" or "\\t"',
                ascii(item.delimiter[:20]),
                "one ASCII character that is no quote and no line end",
            )
        elif item.delimiter is not None and not _has_delimiter(scheme_of(item)):
            yield say(
                FindingCode.FIELD_UNUSED,
                (*path, "delimiter"),
                "only csv and tsv files have cells that a delimiter separates",
                "remove delimiter, or name a .csv or .tsv file",
                item.delimiter,
                severity=Severity.ERROR,
            )
        elif item.locator is not None:
            yield from _locator(item.locator, (*path, "locator"), say, sha256=item.sha256)
        elif item.file_path is not None:
            yield from check_path(item.file_path, (*path, "file_path"), say)
        else:
            yield say(
                FindingCode.SOURCE_LOCATOR_MISSING,
                path,
                "the source names no rows",
                "add locator: jsonl:data/FILE.jsonl",
            )


def _has_delimiter(scheme: str) -> bool:
    source = find_source(scheme)
    return source is not None and source.read_delimited is not None


def _locator(locator: str, path: YamlPath, say: Say, *, sha256: str | None) -> Iterator[Finding]:
    scheme, _, rest = locator.partition(":")
    source = find_source(scheme)
    if scheme == "file" and (outside := list(check_path(rest, path, say))):
        yield from outside
    elif source is None or ":" not in locator:
        near = closest(scheme, local_schemes()) if ":" in locator else ()
        example = f"{near[0]}:{rest}" if near else "jsonl:data/FILE.jsonl"
        yield say(
            FindingCode.LOCATOR_FORM,
            path,
            f'invalid locator "{locator}"',
            f"write locator: {example}",
            locator,
            "one of " + ", ".join(f"{name}:" for name in local_schemes()),
            suggestions=near,
        )
    elif source.remote is None:
        yield from check_path(rest, path, say)
    elif unpinned := source.remote.find_unpinned(rest, sha256):
        yield say(
            unpinned.code, path, unpinned.message, unpinned.remedy, severity=unpinned.severity
        )


def check_path(text: str, path: YamlPath, say: Say) -> Iterator[Finding]:
    """Yield what is wrong with a path that must lead to a file of the project."""
    try:
        check_relative(text)
    except PathError as error:
        yield say(
            FindingCode.PATH_OUTSIDE_PROJECT,
            path,
            error.message,
            error.remedy,
            error.found,
            error.expected,
        )


def _merging_paths(file: ManifestFile, say: Say) -> Iterator[Finding]:
    """Yield a warning for each path that other file systems take for an earlier one."""
    seen: dict[str, str] = {}
    for index, item in enumerate(file.spec.data_sources):
        written = item.locator.partition(":")[2] if item.locator else item.file_path
        if not written:
            continue
        first = seen.setdefault(unicodedata.normalize("NFC", written).casefold(), written)
        if first != written:
            yield say(
                FindingCode.PATH_NOT_PORTABLE,
                ("spec", "data_sources", index, "locator" if item.locator else "file_path"),
                "two paths differ only by case or by how letters are composed, and other file "
                "systems take them for one",
                "rename one of the two files",
                f"{first!a} and {written!a}",
                severity=Severity.WARNING,
            )
