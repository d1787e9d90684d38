"""Copies the kernel headers that BCC and the eBPF program can reach by `#include` into one tree; prints their number.

    python3 prune_headers.py ARCHITECTURE_TREE COMMON_TREE PROGRAM_FOLDER TARGET

Debian splits a header set in two trees; BCC wants one (BCC_KERNEL_SOURCE). Conditions around an `#include` are not
evaluated: the result is what any configuration could reach, about 200 files of 20,000.
"""

import re
import shutil
import sys
from pathlib import Path

INCLUDE = re.compile(rb'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
# Headers that BCC itself includes before a program (src/cc/export/helpers.h, src/cc/frontends/clang/kbuild_helper.cc),
# and the file by which it recognizes a header tree (loader.cc).
BCC = (
    "linux/kconfig.h",
    "uapi/linux/bpf.h",
    "uapi/linux/if_ether.h",
    "uapi/linux/if_packet.h",
    "uapi/linux/ptrace.h",
    "linux/bpf_common.h",
    "linux/log2.h",
    "linux/types.h",
    "linux/version.h",
    "asm/page.h",
)
BELOW = ("include", "include/uapi", "include/generated/uapi")


def includes(file: Path) -> list[tuple[bytes, str]]:
    """`(quote, name)` of every include directive of a file."""
    return [(quote, name.decode()) for quote, name in INCLUDE.findall(file.read_bytes())]


def search_folders(trees: list[Path]) -> list[Path]:
    """Where the kernel's own build looks for headers, for the one architecture whose generated headers are here."""
    (architecture,) = {folder.parent.parent.name for folder in trees[0].glob("arch/*/include/generated")}
    arch = f"arch/{architecture}/include"
    places = (arch, f"{arch}/generated", *BELOW, f"{arch}/uapi", f"{arch}/generated/uapi")
    return [tree / place for tree in trees for place in places]


def reachable(trees: list[Path], program: Path) -> set[Path]:
    """Every header of the trees that an include can lead to."""
    folders = search_folders(trees)
    names = [*BCC, *(name for file in sorted(program.glob("*.[ch]")) for _quote, name in includes(file))]
    found: set[Path] = set()
    asked: set[str] = set()
    while names:
        name = names.pop()
        if name in asked:
            continue
        asked.add(name)
        for file in (folder / name for folder in folders):
            if file.is_file() and file not in found:
                found.add(file)
                follow(file, names, found)
    return found


def follow(file: Path, names: list[str], found: set[Path]) -> None:
    """Add the names that a file includes, and the files beside it that it includes by a quoted name."""
    for quote, name in includes(file):
        names.append(name)
        beside = file.parent / name
        if quote == b'"' and beside.is_file() and beside not in found:
            found.add(beside)
            follow(beside, names, found)


def main() -> None:
    """Copy the reachable headers of both trees into the target."""
    trees, program, target = [Path(sys.argv[1]), Path(sys.argv[2])], Path(sys.argv[3]), Path(sys.argv[4])
    files = reachable(trees, program)
    for tree in trees:
        for file in sorted(file for file in files if file.is_relative_to(tree)):
            place = target / file.relative_to(tree)
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.exists():
                shutil.copyfile(file, place)
    sys.stdout.write(f"{len(files)} headers\n")


if __name__ == "__main__":
    main()
