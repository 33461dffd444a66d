/* SPDX-License-Identifier: BSD-3-Clause */
/* The curve of a sweep: cliffs and plots; see sweep.h. */

#include "sweep.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plot.h"

static const char *const kind_names[] = { "lat", "bw" };

/* ---- curve -------------------------------------------------------------------- */

static void
add_place(struct weir_sweep *sweep, const struct weir_report *report,
	  const struct weir_figures *f)
{
	bool lat = report->result->kind == WEIR_PERF_LAT;
	struct weir_sweep_point point = {
		.kind = report->result->kind,
		.place = f->place,
		.size = report->result->size,
		.cost_ns = lat ? f->batch_p50_ns : 1e9 / f->msgs_per_s,
		.floor_ns = lat ? f->floor_p50_ns : 1e9 / f->floor_msgs_per_s,
	};

	if (report->result->floor_missing != NULL)
		point.floor_ns = NAN;
	if (f->windows >= WEIR_TALLY_ENOUGH && isfinite(point.cost_ns) &&
	    sweep->count < sizeof(sweep->points) / sizeof(sweep->points[0]))
		sweep->points[sweep->count++] = point;
}

void
weir_sweep_add(struct weir_sweep *sweep, const struct weir_report *report)
{
	if (report->result->kind <= WEIR_PERF_BW)
		sweep->planned[report->result->kind] = report->result->planned;
	for (uint32_t i = 0; i < report->place_count; i++)
		add_place(sweep, report, &report->places[i]);
}

/* ---- cliffs ------------------------------------------------------------------- */

/* How much more the bytes of b may cost than those of a. */
static double
explained(const struct weir_sweep_point *a, const struct weir_sweep_point *b)
{
	double growth;

	if (isfinite(a->floor_ns) && isfinite(b->floor_ns))
		growth = b->floor_ns / a->floor_ns;
	else
		growth = (double)b->size / (a->size > 0 ? a->size : 1);
	return growth > 1 ? growth : 1;
}

void
weir_sweep_worst(const struct weir_sweep *sweep, enum weir_perf_kind kind,
		 enum weir_placement place, struct weir_sweep_step *worst)
{
	const struct weir_sweep_point *before = NULL;

	memset(worst, 0, sizeof(*worst));
	worst->planned = sweep->planned[kind];
	for (uint32_t i = 0; i < sweep->count; i++) {
		const struct weir_sweep_point *point = &sweep->points[i];
		double factor;

		if (point->kind != kind || point->place != place)
			continue;
		worst->sizes++;
		if (before != NULL) {
			factor = point->cost_ns / before->cost_ns /
				 explained(before, point);
			worst->steps++;
			if (factor > worst->factor) {
				worst->factor = factor;
				worst->from = before->size;
				worst->to = point->size;
			}
		}
		before = point;
	}
}

const char *
weir_sweep_verdict(const struct weir_sweep_step *worst)
{
	if (worst->factor > WEIR_SWEEP_STEP_MAX)
		return "missed";
	return worst->sizes * 5 >= worst->planned * 4 ? "reached"
						      : "not measured";
}

typedef void (*step_fn)(void *arg, enum weir_perf_kind kind,
			enum weir_placement place,
			const struct weir_sweep_step *worst);

static void
each_worst(const struct weir_sweep *sweep, step_fn each, void *arg)
{
	for (int kind = WEIR_PERF_LAT; kind <= WEIR_PERF_BW; kind++)
		for (int place = 0; place < WEIR_PLACES; place++) {
			struct weir_sweep_step worst;

			weir_sweep_worst(sweep, (enum weir_perf_kind)kind,
					 (enum weir_placement)place, &worst);
			if (worst.steps > 0)
				each(arg, (enum weir_perf_kind)kind,
				     (enum weir_placement)place, &worst);
		}
}

static void
human_step(void *arg, enum weir_perf_kind kind, enum weir_placement place,
	   const struct weir_sweep_step *worst)
{
	fprintf((FILE *)arg,
		"no cliff: %-3s %-4s  %u of %u sizes, the worst step %.2f "
		"times what the bytes cost, %u to %u B; at most %.1f: %s\n",
		kind_names[kind], weir_place_name(place), worst->sizes,
		worst->planned, worst->factor, worst->from, worst->to,
		WEIR_SWEEP_STEP_MAX, weir_sweep_verdict(worst));
}

void
weir_sweep_human(const struct weir_sweep *sweep, FILE *to)
{
	each_worst(sweep, human_step, to);
}

static void
json_step(void *arg, enum weir_perf_kind kind, enum weir_placement place,
	  const struct weir_sweep_step *worst)
{
	const char *verdict = weir_sweep_verdict(worst);

	json_array_append_new(
		arg,
		json_pack("{s:s, s:s, s:I, s:I, s:I, s:f, s:I, s:I, s:f, s:s, "
			  "s:b}",
			  "kind", kind_names[kind], "placement",
			  weir_place_name(place), "steps",
			  (json_int_t)worst->steps, "sizes",
			  (json_int_t)worst->sizes, "planned",
			  (json_int_t)worst->planned, "worst", worst->factor,
			  "from", (json_int_t)worst->from, "to",
			  (json_int_t)worst->to, "limit", WEIR_SWEEP_STEP_MAX,
			  "verdict", verdict, "reached",
			  strcmp(verdict, "reached") == 0));
}

char *
weir_sweep_json(const struct weir_sweep *sweep)
{
	json_t *list = json_array();
	char *text;

	each_worst(sweep, json_step, list);
	text = json_dumps(list, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	json_decref(list);
	return text;
}

/* ---- plots -------------------------------------------------------------------- */

/* One block of the data file: @return points written. */
static uint32_t
write_block(const struct weir_sweep *sweep, enum weir_perf_kind kind,
	    enum weir_placement place, FILE *to)
{
	uint32_t written = 0;

	for (uint32_t i = 0; i < sweep->count; i++) {
		const struct weir_sweep_point *point = &sweep->points[i];

		if (point->kind != kind || point->place != place)
			continue;
		if (written++ == 0)
			fprintf(to,
				"# %s-%s: size[B] link[us] floor[us] "
				"floor/link\n",
				kind_names[kind], weir_place_name(place));
		/* Half a byte stands for none: the axis is logarithmic. */
		fprintf(to, "%g %.6g %.6g %.6g\n",
			point->size > 0 ? (double)point->size : 0.5,
			point->cost_ns / 1000, point->floor_ns / 1000,
			point->floor_ns / point->cost_ns);
	}
	if (written > 0)
		fputs("\n\n", to);
	return written;
}

static const char plot_style[] =
	"# gnuplot sweep.gp: the curve of a sweep as SVG and PNG\n"
	"set datafile missing 'nan'\n"
	"set logscale x 2\n"
	"set format x '%.0b %BB'\n"
	"set xlabel 'bytes per message'\n"
	"set key left top\n"
	"set grid\n"
	"set style data linespoints\n";

static void
write_figure(FILE *to, const char *kind, const bool *seen)
{
	bool lat = strcmp(kind, kind_names[WEIR_PERF_LAT]) == 0;
	const char *between = "";

	fprintf(to,
		"do for [end in 'svg png'] {\n"
		"if (end eq 'svg') { set terminal svg size 900,900 dynamic }\n"
		"if (end eq 'png') { set terminal pngcairo size 900,900 }\n"
		"set output '%s.'.end\n"
		"set multiplot layout 2,1\n"
		"set logscale y 10\n"
		"set ylabel '%s, us'\n"
		"plot ",
		kind, lat ? "round trip, p50" : "time per message, one way");
	for (int place = 0; place < WEIR_PLACES; place++)
		if (seen[place]) {
			const char *name =
				weir_place_name((enum weir_placement)place);

			fprintf(to,
				"%s'sweep.dat' index '%s-%s:' using 1:2 title "
				"'weir, %s', '' index '%s-%s:' using 1:3 "
				"title 'floor, %s' dashtype 2",
				between, kind, name, name, kind, name, name);
			between = ", ";
		}
	between = "";
	fputs("\nunset logscale y\nset yrange [0:*]\n"
	      "set ylabel 'floor / weir, 1 is best'\nplot ",
	      to);
	for (int place = 0; place < WEIR_PLACES; place++)
		if (seen[place]) {
			const char *name =
				weir_place_name((enum weir_placement)place);

			fprintf(to,
				"%s'sweep.dat' index '%s-%s:' using 1:4 title "
				"'%s'",
				between, kind, name, name);
			between = ", ";
		}
	fputs("\nset yrange [*:*]\nunset multiplot\nunset output\n}\n", to);
}

static void
write_files(const struct weir_sweep *sweep, FILE *data, FILE *script)
{
	fputs(plot_style, script);
	for (int kind = WEIR_PERF_LAT; kind <= WEIR_PERF_BW; kind++) {
		bool seen[WEIR_PLACES], any = false;

		for (int place = 0; place < WEIR_PLACES; place++) {
			seen[place] = write_block(sweep,
						  (enum weir_perf_kind)kind,
						  (enum weir_placement)place,
						  data) > 0;
			any = any || seen[place];
		}
		if (any)
			write_figure(script, kind_names[kind], seen);
	}
}

int
weir_sweep_plot(const struct weir_sweep *sweep, const char *folder)
{
	FILE *data = weir_plot_open(folder, "sweep.dat");
	FILE *script = weir_plot_open(folder, "sweep.gp");
	int rc = data != NULL && script != NULL ? 0 : -errno;

	if (rc == 0)
		write_files(sweep, data, script);
	rc = weir_plot_close(data, rc);
	rc = weir_plot_close(script, rc);
	if (rc != 0 || sweep->count == 0)
		return rc;
	return weir_plot_run(folder, "sweep.gp");
}
