/* SPDX-License-Identifier: BSD-3-Clause */
/* Huge pages, memory that may be locked, and what dead processes left. */

#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define NODES_MAX 64

/* ---- huge pages --------------------------------------------------------------- */

static uint64_t
default_page_bytes(void)
{
	unsigned long long kib = 2048;
	char line[128];
	FILE *file = fopen("/proc/meminfo", "re");

	if (file == NULL)
		return 2u << 20;
	while (fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "Hugepagesize: %llu kB", &kib) == 1)
			break;
	fclose(file);
	return (uint64_t)kib << 10;
}

/* @return false: there is no such node, or it has no huge pages at all. */
static bool
node_pages(int node, uint64_t page_bytes, uint64_t *total, uint64_t *unused)
{
	char line[32];

	if (!weir_check_read(line, sizeof(line),
			     "/sys/devices/system/node/node%d/hugepages/"
			     "hugepages-%llukB/nr_hugepages",
			     node, (unsigned long long)page_bytes >> 10))
		return false;
	*total = strtoull(line, NULL, 10);
	if (!weir_check_read(line, sizeof(line),
			     "/sys/devices/system/node/node%d/hugepages/"
			     "hugepages-%llukB/free_hugepages",
			     node, (unsigned long long)page_bytes >> 10))
		return false;
	*unused = strtoull(line, NULL, 10);
	return true;
}

uint64_t
weir_check_free_hugepages(uint64_t *page_bytes)
{
	uint64_t sum = 0, total, unused;

	*page_bytes = default_page_bytes();
	for (int node = 0; node < NODES_MAX; node++)
		if (node_pages(node, *page_bytes, &total, &unused))
			sum += unused;
	return sum;
}

/* What there is. What the endpoint takes of it is measured when it opens. */
static void
check_hugepages(struct check *check)
{
	uint64_t page_bytes = default_page_bytes(), total = 0, unused = 0;
	struct check_finding *f;
	bool seen = false;

	for (int node = 0; node < NODES_MAX; node++) {
		if (!node_pages(node, page_bytes, &total, &unused))
			continue;
		seen = true;
		f = weir_check_add(check, unused > 0 ? CHECK_OK : CHECK_INFO,
				   "hugepages",
				   "node %d: %llu of %llu pages free (%s in "
				   "pages of %s)",
				   node, (unsigned long long)unused,
				   (unsigned long long)total,
				   weir_check_bytes(unused * page_bytes),
				   weir_check_bytes(page_bytes));
		if (unused > 0 || weir_tool.hugepages == WEIR_HUGEPAGES_NEVER)
			continue;
		weir_check_effect(f, "weir works without, a little slower");
		weir_check_fix(f,
			       "echo %llu > /sys/devices/system/node/node%d/"
			       "hugepages/hugepages-%llukB/nr_hugepages",
			       (unsigned long long)total + 256, node,
			       (unsigned long long)page_bytes >> 10);
		if (weir_tool.hugepages == WEIR_HUGEPAGES_REQUIRE) {
			f->state = CHECK_FAIL;
			weir_check_effect(f, "--hugepages=require cannot be "
					     "met");
		}
	}
	if (!seen)
		weir_check_add(check, CHECK_INFO, "hugepages",
			       "this kernel has none");
}

/* ---- locked memory ---------------------------------------------------------------- */

static void
check_memlock(struct check *check)
{
	bool af_xdp = strncmp(check->target.device, "net_af_xdp", 10) == 0;
	struct check_finding *f;
	struct rlimit limit;

	if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0)
		return;
	if (limit.rlim_cur == RLIM_INFINITY) {
		weir_check_add(check, CHECK_OK, "memlock", "unlimited");
		return;
	}
	f = weir_check_add(check, af_xdp ? CHECK_WARN : CHECK_INFO, "memlock",
			   "%s", weir_check_bytes(limit.rlim_cur));
	if (!af_xdp)
		return;
	weir_check_effect(f, "af_xdp locks its packet memory, which is more; "
			     "CAP_IPC_LOCK lifts the limit");
	weir_check_fix(f, "ulimit -l unlimited, or run it as root");
}

/* ---- leftovers ---------------------------------------------------------------------- */

/* As in lib/runtime.c, without making it. */
static bool
runtime_dir(char *path, size_t size)
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
	return len > 0 && (size_t)len < size;
}

static bool
check_runtime_dir(struct check *check, char *path, size_t size)
{
	struct check_finding *f;
	struct stat st;

	if (!runtime_dir(path, size)) {
		f = weir_check_add(check, CHECK_FAIL, "runtime",
				   "the path of the runtime directory is too "
				   "long");
		weir_check_fix(f, "export WEIR_RUNTIME_DIR=/short/path");
		return false;
	}
	if (lstat(path, &st) != 0) {
		weir_check_add(check, CHECK_OK, "runtime",
			       "%s: not there yet, made when needed", path);
		return false;
	}
	if (S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
	    (st.st_mode & 022) == 0) {
		weir_check_add(check, CHECK_OK, "runtime", "%s", path);
		return true;
	}
	f = weir_check_add(check, CHECK_FAIL, "runtime",
			   "%s: %s, mode %03o, owner %u", path,
			   S_ISDIR(st.st_mode) ? "directory" : "no directory",
			   (unsigned int)st.st_mode & 0777, st.st_uid);
	weir_check_effect(f, "others could put sockets there, so weir refuses "
			     "it");
	weir_check_fix(f, "chmod 0700 %s, or export WEIR_RUNTIME_DIR=...",
		       path);
	return false;
}

/* Somebody has a socket bound to this path, in our network namespace. */
static bool
socket_listed(const char *path)
{
	FILE *file = fopen("/proc/net/unix", "re");
	char line[512];
	bool found = false;

	if (file == NULL)
		return true; /* cannot know: leave it alone */
	while (!found && fgets(line, sizeof(line), file) != NULL) {
		char *at = strchr(line, '/');

		line[strcspn(line, "\n")] = '\0';
		found = at != NULL && strcmp(at, path) == 0;
	}
	fclose(file);
	return found;
}

/* Nobody will ever answer there. */
static bool
socket_is_stale(const char *path)
{
	static const int types[] = { SOCK_SEQPACKET, SOCK_STREAM };
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	bool refused = false;

	if (strlen(path) >= sizeof(sun.sun_path) || socket_listed(path))
		return false;
	strcpy(sun.sun_path, path);
	for (int i = 0; i < 2; i++) {
		int fd = socket(AF_UNIX,
				types[i] | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		if (fd < 0)
			return false;
		if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0 &&
		    errno == ECONNREFUSED)
			refused = true;
		close(fd);
	}
	return refused;
}

static void
check_sockets(struct check *check, const char *dir)
{
	DIR *handle = opendir(dir);
	unsigned int stale = 0, alive = 0;
	struct check_finding *f;
	struct dirent *entry;
	char path[512];

	if (handle == NULL)
		return;
	while ((entry = readdir(handle)) != NULL) {
		struct stat st;

		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		if (lstat(path, &st) != 0 || !S_ISSOCK(st.st_mode))
			continue;
		if (!socket_is_stale(path))
			alive++;
		else if (!check->clean || unlink(path) != 0)
			stale++;
	}
	closedir(handle);
	f = weir_check_add(
		check, stale > 0 ? CHECK_WARN : CHECK_OK, "leftovers",
		"%u socket(s) of dead processes, %u in use", stale, alive);
	if (stale == 0)
		return;
	weir_check_effect(f, "harmless: the next listener replaces its own");
	weir_check_fix(f, "weir check --clean");
}

/* Files of DPDK programs that run without --in-memory; a living one locks
 * its own. */
static void
check_hugetlbfs(struct check *check)
{
	static const char dir[] = "/dev/hugepages";
	DIR *handle = opendir(dir);
	unsigned int count = 0;
	struct check_finding *f;
	struct dirent *entry;
	uint64_t bytes = 0;

	if (handle == NULL)
		return;
	while ((entry = readdir(handle)) != NULL) {
		struct stat st;
		int fd;

		if (strstr(entry->d_name, "map_") == NULL)
			continue;
		fd = openat(dirfd(handle), entry->d_name, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0) {
			count++;
			bytes += (uint64_t)st.st_size;
		}
		close(fd);
	}
	closedir(handle);
	if (count == 0)
		return;
	f = weir_check_add(check, CHECK_WARN, "leftovers",
			   "%u files of dead DPDK programs in %s (%s)", count,
			   dir, weir_check_bytes(bytes));
	weir_check_effect(f, "they are not weir's; their huge pages are not "
			     "free");
	weir_check_fix(f, "rm %s/*map_*, when no DPDK program runs", dir);
}

void
weir_check_memory(struct check *check)
{
	check_hugepages(check);
	check_memlock(check);
}

void
weir_check_leftovers(struct check *check)
{
	char dir[256];

	if (check_runtime_dir(check, dir, sizeof(dir)))
		check_sockets(check, dir);
	check_hugetlbfs(check);
}
