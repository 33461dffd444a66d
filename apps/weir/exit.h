/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_EXIT_H
#define WEIR_EXIT_H

/*
 * Exit codes of the weir program. They are part of its interface: scripts
 * branch on them, weir(1) documents them, tests/tool checks them.
 *
 *     usage?        2  fix the command line
 *     environment?  3  fix the machine (weir check says how), or start the
 *                      listener: a link that never came up ends here
 *     link?         1  it was up, then it failed or the peer went away
 */
enum weir_exit {
	WEIR_EXIT_OK = 0,
	WEIR_EXIT_LINK = 1,      /* link failed or peer gone */
	WEIR_EXIT_USAGE = 2,     /* option, endpoint, scheme, key, input */
	WEIR_EXIT_NOT_READY = 3, /* device, permission, memory, address */
	WEIR_EXIT_INTEGRITY = 4, /* lost, duplicate, reordered, corrupt */
	WEIR_EXIT_ASSERT = 5,    /* an --assert does not hold */
	WEIR_EXIT_SKIP = 77,     /* a test program cannot run here */
	WEIR_EXIT_INTERRUPT = 130,
};

#endif /* WEIR_EXIT_H */
