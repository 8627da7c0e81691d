#!/bin/sh
# The header by clang: C, C++ and as a module, without a warning, and with a word for every pointer.
#
#   header.sh CLANG FOLDER       FOLDER: for the cache of modules
set -eu
here=$(dirname "$0")
flags="-Wall -Wextra -pedantic -Werror -Wnullability-completeness -fsyntax-only -I$here/../../include"
for standard in c99 c11 c2x; do "$1" -x c -std=$standard $flags "$here/header.c"; done
for standard in c++11 c++20; do "$1" -x c++ -std=$standard $flags "$here/header.c"; done
"$1" -x c -std=c11 $flags -fmodules -fimplicit-module-maps "-fmodules-cache-path=$2" "$here/header.c"
