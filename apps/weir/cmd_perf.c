/* SPDX-License-Identifier: BSD-3-Clause */
/* weir perf: the command line. */

#include <stdio.h>

#include "perf.h"
#include "fault.h"
#include "report.h"
#include "tool.h"

#define TIME_DEFAULT_NS   UINT64_C(3000000000)
#define SWEEP_TOTAL_NS    UINT64_C(60000000000)
#define WARMUP_DEFAULT_NS UINT64_C(200000000)
#define BURST_DEFAULT     32u
/* What a port of the dpdk driver has for links, and what we leave over. */
#define MBUFS_DEFAULT 4096u
#define LINKS_MBUFS   256u
#define SIZE_DEFAULT  64u

static struct weir_perf_args args;
static bool json_wanted, all_sizes;
static uint64_t rate;
static int coalesce_off;

/* ---- options ------------------------------------------------------------------ */

static int
add_sizes(const struct weir_opt *opt, const char *value)
{
	char item[32];

	(void)opt;
	for (const char *at = value; *at != '\0';) {
		size_t len = strcspn(at, ",");
		uint64_t bytes = 0;

		snprintf(item, sizeof(item), "%.*s", (int)len, at);
		if (len >= sizeof(item) || weir_opt_size(item, &bytes) != 0 ||
		    bytes > WEIR_MSG_SIZE_LIMIT ||
		    args.size_count == WEIR_PERF_SIZES_MAX) {
			weir_tool_error("-s: '%s' is not a list of up to %d "
					"sizes of at most 16Mi; write for "
					"example -s 64,1Ki",
					value, WEIR_PERF_SIZES_MAX);
			return WEIR_EXIT_USAGE;
		}
		args.sizes[args.size_count++] = (uint32_t)bytes;
		at += len + (at[len] == ',');
	}
	return WEIR_OPT_RUN;
}

static int
set_cpus(const struct weir_opt *opt, const char *value)
{
	char end;
	int got;

	(void)opt;
	args.cpus[1] = -1;
	got = sscanf(value, "%d,%d%c", &args.cpus[0], &args.cpus[1], &end);
	if (strspn(value, "0123456789,") == strlen(value) &&
	    (got == 1 || got == 2) && args.cpus[0] >= 0)
		return WEIR_OPT_RUN;
	weir_tool_error("--cpu: '%s' is not one or two CPU numbers; write for "
			"example --cpu 0,1",
			value);
	return WEIR_EXIT_USAGE;
}

static int
add_assert(const struct weir_opt *opt, const char *value)
{
	(void)opt;
	if (weir_report_assert(NULL, value, NULL) < 0) {
		weir_tool_error("--assert: '%s' is not understood; write for "
				"example 'rtt.p99<20us', 'ratio<1.25' or "
				"'lost==0'",
				value);
		return WEIR_EXIT_USAGE;
	}
	if (args.assert_count == WEIR_PERF_ASSERTS_MAX) {
		weir_tool_error("--assert: more than %d; leave some out",
				WEIR_PERF_ASSERTS_MAX);
		return WEIR_EXIT_USAGE;
	}
	args.asserts[args.assert_count++] = value;
	return WEIR_OPT_RUN;
}

static const char *const on_off[] = { "on", "off", NULL };
static const char *const formats[] = { "human", "json", "csv", NULL };

static const struct weir_opt options[] = {
	{ 0, "self", WEIR_OPT_FLAG, &args.self, NULL,
	  "start the peer too, and measure the machine's floor beside it" },
	{ 0, "peer", WEIR_OPT_STRING, &args.peer_endpoint, "ENDPOINT",
	  "with --self: the peer's endpoint, if it needs a device of its own" },
	{ 's', "size", WEIR_OPT_CALL, NULL, "SIZE[,SIZE]...",
	  "bytes per message (default 64)", .call = add_sizes },
	{ 'a', "all-sizes", WEIR_OPT_FLAG, &all_sizes, NULL,
	  "all powers of two from 1 to 64Ki" },
	{ 0, "edges", WEIR_OPT_FLAG, &args.edges, NULL,
	  "with --self: the sizes around each edge of the link's classes too" },
	{ 't', "time", WEIR_OPT_TIME, &args.time_ns, "TIME",
	  "measure so long per size (default 3s)", .min = 1000000 },
	{ 'T', "total", WEIR_OPT_TIME, &args.total_ns, "TIME",
	  "all sizes together, at most (default of sweep without -t: 60s)",
	  .min = 10000000 },
	{ 'n', "count", WEIR_OPT_COUNT, &args.count, "N",
	  "stop after N messages; serve: after N clients", .min = 1 },
	{ 'O', "omit", WEIR_OPT_TIME, &args.warmup_ns, "TIME",
	  "warm-up, left out of the result (default 200ms)" },
	{ 'b', "burst", WEIR_OPT_COUNT, &args.burst, "N",
	  "bw: messages per reserve (default 32)", .min = 1,
	  .max = WEIR_PERF_BURST_MAX },
	{ 'P', "producers", WEIR_OPT_COUNT, &args.producers, "N",
	  "bw --self: N threads on one send half, beside one alone", .min = 2,
	  .max = WEIR_PERF_PRODUCERS_MAX },
	{ 'i', "interval", WEIR_OPT_TIME, &args.interval_ns, "TIME",
	  "with --self: progress on stderr (default: none)", .min = 100000000 },
	{ 0, "cpu", WEIR_OPT_CALL, NULL, "A[,B]",
	  "our CPU; with --self also the peer's (default: the first two)",
	  .call = set_cpus },
	{ 'r', "rate", WEIR_OPT_COUNT, &rate, "N", "load: messages per second",
	  .min = 1, .max = 1000000000 },
	{ 0, "find-max", WEIR_OPT_FLAG, &args.find_max, NULL,
	  "load: search the highest rate that is kept up, then measure at 10, "
	  "50 and 90 % of it" },
	{ 0, "half", WEIR_OPT_FLAG, &args.half, NULL,
	  "lat: print half of the round trip (table only)" },
	{ 0, "sleep", WEIR_OPT_FLAG, &args.sleep, NULL,
	  "lat with --self: both sides sleep until a message comes, dpdk with "
	  "rx interrupts; the floor is an eventfd, or raw bursts that poll" },
	{ 0, "verify", WEIR_OPT_FLAG, &args.verify, NULL,
	  "check every byte; order and loss are checked always" },
	{ 0, "coalesce", WEIR_OPT_CHOICE, &coalesce_off, "on|off",
	  "dpdk: may small messages share a packet (default on)",
	  .choices = on_off },
	{ 0, "links", WEIR_OPT_COUNT, &args.links, "N",
	  "dpdk, with --self: so many links of 4 messages of 1 KiB, all but "
	  "one idle",
	  .min = 1, .max = 50000 },
	{ 0, "fault", WEIR_OPT_STRING, &weir_fault_spec, "SPEC",
	  "dpdk: a bad network, as loss=1%,dup=0.5%,seed=7; --self: both "
	  "sides, and beside it the link without" },
	{ 0, "assert", WEIR_OPT_CALL, NULL, "EXPR",
	  "exit 5 unless it holds: rtt.p99<20us, ratio<1.25; repeatable",
	  .call = add_assert },
	{ 'f', "format", WEIR_OPT_CHOICE, &args.format, "FORMAT",
	  "human, json or csv", .choices = formats },
	{ 'J', "json", WEIR_OPT_FLAG, &json_wanted, NULL, "as --format=json" },
	{ 0, "hlog", WEIR_OPT_STRING, &args.hlog, "FILE",
	  "lat, load: the histograms too, as an HdrHistogram log" },
	{ 0, "plot", WEIR_OPT_STRING, &args.plot, "DIR",
	  "load: a plot by percentile there, SVG and PNG, with data and "
	  "script" },
	{ 'o', "output", WEIR_OPT_STRING, &args.output, "FILE",
	  "write the result there instead of to stdout; sweep: a folder for "
	  "JSON, CSV and plots, besides (default weir-sweep-DRIVER, - for "
	  "none)" },
	{ 0 },
};

static const struct weir_opt_command command = {
	.name = "weir perf",
	.usage = "serve|lat|bw|sweep|load [OPTION]... ENDPOINT",
	.summary = "latency and rate of a link, beside the machine's floor",
	.details = "serve answers lat and bw of another weir; lat is a closed "
		   "loop of round trips,\nbw one way, counted at the receiver, "
		   "sweep both over sizes, load round trips by\na plan. --self "
		   "needs no other command:\n"
		   "  weir perf lat shm: --self -s 32\n"
		   "  weir perf bw dpdk: --self -s 64 -J\n"
		   "  weir perf sweep shm: --self --edges\n"
		   "  weir perf load shm: --self --find-max",
	.options = options,
	.args_min = 2,
	.args_max = 2,
};

/* ---- command ------------------------------------------------------------------ */

/* "weir perf lat shm: --self -s 32", as typed: how to repeat a figure. */
static void
keep_command(int argc, char **argv)
{
	size_t used =
		(size_t)snprintf(args.command, sizeof(args.command), "weir");

	for (int i = 0; i < argc && used < sizeof(args.command); i++) {
		bool quote = strpbrk(argv[i], " <>*?[];&|'\"") != NULL;

		used += (size_t)snprintf(args.command + used,
					 sizeof(args.command) - used,
					 quote ? " '%s'" : " %s", argv[i]);
	}
}

static void
choose_sizes(void)
{
	if (all_sizes)
		for (uint32_t size = 1; size <= WEIR_MSG_SIZE_DEFAULT;
		     size *= 2)
			args.sizes[args.size_count++] = size;
	if (args.size_count == 0 && args.sweep)
		for (uint32_t size = 0; size <= WEIR_MSG_SIZE_LIMIT;
		     size = size > 0 ? size * 2 : 1)
			args.sizes[args.size_count++] = size;
	if (args.size_count == 0 && !args.serve)
		args.sizes[args.size_count++] = SIZE_DEFAULT;
}

/* @return 0, or exit code. */
static int
check_load(void)
{
	args.rate = (double)rate;
	if (!args.self) {
		weir_tool_error("load: needs --self; add it");
		return WEIR_EXIT_USAGE;
	}
	if ((rate != 0) == args.find_max) {
		weir_tool_error("load: needs a rate, or the search for one; "
				"give -r N or --find-max");
		return WEIR_EXIT_USAGE;
	}
	return 0;
}

/* A sweep leaves files, unless told not to. */
static void
choose_folder(void)
{
	static char folder[64];

	if (args.output == NULL) {
		snprintf(folder, sizeof(folder), "weir-sweep-%.*s",
			 (int)strcspn(args.endpoint, ":"), args.endpoint);
		args.output = folder;
		args.output_ours = true;
	} else if (strcmp(args.output, "-") == 0) {
		args.output = NULL;
	}
}

/* Options that belong to one kind of measurement. @return 0, or exit code. */
static int
check_kinds(void)
{
	if (args.producers != 0 && (!args.self || args.kind != WEIR_PERF_BW ||
				    args.sweep || args.output != NULL)) {
		weir_tool_error("-P: belongs to bw with --self, and prints to "
				"standard output; use these");
		return WEIR_EXIT_USAGE;
	}
	if (args.sleep &&
	    (!args.self || args.kind != WEIR_PERF_LAT || args.sweep)) {
		weir_tool_error("--sleep: belongs to lat with --self; use "
				"these");
		return WEIR_EXIT_USAGE;
	}
	if (args.edges && (!args.self || !args.sweep)) {
		weir_tool_error("--edges: belongs to sweep with --self; use "
				"these");
		return WEIR_EXIT_USAGE;
	}
	if (args.plot != NULL && args.kind != WEIR_PERF_LOAD) {
		weir_tool_error("--plot: belongs to load; a sweep plots by "
				"itself");
		return WEIR_EXIT_USAGE;
	}
	return 0;
}

/* @return 0, or exit code. */
static int
choose_defaults(void)
{
	int rc;

	if (all_sizes && args.size_count > 0) {
		weir_tool_error("-a: not together with -s; leave one out");
		return WEIR_EXIT_USAGE;
	}
	if (args.serve && args.self) {
		weir_tool_error("serve: not together with --self, which starts "
				"its own peer; use lat or bw");
		return WEIR_EXIT_USAGE;
	}
	if (args.cpus[0] >= 0 && args.self != (args.cpus[1] >= 0)) {
		weir_tool_error("--cpu: --self needs two CPUs, otherwise one "
				"is ours to choose; write for example "
				"--cpu 0,1");
		return WEIR_EXIT_USAGE;
	}
	if (args.peer_endpoint != NULL && !args.self) {
		weir_tool_error("--peer: belongs to --self; add it");
		return WEIR_EXIT_USAGE;
	}
	if (args.links != 0 &&
	    (!args.self || strncmp(args.endpoint, "dpdk:", 5) != 0)) {
		weir_tool_error("--links: is for dpdk: endpoints with --self");
		return WEIR_EXIT_USAGE;
	}
	rc = check_kinds();
	if (rc != 0)
		return rc;
	if (args.kind == WEIR_PERF_LOAD && (rc = check_load()) != 0)
		return rc;
	choose_sizes();
	if (args.sweep)
		choose_folder();
	if (args.sweep && args.total_ns == 0 && args.time_ns == 0)
		args.total_ns = SWEEP_TOTAL_NS;
	if (args.time_ns == 0)
		args.time_ns = TIME_DEFAULT_NS;
	if (args.warmup_ns == UINT64_MAX)
		args.warmup_ns = WARMUP_DEFAULT_NS;
	if (json_wanted)
		args.format = WEIR_PERF_JSON;
	return 0;
}

static int
measure(void)
{
	struct weir_perf_output *output;
	int rc = weir_output_open(&args, &output);

	if (rc == 0)
		rc = args.self
			     ? weir_perf_self(&args, weir_output_result, output)
			     : weir_perf_remote(&args, weir_output_result,
						output);
	return weir_output_close(output, rc);
}

/* @return 0, or exit code. */
static int
set_kind(const char *word)
{
	static const char *const kinds[] = { "serve", "lat",  "bw",
					     "sweep", "load", NULL };
	const char *near = weir_opt_nearest(word, kinds);

	args.kind = strcmp(word, "bw") == 0     ? WEIR_PERF_BW
		    : strcmp(word, "load") == 0 ? WEIR_PERF_LOAD
						: WEIR_PERF_LAT;
	args.sweep = strcmp(word, "sweep") == 0;
	args.serve = strcmp(word, "serve") == 0;
	if (args.sweep || args.serve || args.kind != WEIR_PERF_LAT ||
	    strcmp(word, "lat") == 0)
		return 0;
	weir_tool_error("perf %s: no such measurement; %s%s", word,
			near != NULL ? "did you mean " : "there are ",
			near != NULL ? near : "serve, lat, bw, sweep and load");
	return WEIR_EXIT_USAGE;
}

/* A key of the port: both sides get it. */
static int
add_key(const char *key)
{
	char longer[WEIR_SELF_ENDPOINT_MAX];
	static char endpoints[2][WEIR_SELF_ENDPOINT_MAX];
	const char **given[2] = { &args.endpoint, &args.peer_endpoint };

	for (int i = 0; i < 2; i++) {
		if (*given[i] == NULL)
			continue;
		if ((size_t)snprintf(longer, sizeof(longer), "%s,%s", *given[i],
				     key) >= sizeof(longer)) {
			weir_tool_error("%.32s...: endpoint is too long; "
					"shorten it",
					*given[i]);
			return WEIR_EXIT_USAGE;
		}
		memcpy(endpoints[i], longer, sizeof(longer));
		*given[i] = endpoints[i];
	}
	return 0;
}

/* Mbufs for all the links, if it is we who say how many there are. */
static int
make_room_for_links(void)
{
	uint64_t mbufs = args.links * WEIR_LINKS_CREDITS + LINKS_MBUFS;
	char key[40];

	if (args.links == 0 || mbufs <= MBUFS_DEFAULT)
		return 0;
	snprintf(key, sizeof(key), "mbufs=%llu", (unsigned long long)mbufs);
	return add_key(key);
}

/* A port that is polled may sleep only if it was opened so. */
static int
let_ports_sleep(void)
{
	if (!args.sleep || !weir_perf_polled(args.endpoint) ||
	    strstr(args.endpoint, ",wait=") != NULL)
		return 0;
	return add_key("wait=intr");
}

int
weir_cmd_perf(int argc, char **argv)
{
	int rc;

	args.cpus[0] = args.cpus[1] = -1;
	args.burst = BURST_DEFAULT;
	args.warmup_ns = UINT64_MAX;
	keep_command(argc, argv);
	rc = weir_opt_parse(&command, &argc, &argv);
	if (rc != WEIR_OPT_RUN)
		return rc;
	args.endpoint = argv[1];
	rc = set_kind(argv[0]);
	if (rc == 0 && coalesce_off)
		rc = add_key("coalesce=off");
	if (rc == 0)
		rc = let_ports_sleep();
	if (rc == 0)
		rc = make_room_for_links();
	if (rc == 0)
		rc = choose_defaults();
	if (rc != 0)
		return rc;
	if (args.self && weir_self_inherited())
		return weir_perf_self_peer(&args); /* we are the other side */
	weir_tool_catch_signals();
	if (!args.self && args.cpus[0] >= 0 &&
	    (rc = weir_cpu_pin(args.cpus[0])) != 0) {
		weir_tool_error("--cpu: CPU %d: %s; choose another one",
				args.cpus[0], weir_strerror(rc));
		return WEIR_EXIT_NOT_READY;
	}
	if (args.producers != 0)
		return weir_perf_producers(&args);
	return args.serve ? weir_perf_serve(&args) : measure();
}
