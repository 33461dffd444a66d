/* SPDX-License-Identifier: BSD-3-Clause */
/* Files of a plot, and gnuplot; see plot.h. */

#include "plot.h"

#include <errno.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/wait.h>

extern char **environ;

FILE *
weir_plot_open(const char *folder, const char *name)
{
	char path[4096];

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", folder, name) >=
	    sizeof(path)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	return fopen(path, "we");
}

int
weir_plot_close(FILE *file, int rc)
{
	if (file == NULL)
		return rc;
	if (ferror(file) && rc == 0)
		rc = -EIO;
	if (fclose(file) != 0 && rc == 0)
		rc = -errno;
	return rc;
}

int
weir_plot_run(const char *folder, const char *script)
{
	static char program[] = "gnuplot";
	char *args[] = { program, (char *)(uintptr_t)script, NULL };
	posix_spawn_file_actions_t actions;
	int rc, status = 0;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addchdir_np(&actions, folder);
	rc = posix_spawnp(&pid, program, &actions, NULL, args, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (rc != 0)
		return -rc;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return status == 0 ? 0 : -EIO;
}
