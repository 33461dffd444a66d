/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver_load.h"

/*
 * Where libweir-dpdk comes from: a static build has it inside; else the
 * dynamic loader finds it by the program's RUNPATH (the build tree, or the
 * library folder beside the installed program) and then in its usual places.
 */

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "weir.h"

#define DPDK_LIBRARY "libweir-dpdk.so.0"

#ifdef WEIR_DPDK_BUILT_IN
extern const struct weir_driver weir_driver_dpdk;
#endif

static char load_error[512];
static void *dpdk_library;

bool
weir_driver_known(const char *scheme)
{
	return weir_driver_find(scheme, 0) != NULL ||
	       strcmp(scheme, "dpdk") == 0;
}

const char *
weir_driver_load_error(void)
{
	return load_error;
}

/*
 * Where a library is when RUNPATH does not count, as under ASan, whose
 * dlopen() takes the place of ours.
 */
void *
weir_library_open(const char *name)
{
	static const char build_end[] = "/apps/weir/weir";
	static const char *const build_places[] = { ".", "../../drivers/dpdk",
						    NULL };
	static const char *const places[] = { WEIR_LIBRARY_PLACE, NULL };
	const char *const *place = places;
	void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
	char exe[512], path[1024];
	ssize_t len;

	if (library != NULL)
		return library;
	len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	if (len <= 0)
		return NULL;
	exe[len] = '\0';
	if (len >= (ssize_t)sizeof(build_end) &&
	    strcmp(exe + len - (sizeof(build_end) - 1), build_end) == 0)
		place = build_places;
	*strrchr(exe, '/') = '\0';
	for (; *place != NULL && library == NULL; place++) {
		snprintf(path, sizeof(path), "%s/%s/%s", exe, *place, name);
		if (access(path, R_OK) == 0)
			library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	}
	return library;
}

/* @return the table, or NULL with load_error filled. */
static const struct weir_driver *
find_dpdk(void)
{
#ifdef WEIR_DPDK_BUILT_IN
	return &weir_driver_dpdk;
#else
	const struct weir_driver *driver;

	dpdk_library = weir_library_open(DPDK_LIBRARY);
	if (dpdk_library == NULL) {
		const char *error = dlerror();

		snprintf(load_error, sizeof(load_error),
			 "dpdk: %s; install libweir-dpdk and DPDK, or use shm:",
			 error != NULL ? error : "cannot be loaded");
		return NULL;
	}
	driver = dlsym(dpdk_library, "weir_driver_dpdk");
	if (driver == NULL) {
		snprintf(load_error, sizeof(load_error),
			 "dpdk: %s has no weir driver in it; install the one "
			 "that belongs to weir %s",
			 DPDK_LIBRARY, weir_version());
		dlclose(dpdk_library);
		dpdk_library = NULL;
	}
	return driver;
#endif
}

int
weir_driver_load(const char *scheme)
{
	const struct weir_driver *driver;
	int rc;

	load_error[0] = '\0';
	if (weir_driver_find(scheme, 0) != NULL)
		return 0;
	if (strcmp(scheme, "dpdk") != 0)
		return -ENOENT;
	driver = find_dpdk();
	if (driver == NULL)
		return -ELIBACC;
	rc = weir_driver_register(driver);
	if (rc != 0)
		snprintf(load_error, sizeof(load_error),
			 "dpdk: the library's driver is refused: %s; install "
			 "the one that belongs to weir %s",
			 weir_strerror(rc), weir_version());
	return rc == 0 ? 0 : -ELIBACC;
}

void *
weir_driver_dpdk_symbol(const char *name)
{
	return dpdk_library != NULL ? dlsym(dpdk_library, name) : NULL;
}

const char *
weir_driver_dpdk_version(void)
{
	const char *(*version)(void);

	if (weir_driver_find("dpdk", 0) == NULL)
		return NULL;
	/* NULL searches the whole program: DPDK may be linked in. */
	*(void **)&version =
		dlsym(dpdk_library != NULL ? dpdk_library : RTLD_DEFAULT,
		      "rte_version");
	return version != NULL ? version() : NULL;
}
