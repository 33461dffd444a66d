/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_MEM_H
#define WEIR_MEM_H

/* mem: links inside one process. Endpoint mem:NAME, no keys. */

#include "weir_driver.h"

extern const struct weir_driver weir_driver_mem;

#endif /* WEIR_MEM_H */
