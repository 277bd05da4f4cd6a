"""Configuration of a protocol's table: a protocol, a folder of data sets, and what is trained and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from mfas.benchmark.bench_config import BenchConfig, MethodPlan, TrainingPlan
from mfas.config import Config, parse, read_yaml
from mfas.data.protocol import Case, Protocol, load_protocol
from mfas.errors import ConfigError


class ProtocolRunConfig(Config):
    """Configuration of `mfas benchmark --data-root`; see `docs/protocols.md`."""

    protocol: str = Field(description="name of a protocol of the package, or a YAML file")
    data_root: Path
    roots: dict[str, Path] = Field(default_factory=dict, description="folder of a set, where it is not below data_root")
    out: Path = Path("runs/protocol")
    cases: tuple[str, ...] = Field((), description="empty = all of the protocol")
    imports: dict[str, Any] = Field(default_factory=dict, description="keys of `mfas data import`, for every set")
    models: dict[str, dict[str, Any]] = Field({"mfas_danet": {}}, min_length=1)
    training: TrainingPlan = TrainingPlan()
    methods: dict[str, MethodPlan] = Field(default_factory=dict, description="empty = source and mfas_danet")
    stream: dict[str, Any] = Field(default_factory=dict, description="stream recipe; by default the whole train list")
    seeds: tuple[int, ...] = Field((0,), min_length=1, description="of the streams")
    workers: int = Field(1, ge=1, le=64)

    @classmethod
    def resolve_file(
        cls, file: Path | None, overrides: Sequence[str], given: Mapping[str, Any]
    ) -> tuple[ProtocolRunConfig, Protocol]:
        """The configuration and its protocol, from a protocol (``protocols/mmdg_p1.yaml``) or a file that names one.

        A protocol's own file needs no other configuration; a file with the key ``protocol`` may hold every key.
        """
        if file is None:
            raise ConfigError("expected --config with a protocol, such as protocols/mmdg_p1.yaml, got none")
        named = file.is_file() and "protocol" in read_yaml(file)
        base = {} if named else {"protocol": str(file)}
        config = cls.resolve(file if named else None, overrides, {**base, **given})
        protocol = load_protocol(config.protocol)
        for case in config.cases:
            if case not in protocol.cases:
                raise ConfigError(f"expected cases out of {', '.join(protocol.cases)}, got '{case}'")
        return config, protocol

    def chosen(self, protocol: Protocol) -> dict[str, Case]:
        """The cases that are run."""
        return {name: case for name, case in protocol.cases.items() if not self.cases or name in self.cases}

    def bench(
        self, name: str, protocol: Protocol, manifests: Mapping[str, Path], target: str, whole: Mapping[str, Any]
    ) -> BenchConfig:
        """One case as a benchmark: sources and target by name, with their manifests.

        ``whole`` are recipe keys that draw all there is; ``stream`` is laid over them.
        """
        sources = protocol.cases[name].sources
        methods: dict[str, Any] = dict(self.methods) or {"source": {}, "mfas_danet": {}}
        values = {
            "out": self.out / "cases" / name,
            "manifests": {site: manifests[site] for site in (*sources, target)},
            "targets": (target,),
            "sources": sources,
            "models": self.models,
            "training": self.training,
            "methods": methods,
            "missing": protocol.missing,
            "streams": {"balanced": {**whole, **self.stream}},
            "seeds": self.seeds,
            "workers": self.workers,
            "cost_captures": 0,
            "draws": 100,  # intervals and differences are not shown here
        }
        return parse(BenchConfig, values, f"case {name}")
