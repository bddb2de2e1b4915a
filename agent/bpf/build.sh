#!/bin/sh
# Builds steno.bpf.o beside this file, or where $1 says. The result is committed: a node needs no compiler.
# Needs clang 14 or later, llvm-strip and the headers of libbpf (Debian: clang llvm libbpf-dev).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/steno.bpf.o}
cd "$here"
# Paths of this machine stay out of the debug information that remains (BTF lines).
clang -O2 -g -target bpf -mcpu=v3 -Wall -Werror -fdebug-prefix-map="$here"=agent/bpf -c steno.bpf.c -o "$out"
llvm-strip -g "$out"
