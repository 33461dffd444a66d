/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The list of drivers. No constructors: a static link drops those that nobody
 * refers to, and a reader cannot grep them.
 */

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "core.h"
#include "../drivers/mem/mem.h"
#include "../drivers/shm/shm.h"

#define DRIVERS_MAX 8

/* Built-in drivers, one line each; weir_driver_register() appends. */
static const struct weir_driver *drivers[DRIVERS_MAX] = {
	&weir_driver_mem,
	&weir_driver_shm,
};

static pthread_mutex_t drivers_lock = PTHREAD_MUTEX_INITIALIZER;

static const struct weir_driver *
find(const char *scheme)
{
	for (int i = 0; i < DRIVERS_MAX && drivers[i] != NULL; i++)
		if (strcmp(drivers[i]->scheme, scheme) == 0)
			return drivers[i];
	return NULL;
}

int
weir_driver_register(const struct weir_driver *driver)
{
	const struct weir_driver *known;
	int rc = -ENOSPC;

	if (driver == NULL || driver->scheme == NULL)
		return -EINVAL;
	pthread_mutex_lock(&drivers_lock);
	known = find(driver->scheme);
	if (known != NULL) {
		rc = known == driver ? 0 : -EEXIST;
	} else {
		for (int i = 0; i < DRIVERS_MAX && rc != 0; i++)
			if (drivers[i] == NULL) {
				drivers[i] = driver;
				rc = 0;
			}
	}
	pthread_mutex_unlock(&drivers_lock);
	return rc;
}

const struct weir_driver *
weir_driver_find(const char *scheme, unsigned int number)
{
	const struct weir_driver *driver;

	pthread_mutex_lock(&drivers_lock);
	if (scheme != NULL)
		driver = find(scheme);
	else
		driver = number < DRIVERS_MAX ? drivers[number] : NULL;
	pthread_mutex_unlock(&drivers_lock);
	return driver;
}

const struct weir_driver *
weir_driver_for(const struct weir_endpoint *ep)
{
	const struct weir_driver *driver = weir_driver_find(ep->scheme, 0);
	char known[64] = "";

	if (driver != NULL)
		return driver;
	for (unsigned int i = 0; i < DRIVERS_MAX; i++) {
		driver = weir_driver_find(NULL, i);
		if (driver == NULL)
			break;
		snprintf(known + strlen(known), sizeof(known) - strlen(known),
			 "%s%s", i == 0 ? "" : ", ", driver->scheme);
	}
	weir_fail(-EINVAL,
		  "endpoint '%s:%s': unknown scheme '%s'; use one of: %s%s",
		  ep->scheme, ep->address, ep->scheme, known,
		  strcmp(ep->scheme, "dpdk") == 0
			  ? " (dpdk is in libweir-dpdk: register "
			    "weir_driver_dpdk first)"
			  : "");
	return NULL;
}

const char *
weir_driver_scheme(const struct weir_driver *driver)
{
	return driver->scheme;
}

bool
weir_driver_supports(const struct weir_driver *driver, enum weir_mode mode)
{
	return (unsigned int)mode < 32 && (driver->modes >> mode & 1) != 0;
}

const char *
weir_version(void)
{
	return WEIR_VERSION;
}
