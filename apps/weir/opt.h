/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_OPT_H
#define WEIR_OPT_H

/*
 * Command-line options. A command is one table; from it come the parsing,
 * the help text and the suggestions for a misspelt name:
 *
 *     static struct { uint64_t count; bool listen; } args;
 *
 *     static const struct weir_opt options[] = {
 *         { 'l', "listen", WEIR_OPT_FLAG, &args.listen, NULL,
 *           "wait for the peer instead of calling it" },
 *         { 'n', "count", WEIR_OPT_COUNT, &args.count, "N",
 *           "stop after N messages", .min = 1 },
 *         { 0 },
 *     };
 *
 *     static const struct weir_opt_command command = {
 *         .name = "weir cat", .usage = "[OPTION]... ENDPOINT",
 *         .summary = "messages between a link and stdin, stdout, files",
 *         .options = options, .args_min = 1, .args_max = 1,
 *     };
 *
 *     int
 *     weir_cmd_cat(int argc, char **argv)
 *     {
 *         int rc = weir_opt_parse(&command, &argc, &argv);
 *
 *         if (rc != WEIR_OPT_RUN)
 *             return rc;
 *         ... argv[0] is the endpoint, argc is 1
 *
 * The options that every command has (-h -V -q -v -D, --log-level, --no-color,
 * --hugepages) are added by weir_opt_parse(); a command whose table names one
 * of them itself wins.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* weir_opt_parse(): the command line is good, run the command. */
#define WEIR_OPT_RUN (-1)

enum weir_opt_type {
	WEIR_OPT_FLAG,   /* bool *: set to true */
	WEIR_OPT_CLEAR,  /* bool *: set to false */
	WEIR_OPT_STRING, /* const char ** */
	WEIR_OPT_COUNT,  /* uint64_t *: 10, 10k, 2M, 1G (powers of 1000) */
	WEIR_OPT_SIZE,   /* uint64_t *: bytes: 64, 64k, 64Ki, 16Mi, 1Gi */
	WEIR_OPT_TIME,   /* uint64_t * nanoseconds: 50us, 1.5s, 2m */
	WEIR_OPT_CHOICE, /* int *: position in choices */
	WEIR_OPT_CALL,   /* handled by call() */
};

struct weir_opt {
	char letter;      /* short name, 0: none */
	const char *name; /* long name; the table ends where both are 0 */
	enum weir_opt_type type;
	void *target;               /* by type; for WEIR_OPT_CALL anything */
	const char *value;          /* what help calls the value; NULL: none.
				    "[SIZE]": may be left out, then "" */
	const char *help;           /* one line, no full stop; NULL: hidden */
	uint64_t min;               /* COUNT, SIZE, TIME */
	uint64_t max;               /* 0: no limit */
	const char *const *choices; /* CHOICE: NULL-terminated */
	/* CALL: @return WEIR_OPT_RUN to go on, else the exit code for main. */
	int (*call)(const struct weir_opt *opt, const char *value);
};

struct weir_opt_command {
	const char *name;    /* "weir cat" */
	const char *usage;   /* "[OPTION]... ENDPOINT" */
	const char *summary; /* one line */
	const char *details; /* printed under the options; NULL: nothing */
	const struct weir_opt *options;
	int args_min; /* arguments that are not options */
	int args_max; /* -1: any number */
	bool stop;    /* options end at the first argument (weir lab run) */
};

/*
 * Parse, and leave only the arguments in argc/argv.
 *
 * @return WEIR_OPT_RUN, or the exit code for main: 0 after -h or -V, 2 after
 *         one line on stderr.
 */
int weir_opt_parse(const struct weir_opt_command *command, int *argc,
		   char ***argv);

/* Options that every command has, besides -h; main sets them once. */
void weir_opt_set_common(const struct weir_opt *options);

/* Print the help text of a command to stdout. */
void weir_opt_help(const struct weir_opt_command *command);

/*
 * The candidate that a misspelt word was meant to be.
 *
 * @param names NULL-terminated.
 * @return one of names, or NULL if none is near.
 */
const char *weir_opt_nearest(const char *word, const char *const *names);

/*
 * Numbers with a unit; one without is a plain count, bytes or seconds.
 *
 * @return 0; -EINVAL malformed; -ERANGE does not fit.
 */
int weir_opt_count(const char *text, uint64_t *value);
int weir_opt_size(const char *text, uint64_t *bytes);
int weir_opt_time(const char *text, uint64_t *ns);

#endif /* WEIR_OPT_H */
