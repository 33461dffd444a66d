/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_TOOL_H
#define WEIR_TOOL_H

/*
 * What the commands of the weir program share: common options, the one way
 * to print an error, endpoints with -D expanded, drivers, signals.
 *
 * Results go to stdout, everything else to stderr. An error is one line:
 *
 *     weir: <subject>: <cause>; <what to do>
 */

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "exit.h"
#include "opt.h"
#include "weir.h"

/* ---- commands: each is one cmd_*.c, listed in main.c -------------------- */

int weir_cmd_info(int argc, char **argv);
int weir_cmd_check(int argc, char **argv);
int weir_cmd_cat(int argc, char **argv);
int weir_cmd_perf(int argc, char **argv);
int weir_cmd_lab(int argc, char **argv);
int weir_cmd_stat(int argc, char **argv);

/* ---- common options ------------------------------------------------------ */

struct weir_tool {
	bool quiet;    /* -q: nothing on stderr but errors */
	bool verbose;  /* -v */
	bool no_color; /* --no-color, NO_COLOR, or stdout is no terminal */
	int hugepages; /* enum weir_hugepages */
	int log_level; /* enum weir_log_level that reaches stderr; -1: none */
};

extern struct weir_tool weir_tool;

/* main: set the defaults before, and check stdout after the command. */
void weir_tool_start(void);
int weir_tool_finish(int rc);

/* ---- messages ------------------------------------------------------------- */

/* Print "weir: " and the line on stderr. The text is "subject: cause; what to
 * do", without newline. */
void weir_tool_error(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

/* As weir_tool_error(), but silent with -q. */
void weir_tool_note(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

/*
 * Report a failed weir call: weir_last_error() if it has a text, else subject
 * and weir_strerror(rc) with what to do about it.
 *
 * @return the exit code that rc asks for when a port, listener or link could
 *         not be set up: WEIR_EXIT_USAGE or WEIR_EXIT_NOT_READY.
 */
int weir_tool_fail(const char *subject, int rc);

/*
 * Report a link that was up and failed.
 *
 * @return WEIR_EXIT_LINK.
 */
int weir_tool_link_fail(const char *endpoint, int rc);

/* The callback that prints what --log-level lets through. */
void weir_tool_log(enum weir_log_level level, const char *line);

/* ---- endpoints ------------------------------------------------------------ */

/* Longest endpoint, as in struct weir_endpoint. */
#define WEIR_TOOL_ENDPOINT_MAX 512

/*
 * Make an endpoint of the command line ready for weir_port_open(): replace
 * dev=NAME by what -D NAME=... says, check the scheme (with a suggestion),
 * load the driver if it lives in another library.
 *
 * @param text WEIR_TOOL_ENDPOINT_MAX bytes.
 * @return 0, or an exit code after one line on stderr.
 */
int weir_tool_endpoint(const char *arg, char *text);

/*
 * Open a port for an endpoint that weir_tool_endpoint() made ready, with the
 * common options applied.
 *
 * @param config NULL: defaults; hugepages is taken from the options.
 * @return 0, or an exit code after one line on stderr.
 */
int weir_tool_port_open(const char *endpoint,
			const struct weir_port_config *config,
			struct weir_port **port);

/* ---- signals --------------------------------------------------------------- */

/* Number of the first SIGINT, SIGTERM or SIGHUP that came in, else 0. */
extern volatile sig_atomic_t weir_tool_signal;

/* Readable from the first of them on; never read it. For poll sets. */
extern int weir_tool_signal_fd;

/*
 * From here on the first of those signals only sets weir_tool_signal (system
 * calls return EINTR), the second ends the process at once. SIGPIPE is
 * ignored.
 */
void weir_tool_catch_signals(void);

#endif /* WEIR_TOOL_H */
