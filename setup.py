"""Build of the package: folders mapped to names, and the C++ extension with instruction-set flags per file."""

import os
import platform
import sys
from pathlib import Path

import pybind11
from pybind11.setup_helpers import ParallelCompile, Pybind11Extension
from setuptools import find_packages, setup
from setuptools.command.build_ext import build_ext

X86 = platform.machine() in ("x86_64", "AMD64")

# A file's suffix names the instruction set it may use; every other file is built at the ABI floor.
ISA_FLAGS = {
    "_avx2": ["-mavx2", "-mfma", "-mf16c", "-mbmi2", "-DHEADRACE_SIMD_AVX2=1"],
    "_avx512": [
        *("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma", "-mf16c", "-mbmi2"),
        *("-mprefer-vector-width=512", "-DHEADRACE_SIMD_AVX512=1"),
        # GCC 12 warns about its own header in wide masked intrinsics.
        *("-Wno-maybe-uninitialized", "-Wno-uninitialized"),
    ],
    "_avxvnni": ["-mavx2", "-mfma", "-mavxvnni"],
    "_avx512vnni": ["-mavx512f", "-mavx512vnni", "-mprefer-vector-width=512"],
    "_avx512bf16": ["-mavx512f", "-mavx512bw", "-mavx512bf16", "-mprefer-vector-width=512"],
    "_amx": [
        *("-mavx512f", "-mavx512bw", "-mavx512bf16", "-mprefer-vector-width=512"),
        *("-mamx-tile", "-mamx-int8", "-mamx-bf16"),
    ],
}
COMMON_FLAGS = ["-O3", "-std=c++20", "-fvisibility=hidden", "-Wall", "-Wextra", "-ffp-contract=off"]


def isa_of(source: str) -> str | None:
    return next((suffix for suffix in ISA_FLAGS if Path(source).stem.endswith(suffix)), None)


def sources() -> list[str]:
    files = sorted(str(p) for folder in ("cpp", "bindings") for p in Path(folder).rglob("*.cpp"))
    return [f for f in files if X86 or isa_of(f) is None]


def up_to_date(obj: str, depfile: str) -> bool:
    """True when `obj` is newer than this file and everything the compiler read to make it.

    pybind11's own headers come and go with pip's environment; their version is in the folder's name.
    """
    if not (os.path.exists(obj) and os.path.exists(depfile)):
        return False
    made = os.path.getmtime(obj)
    read = Path(depfile).read_text().replace("\\\n", " ").split(":", 1)[1].split()
    ours = [__file__, *(f for f in read if "pybind11" not in f)]
    return all(os.path.exists(f) and os.path.getmtime(f) <= made for f in ours)


class BuildExt(build_ext):
    def build_extensions(self) -> None:
        # An editable install is made again for every new Python file, each time in a folder of its own otherwise.
        if self.editable_mode:
            self.build_temp = f"build/objects-{sys.implementation.cache_tag}-pybind11-{pybind11.__version__}"
        compiler = self.compiler
        compile_one = compiler._compile

        def compile_with_isa(obj, src, ext, cc_args, extra, pp_opts):  # type: ignore[no-untyped-def]
            depfile = str(Path(obj).with_suffix(".d"))
            if up_to_date(obj, depfile):
                return
            flags = ISA_FLAGS.get(isa_of(src) or "", [])
            compile_one(obj, src, ext, cc_args, [*extra, *flags, "-MMD", "-MF", depfile], pp_opts)

        compiler._compile = compile_with_isa
        super().build_extensions()


ParallelCompile("HEADRACE_BUILD_JOBS", default=0).install()

setup(
    package_dir={"headrace": "engine", "headrace.kernels": "kernels", "headrace.benchmarks": "benchmarks"},
    packages=[
        "headrace",
        *(f"headrace.{p}" for p in find_packages("engine")),
        "headrace.kernels",
        *(f"headrace.kernels.{p}" for p in find_packages("kernels")),
        "headrace.benchmarks",
        *(f"headrace.benchmarks.{p}" for p in find_packages("benchmarks")),
    ],
    package_data={
        "headrace": ["py.typed", "_C.pyi", "report/*.html", "report/*.css"],
        "headrace.kernels": ["py.typed"],
    },
    ext_modules=[
        Pybind11Extension(
            "headrace._C",
            sources(),
            include_dirs=["cpp"],
            depends=sorted(str(p) for p in Path("cpp").rglob("*.h")),
            define_macros=[("HEADRACE_X86", str(int(X86)))],
            extra_compile_args=COMMON_FLAGS,
            extra_link_args=["-pthread"],
            cxx_std=20,
        )
    ],
    cmdclass={"build_ext": BuildExt},
    # The strict layout is a real folder of links, which type checkers can read.
    options={"editable_wheel": {"mode": "strict"}},
    zip_safe=False,
)
