/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_SHM_H
#define WEIR_SHM_H

/* shm: links between processes of one machine. docs/drivers/shm.md. */

#include "weir_driver.h"

extern const struct weir_driver weir_driver_shm;

#endif /* WEIR_SHM_H */
