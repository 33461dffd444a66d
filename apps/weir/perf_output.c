/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where results go:
 *
 *     lat, bw     stdout, or the file of -o, in the format of -f
 *     sweep       the same to stdout, and in the folder of -o, or one of a
 *                 name of our own, sweep.json, sweep.csv, sweep.dat, sweep.gp
 *                 and the plots
 *
 * With --plot an open loop leaves a plot, too. How far a run is shows on a
 * terminal.
 */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "hlog.h"
#include "perf.h"
#include "plot.h"
#include "progress.h"
#include "report.h"
#include "sweep.h"
#include "tool.h"

struct weir_perf_output {
	const struct weir_perf_args *args;
	FILE *to;
	FILE *json, *csv; /* in the folder of a sweep; NULL: none */
	FILE *hlog;       /* NULL: none */
	struct weir_sweep sweep;
	uint32_t printed;
	enum weir_perf_kind kind; /* of the last one printed */
	bool failed;              /* to write */
};

static bool
is_array(const struct weir_perf_args *args)
{
	return args->sweep || args->size_count > 1;
}

static void
write_json(struct weir_perf_output *out, const struct weir_report *report,
	   FILE *to)
{
	char *text = weir_report_json(report);

	if (text == NULL) {
		out->failed = true;
		return;
	}
	if (is_array(out->args))
		fputs(out->printed == 0 ? "{\"schema\": \"weir.perf.sweep/1\", "
					  "\"runs\": ["
					: ",\n",
		      to);
	fputs(text, to);
	if (!is_array(out->args))
		fputc('\n', to);
	free(text);
}

static void
end_json(struct weir_perf_output *out, FILE *to)
{
	char *text;

	if (!is_array(out->args) || out->printed == 0)
		return;
	text = out->args->sweep ? weir_sweep_json(&out->sweep) : NULL;
	if (text != NULL)
		fprintf(to, "], \"no_cliff\": %s}\n", text);
	else
		fputs("]}\n", to);
	free(text);
}

static void
show_progress(const struct weir_perf_output *out,
	      const struct weir_report *report)
{
	double ratio = report->main.ratio;
	char text[32] = "-";

	if (!out->args->sweep)
		return;
	if (!isnan(ratio))
		snprintf(text, sizeof(text), "%.2f", ratio);
	weir_progress("sweep: %u done, %s %u B, %s, ratio %s", out->printed,
		      report->result->kind == WEIR_PERF_LAT ? "lat" : "bw",
		      report->result->size,
		      report->place_count > 0
			      ? weir_place_name(report->main.place)
			      : "-",
		      text);
}

bool
weir_output_late(const struct weir_perf_args *args, uint64_t spent_ns,
		 uint32_t left)
{
	if (args->total_ns == 0 || spent_ns < args->total_ns)
		return false;
	weir_tool_note("the time is up: %u sizes are not measured; give more "
		       "with -T",
		       left);
	return true;
}

static int
check_point(const struct weir_report *report)
{
	const struct weir_perf_args *args = report->args;
	int rc = 0;

	for (uint32_t i = 0; i < args->assert_count; i++) {
		double value = 0;

		if (weir_report_assert(report, args->asserts[i], &value) == 1)
			continue;
		weir_tool_error("%u B: %s does not hold: it is %.6g",
				report->result->size, args->asserts[i], value);
		rc = WEIR_EXIT_ASSERT;
	}
	return rc;
}

/* Of an open loop each point has to hold. */
static int
check_asserts(struct weir_report *report)
{
	const struct weir_perf_load *load = report->result->load;
	int rc = 0;

	if (load == NULL || load->count == 0)
		return check_point(report);
	for (uint32_t i = 0; i < load->count && rc == 0; i++) {
		weir_report_load_point(report, i);
		rc = check_point(report);
	}
	return rc;
}

/* rc: of a plot in that folder. */
static void
plot(struct weir_perf_output *out, int rc, const char *folder)
{
	if (rc == -ENOENT)
		weir_tool_note("%s: no plots, gnuplot is not installed; run it "
			       "there later with the .gp file",
			       folder);
	else if (rc == -EIO)
		weir_tool_note(
			"%s: no plots, gnuplot failed; the data is there",
			folder);
	else if (rc != 0)
		out->failed = true;
}

int
weir_output_result(void *arg, const struct weir_perf_result *result)
{
	struct weir_perf_output *out = arg;
	bool first = out->printed == 0;
	struct weir_report report;

	weir_report_of(out->args, result, &report);
	weir_progress_end();
	if (out->args->format == WEIR_PERF_JSON)
		write_json(out, &report, out->to);
	else if (out->args->format == WEIR_PERF_CSV)
		weir_report_csv(&report, out->to, first);
	else
		weir_report_human(&report, out->to,
				  first || out->kind != result->kind);
	fflush(out->to);
	if (out->json != NULL)
		write_json(out, &report, out->json);
	if (out->csv != NULL)
		weir_report_csv(&report, out->csv, first);
	if (out->hlog != NULL)
		weir_hlog_result(out->hlog, result);
	if (out->args->plot != NULL && result->load != NULL)
		plot(out,
		     weir_plot_load(result->load, result->size,
				    out->args->plot),
		     out->args->plot);
	weir_sweep_add(&out->sweep, &report);
	out->printed++;
	out->kind = result->kind;
	show_progress(out, &report);
	if (!weir_integrity_ok(&result->integrity)) {
		weir_tool_error("%u B: messages were lost, repeated, reordered "
				"or corrupt; this is a defect of the link",
				result->size);
		return WEIR_EXIT_INTEGRITY;
	}
	return check_asserts(&report);
}

/* ---- open, close ---------------------------------------------------------------- */

static FILE *
open_output(const char *folder, const char *name)
{
	char path[4096];
	FILE *file;

	if (folder == NULL)
		snprintf(path, sizeof(path), "%s", name);
	else
		snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "we");
	if (file == NULL)
		weir_tool_error("%s: %s; choose another place with -o", path,
				strerror(errno));
	return file;
}

/* @return 0, or exit code. */
static int
make_folder(const char *folder, const char *option)
{
	if (mkdir(folder, 0777) == 0 || errno == EEXIST)
		return 0;
	weir_tool_error("%s: %s; choose another place with %s", folder,
			strerror(errno), option);
	return WEIR_EXIT_USAGE;
}

static int
open_folder(struct weir_perf_output *out, const char *folder)
{
	int rc = make_folder(folder, "-o");

	if (rc != 0)
		return rc;
	out->json = open_output(folder, "sweep.json");
	out->csv = out->json != NULL ? open_output(folder, "sweep.csv") : NULL;
	return out->csv != NULL ? 0 : WEIR_EXIT_USAGE;
}

int
weir_output_open(const struct weir_perf_args *args,
		 struct weir_perf_output **output)
{
	struct weir_perf_output *out = calloc(1, sizeof(*out));
	int rc = 0;

	*output = out;
	if (out == NULL)
		return WEIR_EXIT_NOT_READY;
	out->args = args;
	out->to = stdout;
	if (args->output != NULL && args->sweep) {
		rc = open_folder(out, args->output);
		if (rc != 0 && args->output_ours)
			rc = 0; /* it is said: what is printed is left */
	} else if (args->output != NULL &&
		   (out->to = open_output(NULL, args->output)) == NULL)
		rc = WEIR_EXIT_USAGE;
	if (rc == 0 && args->plot != NULL)
		rc = make_folder(args->plot, "--plot");
	if (rc == 0 && args->hlog != NULL) {
		out->hlog = open_output(NULL, args->hlog);
		if (out->hlog == NULL)
			return WEIR_EXIT_USAGE;
		weir_hlog_begin(out->hlog, args->command);
	}
	return rc;
}

static void
end_stream(struct weir_perf_output *out)
{
	if (out->args->format == WEIR_PERF_JSON)
		end_json(out, out->to);
	else if (out->args->format == WEIR_PERF_HUMAN && out->printed > 0) {
		if (out->args->sweep)
			weir_sweep_human(&out->sweep, out->to);
		if (out->csv != NULL)
			fprintf(out->to, "files: %s\n", out->args->output);
		fprintf(out->to, "repeat: %s\n", out->args->command);
	}
}

static void
end_folder(struct weir_perf_output *out)
{
	if (out->csv == NULL)
		return;
	end_json(out, out->json);
	plot(out, weir_sweep_plot(&out->sweep, out->args->output),
	     out->args->output);
}

static void
close_file(struct weir_perf_output *out, FILE *file)
{
	if (file != NULL && file != stdout && fclose(file) != 0)
		out->failed = true;
}

int
weir_output_close(struct weir_perf_output *out, int rc)
{
	if (out == NULL)
		return rc;
	weir_progress_end();
	if (out->to != NULL)
		end_stream(out);
	end_folder(out);
	close_file(out, out->to);
	close_file(out, out->json);
	close_file(out, out->csv);
	close_file(out, out->hlog);
	if (out->failed) {
		weir_tool_error("%s: the result could not be written; is the "
				"disk full?",
				out->args->output != NULL ? out->args->output
							  : "standard output");
		rc = rc != 0 ? rc : WEIR_EXIT_NOT_READY;
	}
	free(out);
	return rc;
}
