/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_PLOT_H
#define WEIR_PLOT_H

/*
 * Plots by gnuplot. Data and script are written into a folder and stay there
 * beside the pictures, so that whoever wants another picture changes a line:
 *
 *     sweep.dat --+
 *     sweep.gp  --+--> gnuplot --> lat.svg, lat.png, ...
 */

#include <stdio.h>

struct weir_perf_load;

/** Open a file of the folder for writing. @return NULL: errno says why. */
FILE *weir_plot_open(const char *folder, const char *name);

/** Close what weir_plot_open() gave, also NULL.
 *  @return rc, or if that is 0 -errno. */
int weir_plot_close(FILE *file, int rc);

/** Run gnuplot in the folder. @return 0; -ENOENT there is no gnuplot;
 *  -EIO it failed; -errno. */
int weir_plot_run(const char *folder, const char *script);

/**
 * An open loop by percentile, beside its floor: load-SIZE.dat, load-SIZE.gp,
 * load-SIZE.svg and load-SIZE.png.
 *
 * @return 0; -ENOENT there is no gnuplot, data and script are there; -errno.
 */
int weir_plot_load(const struct weir_perf_load *load, unsigned int size,
		   const char *folder);

#endif /* WEIR_PLOT_H */
