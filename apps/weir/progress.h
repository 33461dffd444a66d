/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_PROGRESS_H
#define WEIR_PROGRESS_H

/*
 * How far a run is: one line of the terminal, written over again and gone when
 * something else is to be said there. Nothing at all where standard error is
 * no terminal, or with --quiet.
 */

/** Write it anew; ten times a second at most, other calls do nothing. */
__attribute__((format(printf, 1, 2))) void weir_progress(const char *format,
							 ...);

/** Take it away, if there is one. */
void weir_progress_end(void);

#endif /* WEIR_PROGRESS_H */
