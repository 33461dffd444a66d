/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * weir COMMAND: the table of commands and the way to them. Each command is a
 * file of its own, cmd_NAME.c, which parses what follows its name.
 */

#include <stdio.h>
#include <string.h>

#include "tool.h"

struct command {
	const char *name;
	int (*run)(int argc, char **argv); /* argv[0] is the name */
	const char *summary;
};

static const struct command commands[] = {
	{ "info", weir_cmd_info, "version, build, drivers, limits" },
	{ "check", weir_cmd_check, "is this machine ready for weir?" },
	{ "perf", weir_cmd_perf, "latency and rate of a link, with floors" },
	{ "cat", weir_cmd_cat, "messages between a link and files or pipes" },
	{ "stat", weir_cmd_stat, "live counters of running processes" },
	{ "lab", weir_cmd_lab, "two hosts joined by a cable, on this machine" },
	{ NULL, NULL, NULL },
};

static int
refuse_command(const char *name)
{
	const char *names[sizeof(commands) / sizeof(commands[0])];
	const char *near;
	size_t i;

	for (i = 0; commands[i].name != NULL; i++)
		names[i] = commands[i].name;
	names[i] = NULL;
	near = weir_opt_nearest(name, names);
	if (near != NULL)
		weir_tool_error("%s: no such command; did you mean '%s'?", name,
				near);
	else
		weir_tool_error("%s: no such command; 'weir --help' lists them",
				name);
	return WEIR_EXIT_USAGE;
}

/* The end of the help text: what there is to choose from. */
static const char *
command_list(void)
{
	static char text[1024];
	size_t used = 0;

	used += (size_t)snprintf(text, sizeof(text), "Commands:\n");
	for (size_t i = 0; commands[i].name != NULL; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used,
					 "  %-8s%s\n", commands[i].name,
					 commands[i].summary);
	snprintf(text + used, sizeof(text) - used,
		 "\n'weir COMMAND --help' tells more, so does man weir-COMMAND."
		 "\nFirst steps: weir cat -l shm:demo, and in another terminal"
		 " weir cat shm:demo.");
	return text;
}

int
main(int argc, char **argv)
{
	struct weir_opt_command command = {
		.name = "weir",
		.usage = "[OPTION]... COMMAND [ARGUMENT]...",
		.summary = "message links over shared memory and DPDK queues",
		.details = command_list(),
		.args_max = -1,
		.stop = true,
	};
	int rc;

	weir_tool_start();
	rc = weir_opt_parse(&command, &argc, &argv);
	if (rc != WEIR_OPT_RUN)
		return weir_tool_finish(rc);
	if (argc == 0) {
		weir_tool_error("no command given; 'weir --help' lists them");
		return WEIR_EXIT_USAGE;
	}
	for (size_t i = 0; commands[i].name != NULL; i++)
		if (strcmp(commands[i].name, argv[0]) == 0)
			return weir_tool_finish(commands[i].run(argc, argv));
	return refuse_command(argv[0]);
}
