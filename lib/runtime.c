/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The directory in which local sockets meet. Others must not be able to put
 * a socket of theirs where we look for a peer's, so it has to be ours alone.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core.h"

static int
choose(char *path, size_t size)
{
	const char *env = getenv("WEIR_RUNTIME_DIR");
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	int len;

	if (env != NULL && env[0] == '/')
		len = snprintf(path, size, "%s", env);
	else if (geteuid() == 0)
		len = snprintf(path, size, "/run/weir");
	else if (xdg != NULL && xdg[0] == '/')
		len = snprintf(path, size, "%s/weir", xdg);
	else
		len = snprintf(path, size, "/tmp/weir-%u",
			       (unsigned int)geteuid());
	if (len < 0 || (size_t)len >= size)
		return weir_fail(-ENAMETOOLONG,
				 "runtime directory: its path is too long; set "
				 "WEIR_RUNTIME_DIR to a shorter one");
	return 0;
}

int
weir_runtime_dir(char *path, size_t size)
{
	struct stat st;
	int rc = choose(path, size);

	if (rc != 0)
		return rc;
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return weir_fail(-errno,
				 "runtime directory %s: cannot be made: %s; "
				 "set WEIR_RUNTIME_DIR to a directory of yours",
				 path, strerror(errno));
	if (lstat(path, &st) != 0 || !S_ISDIR(st.st_mode))
		return weir_fail(-ENOTDIR,
				 "runtime directory %s: is not a directory; "
				 "remove it or set WEIR_RUNTIME_DIR",
				 path);
	if (st.st_uid != geteuid() || (st.st_mode & 022) != 0)
		return weir_fail(-EACCES,
				 "runtime directory %s: others own it or may "
				 "write to it; chmod 0700 it or set "
				 "WEIR_RUNTIME_DIR",
				 path);
	return 0;
}
