/* SPDX-License-Identifier: BSD-3-Clause */

/* weir stat: live counters of running processes, which are only read. */

#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "counters.h"
#include "stat_read.h"
#include "tool.h"

static struct {
	bool json;
	bool all;
	uint64_t interval_ns;
	uint64_t count;
} args = { .interval_ns = UINT64_C(1000000000) };

static const struct weir_opt options[] = {
	{ 'J', "json", WEIR_OPT_FLAG, &args.json, NULL, "JSON" },
	{ 'a', "all", WEIR_OPT_FLAG, &args.all, NULL,
	  "show: counters that are 0, too" },
	{ 'i', "interval", WEIR_OPT_TIME, &args.interval_ns, "TIME",
	  "watch: between two looks (1s)", .min = 10000000 },
	{ 'n', "count", WEIR_OPT_COUNT, &args.count, "N",
	  "watch: end after N looks", .min = 1 },
	{ 0 },
};

static const struct weir_opt_command command = {
	.name = "weir stat",
	.usage = "[OPTION]... list|show|watch [PID]",
	.summary = "live counters of running processes",
	.details = "A process shows its counters if it was started with\n"
		   "WEIR_STATS=1 in its environment, or asks for it itself\n"
		   "(weir_port_config.stats). Others than its user cannot read "
		   "them.",
	.options = options,
	.args_min = 1,
	.args_max = 2,
};

/* ---- what there is --------------------------------------------------------- */

static const char *
text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL && text[0] != '\0' ? text : "-";
}

static long long
count_of(const json_t *object, const char *key)
{
	return (long long)json_integer_value(json_object_get(object, key));
}

static long long
half_count(const json_t *link, const char *side, const char *key)
{
	return count_of(json_object_get(link, side), key);
}

/* ---- list ------------------------------------------------------------------ */

/* @param text 24 bytes. */
static const char *
messages_of(const json_t *link, const char *side, char *text)
{
	const json_t *half = json_object_get(link, side);

	if (json_object_get(half, "messages") == NULL)
		return "-"; /* nobody counts them there */
	snprintf(text, 24, "%lld", count_of(half, "messages"));
	return text;
}

static void
note_hidden(const json_t *process)
{
	long long count = count_of(process, "without_place");

	if (count != 0)
		printf("process %lld: %lld more ports, links and halves have "
		       "no place to be shown in\n",
		       count_of(process, "pid"), count);
}

static void
list_process(const json_t *process)
{
	char sent[24], received[24];
	json_t *links = json_object_get(process, "links"), *link;
	size_t i;

	if (json_array_size(links) == 0)
		printf("%8lld %-16s %6s\n", count_of(process, "pid"),
		       text_of(process, "program"), "-");
	json_array_foreach(links, i, link) printf(
		"%8lld %-16s %6lld %-12s %14s %14s  %s\n",
		count_of(process, "pid"), text_of(process, "program"),
		count_of(link, "id"), text_of(link, "state"),
		messages_of(link, "tx", sent),
		messages_of(link, "rx", received), text_of(link, "endpoint"));
	note_hidden(process);
}

static void
print_list(const json_t *processes)
{
	json_t *process;
	size_t i;

	printf("%8s %-16s %6s %-12s %14s %14s  %s\n", "pid", "program", "link",
	       "state", "sent", "received", "endpoint");
	json_array_foreach(processes, i, process) list_process(process);
}

/* ---- show ------------------------------------------------------------------ */

/* What the tables of weir_stats.h say about a counter. */
struct lookup {
	const char *part;
	const char *name;
	const struct weir_counter *found;
};

static void
look_up(void *arg, const char *part, const struct weir_counter *counter,
	uint64_t value)
{
	struct lookup *lookup = arg;

	(void)value;
	if (strcmp(part, lookup->part) == 0 &&
	    strcmp(counter->name, lookup->name) == 0)
		lookup->found = counter;
}

static void
print_counters(const char *title, const char *part, const json_t *counters)
{
	static const struct weir_counters none;
	const char *name;
	json_t *value;

	if (counters == NULL)
		return;
	printf("    %s\n", title);
	json_object_foreach((json_t *)(uintptr_t)counters, name, value)
	{
		struct lookup lookup = { part, name, NULL };

		if (json_integer_value(value) == 0 && !args.all)
			continue;
		weir_counters_each(&none, look_up, &lookup);
		printf("      %-26s %16lld", name,
		       (long long)json_integer_value(value));
		if (lookup.found != NULL)
			printf("  %s: %s", lookup.found->unit,
			       lookup.found->text);
		putchar('\n');
	}
}

static void
print_age(const json_t *object)
{
	if (json_object_get(object, "age_ms") != NULL)
		printf(", as of %lld ms ago", count_of(object, "age_ms"));
	putchar('\n');
}

static void
show_process(const json_t *process)
{
	json_t *object;
	size_t i;

	printf("process %lld %s, weir %s, since %lld s\n",
	       count_of(process, "pid"), text_of(process, "program"),
	       text_of(process, "version"), count_of(process, "uptime_s"));
	note_hidden(process);
	json_array_foreach(json_object_get(process, "ports"), i, object)
	{
		printf("  port %lld %s", count_of(object, "id"),
		       text_of(object, "endpoint"));
		print_age(object);
		print_counters("port", "port",
			       json_object_get(object, "counters"));
	}
	json_array_foreach(json_object_get(process, "links"), i, object)
	{
		printf("  link %lld %s, %s, peer %s", count_of(object, "id"),
		       text_of(object, "endpoint"), text_of(object, "state"),
		       text_of(object, "peer"));
		print_age(object);
		print_counters("send half", "tx",
			       json_object_get(object, "tx"));
		print_counters("receive half", "rx",
			       json_object_get(object, "rx"));
		print_counters("transport", "link",
			       json_object_get(object, "transport"));
	}
}

static void
print_show(const json_t *processes)
{
	json_t *process;
	size_t i;

	json_array_foreach(processes, i, process) show_process(process);
}

/* ---- watch ----------------------------------------------------------------- */

static const json_t *
by_number(const json_t *array, const char *key, long long number)
{
	json_t *object;
	size_t i;

	json_array_foreach(array, i, object) if (count_of(object, key) ==
						 number) return object;
	return NULL;
}

static double
rate(const json_t *now, const json_t *before, const char *side, const char *key,
     double seconds)
{
	long long grown = half_count(now, side, key);

	if (before == NULL || seconds <= 0)
		return 0;
	return (double)(grown - half_count(before, side, key)) / seconds;
}

/* Adds the rates since the last look to a link. */
static void
set_rates(json_t *link, const json_t *before, double seconds)
{
	static const char *const sides[] = { "tx", "rx" };

	for (int i = 0; i < 2; i++) {
		json_t *half = json_object_get(link, sides[i]);

		json_object_set_new(half, "messages_per_s",
				    json_real(rate(link, before, sides[i],
						   "messages", seconds)));
		json_object_set_new(half, "bytes_per_s",
				    json_real(rate(link, before, sides[i],
						   "payload_bytes", seconds)));
	}
}

static void
set_all_rates(json_t *processes, const json_t *before, double seconds)
{
	json_t *process, *link;
	size_t i, j;

	json_array_foreach(processes, i, process)
	{
		const json_t *old =
			by_number(before, "pid", count_of(process, "pid"));

		json_array_foreach(json_object_get(process, "links"), j, link)
			set_rates(link,
				  by_number(json_object_get(old, "links"), "id",
					    count_of(link, "id")),
				  seconds);
	}
}

static double
real_of(const json_t *link, const char *side, const char *key)
{
	return json_real_value(
		json_object_get(json_object_get(link, side), key));
}

static void
print_rates(const json_t *processes)
{
	json_t *process, *link;
	size_t i, j;

	printf("%8s %6s %14s %14s %14s %14s  %s\n", "pid", "link", "sent/s",
	       "MB/s", "received/s", "MB/s", "endpoint");
	json_array_foreach(processes, i, process)
		json_array_foreach(json_object_get(process, "links"), j, link)
			printf("%8lld %6lld %14.0f %14.3f %14.0f %14.3f  %s\n",
			       count_of(process, "pid"), count_of(link, "id"),
			       real_of(link, "tx", "messages_per_s"),
			       real_of(link, "tx", "bytes_per_s") / 1e6,
			       real_of(link, "rx", "messages_per_s"),
			       real_of(link, "rx", "bytes_per_s") / 1e6,
			       text_of(link, "endpoint"));
}

static void
print_json(const json_t *processes, size_t flags)
{
	json_t *root = json_pack("{s:s,s:O}", "schema", "weir.stat/1",
				 "processes", processes);

	json_dumpf(root, stdout, flags);
	putchar('\n');
	json_decref(root);
}

/* @return false: a signal came. */
static bool
wait_interval(void)
{
	struct pollfd fd = { .fd = weir_tool_signal_fd, .events = POLLIN };

	poll(&fd, 1, (int)(args.interval_ns / 1000000));
	return weir_tool_signal == 0;
}

static int
watch(int pid)
{
	uint64_t then_ns = weir_now_ns(), now_ns;
	json_t *before, *now;
	int rc = weir_stat_read(pid, &before);

	weir_tool_catch_signals();
	for (uint64_t i = 0; rc == 0 && (args.count == 0 || i < args.count);
	     i++) {
		if (!wait_interval())
			break;
		now_ns = weir_now_ns();
		rc = weir_stat_read(pid, &now);
		if (rc != 0)
			break;
		set_all_rates(now, before, (double)(now_ns - then_ns) / 1e9);
		if (args.json)
			print_json(now, JSON_COMPACT);
		else
			print_rates(now);
		fflush(stdout);
		json_decref(before);
		before = now;
		then_ns = now_ns;
	}
	if (rc == 0)
		json_decref(before);
	return rc;
}

/* ---- the command ----------------------------------------------------------- */

static int
once(int pid, void (*print)(const json_t *processes))
{
	json_t *processes;
	int rc = weir_stat_read(pid, &processes);

	if (rc != 0)
		return rc;
	if (pid != 0 && json_array_size(processes) == 0) {
		weir_tool_error("process %d: shows no counters; start it with "
				"WEIR_STATS=1",
				pid);
		rc = WEIR_EXIT_NOT_READY;
	} else if (args.json) {
		print_json(processes, JSON_INDENT(2));
	} else {
		print(processes);
	}
	json_decref(processes);
	return rc;
}

int
weir_cmd_stat(int argc, char **argv)
{
	static const char *const verbs[] = { "list", "show", "watch", NULL };
	int rc = weir_opt_parse(&command, &argc, &argv);
	const char *near;
	uint64_t pid = 0;

	if (rc != WEIR_OPT_RUN)
		return rc;
	if (argc == 2 && (weir_opt_count(argv[1], &pid) != 0 || pid == 0 ||
			  pid > INT32_MAX)) {
		weir_tool_error("%s: is not a process id; 'weir stat list' "
				"lists them",
				argv[1]);
		return WEIR_EXIT_USAGE;
	}
	if (strcmp(argv[0], "list") == 0)
		return once((int)pid, print_list);
	if (strcmp(argv[0], "show") == 0)
		return once((int)pid, print_show);
	if (strcmp(argv[0], "watch") == 0)
		return watch((int)pid);
	near = weir_opt_nearest(argv[0], verbs);
	weir_tool_error("stat %s: no such thing; %s%s", argv[0],
			near != NULL ? "did you mean " : "write list, show or ",
			near != NULL ? near : "watch");
	return WEIR_EXIT_USAGE;
}
