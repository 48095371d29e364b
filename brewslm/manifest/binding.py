"""Which adapter serves which source: the first rule that holds, never a guess between two."""

from brewslm.diagnostics import Finding, FindingCode, Severity
from brewslm.manifest.schema import Sections
from brewslm.manifest.yaml_file import YamlFile
from brewslm.registry import closest
from brewslm.rows.mapper import DEFAULT_MAPPER_ID
from brewslm.stages.adapter import AdapterSpec
from brewslm.stages.data_source import DataSourceSpec


def bind_adapters(
    sections: Sections, source_file: YamlFile
) -> tuple[dict[str, str | None], list[Finding]]:
    """Return `{source name: adapter name or None}` and what is wrong with it.

    First match wins: the source's own `adapter`; an active adapter whose source_ref names the
    source; the only active adapter of the source's role; else introspection (None).
    """
    findings: list[Finding] = []
    bound: dict[str, str | None] = {}
    names = [adapter.name for adapter in sections.adapters]
    for index, source in enumerate(sections.data_sources):
        path = ("spec", "data_sources", index)
        if source.adapter is not None:
            bound[source.name] = source.adapter
            if source.adapter not in names and source.adapter != DEFAULT_MAPPER_ID:
                near = closest(source.adapter, names)
                findings.append(
                    Finding(
                        code=FindingCode.UNKNOWN_ADAPTER,
                        severity=Severity.ERROR,
                        message=f'there is no adapter "{source.adapter}"',
                        actionable_fix=f"write adapter: {near[0]}"
                        if near
                        else "delete the line, or add an adapter of that name",
                        field=f"spec.data_sources[{index}].adapter",
                        place=source_file.place((*path, "adapter")),
                        found=source.adapter,
                        expected=", ".join(names) or "an entry of spec.adapters",
                        suggestions=near,
                    )
                )
            elif source.adapter == DEFAULT_MAPPER_ID and source.adapter not in names:
                bound[source.name] = None
            continue
        candidates = _candidates(source, sections.adapters)
        if len(candidates) > 1:
            shown = ", ".join(candidates)
            findings.append(
                Finding(
                    code=FindingCode.ADAPTER_BINDING_AMBIGUOUS,
                    severity=Severity.ERROR,
                    message=f'several adapters fit the source "{source.name}"',
                    actionable_fix=f"write adapter: {candidates[0]} at the source",
                    field=f"spec.data_sources[{index}]",
                    place=source_file.place(path),
                    found=shown,
                    expected="one adapter",
                    suggestions=tuple(candidates),
                )
            )
        bound[source.name] = candidates[0] if candidates else None
    for index, adapter in enumerate(sections.adapters):
        if adapter.name not in bound.values():
            findings.append(
                Finding(
                    code=FindingCode.ADAPTER_UNUSED,
                    severity=Severity.INFO,
                    message=f'the adapter "{adapter.name}" serves no source',
                    actionable_fix="bind it at a source, or delete it",
                    field=f"spec.adapters[{index}]",
                    place=source_file.place(("spec", "adapters", index)),
                )
            )
    return bound, findings


def _candidates(source: DataSourceSpec, adapters: tuple[AdapterSpec, ...]) -> list[str]:
    active = [adapter for adapter in adapters if adapter.status == "active"]
    named = [adapter.name for adapter in active if adapter.source_ref == source.name]
    if named:
        return named
    return [
        adapter.name
        for adapter in active
        if adapter.source_ref is None and adapter.source_type == source.type
    ]
