"""How checks report: a finding about a path of the manifest, with its position."""

from collections.abc import Callable

from brewslm.diagnostics import Finding, FindingCode, Severity
from brewslm.manifest.yaml_file import Path as YamlPath
from brewslm.manifest.yaml_file import YamlFile, dotted

Say = Callable[..., Finding]


def speaker(source: YamlFile) -> Say:
    """Return the function that makes a finding of a path, with its position in the file."""

    def say(
        code: FindingCode,
        path: YamlPath,
        message: str,
        fix: str,
        found: str = "",
        expected: str = "",
        severity: Severity = Severity.ERROR,
        suggestions: tuple[str, ...] = (),
    ) -> Finding:
        return Finding(
            code=code,
            severity=severity,
            message=message,
            actionable_fix=fix,
            field=dotted(path),
            place=source.place(path),
            found=found,
            expected=expected,
            suggestions=suggestions,
        )

    return say


def unread(keys: tuple[str, ...], path: YamlPath, say: Say) -> Finding:
    """Return the finding that names keys of an open map."""
    return say(
        FindingCode.OPEN_KEY_UNREAD,
        path,
        "nothing reads these keys: " + ", ".join(sorted(keys)),
        "nothing, or use a typed field",
        severity=Severity.INFO,
    )
