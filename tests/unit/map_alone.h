/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_TESTS_MAP_ALONE_H
#define WEIR_TESTS_MAP_ALONE_H

/*
 * A program that is linked with
 *
 *     -Wl,--wrap=mmap,--wrap=mmap64,--wrap=munmap
 *
 * has nothing beside its mappings:
 *
 *     | nobody's page | what was asked for | nobody's page |
 *
 * Who reads or writes beyond one dies of it. The last page of a mapping, which
 * may be a huge one, is whole, whatever was asked for. Mappings at a given
 * address are as they always are.
 */

/* How many there are. */
unsigned int maps_alone(void);

#endif
