/* SPDX-License-Identifier: BSD-3-Clause */
/* The plot of an open loop: response, service and reserve wait by percentile,
 * a line for each rate, and the floor's round trip for those it belongs to. */

#include <errno.h>
#include <math.h>

#include "perf_load.h"
#include "plot.h"

/* The share of messages above it falls by a tenth in so many steps. */
#define STEPS_PER_TENTH 8
#define TENTHS          6

struct kind {
	const char *name; /* of the data */
	const char *label;
	const struct weir_hist *(*hist)(const struct weir_load_point *point);
	bool floor; /* is beside it */
};

static const struct weir_hist *
response_of(const struct weir_load_point *point)
{
	return &point->response;
}

static const struct weir_hist *
service_of(const struct weir_load_point *point)
{
	return &point->service;
}

static const struct weir_hist *
reserve_wait_of(const struct weir_load_point *point)
{
	return &point->reserve_wait;
}

static const struct kind kinds[] = {
	{ "response", "response, us", response_of, true },
	{ "service", "service, us", service_of, true },
	{ "reserve-wait", "reserve wait, us", reserve_wait_of, false },
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static void
write_block(const char *name, uint32_t point, const struct weir_hist *hist,
	    FILE *to)
{
	fprintf(to, "# %s-%u: 1/(1-share of messages) us\n", name, point);
	for (int i = 0; i <= STEPS_PER_TENTH * TENTHS; i++) {
		double above = pow(10, -(double)i / STEPS_PER_TENTH);
		uint64_t ns = weir_hist_quantile(hist, 1 - above);

		if (!weir_hist_supports(hist, 1 - above))
			break;
		/* The axis is logarithmic: none is shown as one. */
		fprintf(to, "%.6g %.6g\n", 1 / above,
			(double)(ns > 0 ? ns : 1) / 1000);
	}
	fputs("\n\n", to);
}

static void
write_data(const struct weir_perf_load *load, FILE *to)
{
	for (uint32_t i = 0; i < load->count; i++)
		for (size_t k = 0; k < KINDS; k++)
			write_block(kinds[k].name, i,
				    kinds[k].hist(&load->points[i]), to);
}

static void
write_title(const struct weir_load_point *point, FILE *to)
{
	if (isnan(point->share))
		fprintf(to, "%.4g messages/s", point->rate);
	else
		fprintf(to, "%.0f %%, %.4g messages/s", point->share * 100,
			point->rate);
}

/* Of the first rate: nearly nothing else is under way. */
static void
write_floors(const struct weir_load_point *point, FILE *to)
{
	for (int i = 0; i < WEIR_PLACES; i++) {
		struct weir_load_place place;

		weir_load_place_of(point, (enum weir_placement)i, &place);
		if (!isnan(place.floor.p50))
			fprintf(to, ", %.6g dashtype 2 title 'floor, p50, %s'",
				place.floor.p50 / 1000,
				weir_place_name((enum weir_placement)i));
	}
}

static void
write_panel(const struct weir_perf_load *load, const struct kind *kind,
	    unsigned int size, FILE *to)
{
	fprintf(to, "set ylabel '%s'\nplot ", kind->label);
	for (uint32_t i = 0; i < load->count; i++) {
		fprintf(to,
			"%s'load-%u.dat' index '%s-%u:' using 1:2 with lines "
			"title '",
			i > 0 ? ", " : "", size, kind->name, i);
		write_title(&load->points[i], to);
		fputc('\'', to);
	}
	if (kind->floor)
		write_floors(&load->points[0], to);
	fputc('\n', to);
}

static void
write_script(const struct weir_perf_load *load, unsigned int size, FILE *to)
{
	fprintf(to,
		"# gnuplot load-%u.gp: an open loop as SVG and PNG\n"
		"set logscale xy\n"
		"set xrange [1:1e6]\n"
		"set xtics ('0 %%%%' 1, '90 %%%%' 10, '99 %%%%' 100, '99.9 "
		"%%%%' 1e3, "
		"'99.99 %%%%' 1e4, '99.999 %%%%' 1e5)\n"
		"set xlabel 'share of messages'\n"
		"set key left top\n"
		"set grid\n"
		"do for [end in 'svg png'] {\n"
		"if (end eq 'svg') { set terminal svg size 900,1200 dynamic }\n"
		"if (end eq 'png') { set terminal pngcairo size 900,1200 }\n"
		"set output 'load-%u.'.end\n"
		"set multiplot layout %d,1\n",
		size, size, (int)KINDS);
	for (size_t k = 0; k < KINDS; k++)
		write_panel(load, &kinds[k], size, to);
	fputs("unset multiplot\nunset output\n}\n", to);
}

int
weir_plot_load(const struct weir_perf_load *load, unsigned int size,
	       const char *folder)
{
	char name[32];
	FILE *data, *script;
	int rc = 0;

	snprintf(name, sizeof(name), "load-%u.dat", size);
	data = weir_plot_open(folder, name);
	if (data == NULL)
		return -errno;
	write_data(load, data);
	rc = weir_plot_close(data, 0);
	snprintf(name, sizeof(name), "load-%u.gp", size);
	script = rc == 0 ? weir_plot_open(folder, name) : NULL;
	if (script == NULL)
		return rc != 0 ? rc : -errno;
	write_script(load, size, script);
	rc = weir_plot_close(script, 0);
	if (rc != 0 || load->count == 0)
		return rc;
	return weir_plot_run(folder, name);
}
