/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VARIANT_H
#define VARIANT_H

/*
 * A variant is one way to run the suite: which driver, over which device, and
 * where the peer lives.
 */

#include <stdbool.h>
#include <stddef.h>

#include "peer.h"

enum variant_flags {
	VARIANT_CHILD = 1u << 0,    /* B is a child process */
	VARIANT_CONNECTS = 1u << 1, /* A connects and B listens, else reverse */
	VARIANT_VETH = 1u << 2,     /* two namespaces with a veth pair */
	VARIANT_ROOT = 1u << 3,     /* needs more than a user namespace */
	VARIANT_POLLED = 1u << 4,   /* ports need their owner's polls */
	VARIANT_TRUSTED = 1u << 5,  /* a dead peer may take us down: memif */
	VARIANT_ADDRESS = 1u << 6,  /* slot and message have one address */
	VARIANT_MEMFD = 1u << 7,    /* payload lies in a mapped memfd */
	VARIANT_MULTI = 1u << 8,    /* every send half is multi-producer */
	VARIANT_COPIES = 1u << 9,   /* what is received is copied first */
	VARIANT_TAP = 1u << 10,     /* with VETH: a tap t0 bridged to each v0 */
	VARIANT_DEVICE = 1u << 11,  /* few cases, unless WEIR_CHECK_LONG */
	VARIANT_NIC = 1u << 12,     /* two devices, at fixed places */
};

/* Endpoints of one driver; '%' stands for a tag of this run. */
struct carrier {
	const char *listener;
	const char *connector; /* NULL: the same text */
};

struct variant {
	const char *name;
	unsigned int flags;
	unsigned int pace; /* divides the number of repeats in long cases */
	unsigned int carriers;
	struct carrier carrier[PEER_CARRIERS];
};

/* @return NULL if there is none of that name. */
const struct variant *variant_find(const char *name);

/* One name a line. */
void variant_list(void);

/* The endpoint of carrier k for the listening or the connecting side. */
void variant_endpoint(const struct variant *v, unsigned int k, bool listener,
		      char *text, size_t size);

#endif /* VARIANT_H */
