/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_DRIVER_LOAD_H
#define WEIR_DRIVER_LOAD_H

/*
 * The dpdk driver lives in a library of its own, which pulls in DPDK. It is
 * loaded the first time an endpoint needs it, so that everything else starts
 * in milliseconds and works where DPDK is not installed.
 */

#include <stdbool.h>

/* @return true if the driver of this scheme is known to exist as a library
 *         or built in, whether or not it can be loaded. */
bool weir_driver_known(const char *scheme);

/*
 * Make the driver of a scheme available to weir_port_open(). No effect for
 * drivers that are there already.
 *
 * @return 0; -ENOENT unknown scheme; -ELIBACC the library could not be
 *         loaded. Prints nothing.
 */
int weir_driver_load(const char *scheme);

/* @return why the last weir_driver_load() failed; "" if it did not. */
const char *weir_driver_load_error(void);

/*
 * dlopen() a library of weir's: by RUNPATH and the loader's usual places,
 * then beside this program (build tree, or the library folder of its prefix).
 *
 * @return handle, or NULL; dlerror() then speaks of the usual places.
 */
void *weir_library_open(const char *name);

/* @return a call of the dpdk driver's library by its name; NULL: not loaded,
 *         or it has none. */
void *weir_driver_dpdk_symbol(const char *name);

/* @return "DPDK 22.11.11" when the dpdk driver is loaded, else NULL. */
const char *weir_driver_dpdk_version(void);

#endif /* WEIR_DRIVER_LOAD_H */
