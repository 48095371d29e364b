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
from brewslm.stages.data_source import scheme_of

_DELIMITED = ("csv", "tsv")
_DELIMITER = re.compile(r"[!#-~\t ]")
_LOCAL_SCHEMES = ("jsonl", "json", "csv", "tsv", "parquet")
_OTHER_SCHEMES = ("hf", "https", "kaggle")


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
        elif item.delimiter is not None and scheme_of(item) not in _DELIMITED:
            yield say(
                FindingCode.FIELD_UNUSED,
                (*path, "delimiter"),
                "only csv and tsv files have cells that a delimiter separates",
                "remove delimiter, or name a .csv or .tsv file",
                item.delimiter,
                severity=Severity.ERROR,
            )
        elif item.locator is not None:
            yield from _locator(item.locator, (*path, "locator"), say, has_digest=bool(item.sha256))
        elif item.file_path is not None:
            yield from check_path(item.file_path, (*path, "file_path"), say)
        else:
            yield say(
                FindingCode.SOURCE_LOCATOR_MISSING,
                path,
                "the source names no rows",
                "add locator: jsonl:data/FILE.jsonl",
            )


def _locator(locator: str, path: YamlPath, say: Say, *, has_digest: bool) -> Iterator[Finding]:
    scheme, colon, rest = locator.partition(":")
    if locator.startswith("https:"):
        if not has_digest:
            yield say(
                FindingCode.HTTPS_SOURCE_UNPINNED,
                path,
                "a source over https needs the digest of its bytes",
                "add sha256: DIGEST",
            )
        return
    if scheme == "file" and (outside := list(check_path(rest, path, say))):
        yield from outside
        return
    if not colon or scheme not in (*_LOCAL_SCHEMES, *_OTHER_SCHEMES):
        near = closest(scheme, _LOCAL_SCHEMES) if colon else ()
        file = rest if near else "data/FILE.jsonl"
        yield say(
            FindingCode.LOCATOR_FORM,
            path,
            f'invalid locator "{locator}"',
            f"write locator: {near[0] if near else 'jsonl'}:{file}",
            locator,
            "one of " + ", ".join(f"{name}:" for name in _LOCAL_SCHEMES),
            suggestions=near,
        )
        return
    if scheme in _LOCAL_SCHEMES:
        yield from check_path(rest, path, say)
    elif scheme == "hf" and rest.count(":") < 2:
        yield say(
            FindingCode.HF_SOURCE_UNPINNED,
            path,
            "a Hub data set without a commit",
            "write hf:ID:SPLIT:COMMIT",
            severity=Severity.WARNING,
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
