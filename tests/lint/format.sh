#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Sources look as .clang-format says. Its answers change with its version, so
# only version 14 is asked. format.sh SOURCE_ROOT
set -u
cd "$1" || exit 1

for tool in clang-format-14 clang-format; do
	case $($tool --version 2>/dev/null) in
	*"version 14."*)
		find lib drivers apps tests -name '*.[ch]' -print0 |
			xargs -0 "$tool" --dry-run -Werror
		exit
		;;
	esac
done
echo "clang-format 14 is not installed"
exit 77
