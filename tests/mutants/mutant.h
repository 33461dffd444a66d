/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a defect is planted: mutants.py wraps one expression per row of its
 * table in copies of the protocol's sources. The originals know nothing of it.
 *
 *      if (MUTANT(12, seq == rx->nxt, seq <= rx->nxt))
 */
#ifndef WEIR_TESTS_MUTANT_H
#define WEIR_TESTS_MUTANT_H

/* The one that is alive; 0: none. Chosen at run time, set in runner.c. */
extern int weir_mutant;

#define MUTANT(number, good, bad) \
	(__builtin_expect(weir_mutant == (number), 0) ? (bad) : (good))

#endif
