"""Compiles the modules that pyproject.toml names to C, for a wheel of one Python and machine.

A build hook (https://hatch.pypa.io/latest/plugins/build-hook/custom/) that runs mypyc
(https://mypyc.readthedocs.io). It is off unless HATCH_BUILD_HOOK_ENABLE_CUSTOM is set, as it takes
a C compiler and a minute; `make compile` does so. Everything is made outside the source tree: a
library beside a module would be used instead of it long after the module has changed.
"""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory

# Before mypyc, which wants to find it loaded.
from setuptools import Distribution

# isort: split
from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from mypyc.build import mypycify


class CompiledModules(BuildHookInterface[BuilderConfig]):
    """Adds a library for each of `modules` to the wheel, and one that holds all their code."""

    def initialize(self, version: str, build_data: dict[str, object]) -> None:
        """Compile, unless the install is editable: then what is edited is what runs."""
        if version == "editable":
            return
        self._folder = TemporaryDirectory(prefix="relay-compile-")
        made = Path(self._folder.name)
        # Modules are called by their path from here.
        os.chdir(self.root)
        extensions = mypycify(
            [
                "--config-file=pyproject.toml",
                f"--cache-dir={made / 'cache'}",
                *self.config["modules"],
            ],
            opt_level="3",
            group_name="relay",
            target_dir=str(made / "c"),
        )
        libraries = made / "lib"
        command = Distribution({"ext_modules": extensions}).get_command_obj("build_ext")
        command.build_lib, command.build_temp = str(libraries), str(made / "o")
        command.ensure_finalized()
        command.run()
        included = build_data["force_include"]
        for library in libraries.rglob(f"*{sysconfig.get_config_var('EXT_SUFFIX')}"):
            included[str(library)] = str(library.relative_to(libraries))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, object], artifact_path: str) -> None:  # noqa: ARG002 - hatchling's
        """The wheel is written: leave nothing."""
        if version != "editable":
            self._folder.cleanup()
