/* SPDX-License-Identifier: BSD-3-Clause */
#include "tool.h"

/*
 * Common options, error lines, endpoints and signals; see tool.h.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "driver_load.h"
#include "fault.h"
#include "progress.h"

#define DEVICES_MAX 16
#define SCHEMES_MAX 16

struct weir_tool weir_tool = { .log_level = -1 };

/* -D NAME=DEVARGS, in the order given; the texts belong to argv. */
static struct {
	const char *name; /* up to the '=' */
	size_t name_len;
	const char *devargs;
} devices[DEVICES_MAX];
static unsigned int device_count;

/* ---- messages -------------------------------------------------------------- */

static void
say(const char *format, va_list ap)
{
	char line[1024];

	/* One write, so that lines of two processes do not mix. */
	vsnprintf(line, sizeof(line), format, ap);
	dprintf(STDERR_FILENO, "weir: %s\n", line);
}

void
weir_tool_error(const char *format, ...)
{
	va_list ap;

	weir_progress_end();
	va_start(ap, format);
	say(format, ap);
	va_end(ap);
}

void
weir_tool_note(const char *format, ...)
{
	va_list ap;

	if (weir_tool.quiet)
		return;
	weir_progress_end();
	va_start(ap, format);
	say(format, ap);
	va_end(ap);
}

/* What to do about a failed set-up that left no text of its own. */
static const char *
advice(int rc)
{
	switch (rc) {
	case -ECONNREFUSED:
	case -ETIMEDOUT:
		return "start the listener first, or check the address";
	case -EADDRINUSE:
		return "choose another name or port, or stop the other one";
	case -EACCES:
	case -EPERM:
		return "run it as a user who may, 'weir check' says what lacks";
	case -EINVAL:
		return "see weir-endpoints(7) for how to write it";
	default:
		return "'weir check' looks for the reason";
	}
}

static int
exit_of(int rc)
{
	switch (rc) {
	case -EINVAL:
	case -EMSGSIZE:
	case -EOPNOTSUPP:
		return WEIR_EXIT_USAGE;
	default:
		return WEIR_EXIT_NOT_READY;
	}
}

int
weir_tool_fail(const char *subject, int rc)
{
	const char *text = weir_last_error();

	if (strchr(text, ';') != NULL)
		weir_tool_error("%s", text);
	else if (text[0] != '\0')
		weir_tool_error("%s; %s", text, advice(rc));
	else
		weir_tool_error("%s: %s; %s", subject, weir_strerror(rc),
				advice(rc));
	return exit_of(rc);
}

int
weir_tool_link_fail(const char *endpoint, int rc)
{
	const char *text;

	switch (rc) {
	case -ETIMEDOUT:
		text = "the peer is dead: its process is gone or it went "
		       "silent; start it and this command again";
		break;
	case -ECONNRESET:
		text = "the peer gave up without closing the link; see what "
		       "it printed";
		break;
	case -EPROTO:
		text = "the peer broke the protocol, nothing more of it is "
		       "trusted; both ends need a matching weir";
		break;
	default:
		weir_tool_error("%s: link failed: %s; start both ends again",
				endpoint, weir_strerror(rc));
		return WEIR_EXIT_LINK;
	}
	weir_tool_error("%s: %s", endpoint, text);
	return WEIR_EXIT_LINK;
}

void
weir_tool_log(enum weir_log_level level, const char *line)
{
	static const char *const names[] = { "error", "warn", "notice", "info",
					     "debug" };

	if ((int)level <= weir_tool.log_level)
		dprintf(STDERR_FILENO, "weir: [%s] %s\n", names[level], line);
}

/* ---- common options ----------------------------------------------------------- */

static int
print_version(const struct weir_opt *opt, const char *value)
{
	(void)opt;
	(void)value;
	printf("weir %s\n", weir_version());
	return WEIR_EXIT_OK;
}

static int
be_verbose(const struct weir_opt *opt, const char *value)
{
	(void)opt;
	(void)value;
	weir_tool.log_level = weir_tool.verbose ? WEIR_LOG_DEBUG
						: WEIR_LOG_INFO;
	weir_tool.verbose = true;
	return WEIR_OPT_RUN;
}

static int
add_device(const struct weir_opt *opt, const char *value)
{
	const char *equals = strchr(value, '=');

	(void)opt;
	if (equals == NULL || equals == value || equals[1] == '\0') {
		weir_tool_error("-D: '%s' names no device; write "
				"-D NAME=DEVICE[,KEY=VALUE]...",
				value);
		return WEIR_EXIT_USAGE;
	}
	if (device_count == DEVICES_MAX) {
		weir_tool_error("-D: more than %d devices; leave some out",
				DEVICES_MAX);
		return WEIR_EXIT_USAGE;
	}
	devices[device_count].name = value;
	devices[device_count].name_len = (size_t)(equals - value);
	devices[device_count].devargs = equals + 1;
	device_count++;
	return WEIR_OPT_RUN;
}

static const char *const hugepage_choices[] = { "auto", "never", "require",
						NULL };
static const char *const level_choices[] = { "error", "warn",  "notice",
					     "info",  "debug", NULL };

static const struct weir_opt common_options[] = {
	{ 'V', "version", WEIR_OPT_CALL, NULL, NULL,
	  "print the version and stop", .call = print_version },
	{ 'q', "quiet", WEIR_OPT_FLAG, &weir_tool.quiet, NULL,
	  "nothing on stderr but errors" },
	{ 'v', "verbose", WEIR_OPT_CALL, NULL, NULL,
	  "the library's log on stderr; twice: with debug lines",
	  .call = be_verbose },
	{ 0, "log-level", WEIR_OPT_CHOICE, &weir_tool.log_level, "LEVEL",
	  "log: error, warn, notice, info or debug", .choices = level_choices },
	{ 0, "no-color", WEIR_OPT_FLAG, &weir_tool.no_color, NULL,
	  "no colours (also: NO_COLOR in the environment)" },
	{ 'D', "device", WEIR_OPT_CALL, NULL, "NAME=DEVARGS",
	  "let dev=NAME in an endpoint stand for this device",
	  .call = add_device },
	{ 0, "hugepages", WEIR_OPT_CHOICE, &weir_tool.hugepages, "WHEN",
	  "auto (when there are any), never or require",
	  .choices = hugepage_choices },
	{ 0 },
};

/* Started with one of them closed: no new descriptor is to become stdout. */
static void
hold_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

void
weir_tool_start(void)
{
	const char *no_color = getenv("NO_COLOR");

	hold_standard_fds();
	weir_opt_set_common(common_options);
	weir_set_log(weir_tool_log);
	weir_fault_start();
	weir_tool.no_color = (no_color != NULL && no_color[0] != '\0') ||
			     !isatty(1);
}

int
weir_tool_finish(int rc)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return rc;
	weir_tool_error("standard output: %s; the result is incomplete",
			strerror(errno));
	return rc != WEIR_EXIT_OK ? rc : WEIR_EXIT_NOT_READY;
}

/* ---- endpoints ------------------------------------------------------------------ */

/* dev=NAME becomes dev=DEVICE,dev.KEY=VALUE... @return bytes, or -1. */
static int
expand_device(const char *name, size_t len, char *out, size_t size)
{
	for (unsigned int i = 0; i < device_count; i++) {
		const char *from = devices[i].devargs;
		size_t used = 0;

		if (devices[i].name_len != len ||
		    strncmp(devices[i].name, name, len) != 0)
			continue;
		for (int first = 1; *from != '\0'; first = 0) {
			size_t part = strcspn(from, ",");
			int n = snprintf(out + used, size - used, "%s%.*s",
					 first ? "dev=" : ",dev.", (int)part,
					 from);

			if (n < 0 || (size_t)n >= size - used)
				return -1;
			used += (size_t)n;
			from += part + (from[part] == ',');
		}
		return (int)used;
	}
	if (len + 5 > size)
		return -1;
	return snprintf(out, size, "dev=%.*s", (int)len, name);
}

/* Copy arg with every device name of -D replaced. @return 0 or -1. */
static int
expand_devices(const char *arg, char *text, size_t size)
{
	size_t used = 0;

	for (const char *from = arg; *from != '\0';) {
		size_t part = strcspn(from, ",");
		int n;

		if (used > 0 && used + 1 < size)
			text[used++] = ',';
		if (from != arg && strncmp(from, "dev=", 4) == 0)
			n = expand_device(from + 4, part - 4, text + used,
					  size - used);
		else
			n = snprintf(text + used, size - used, "%.*s",
				     (int)part, from);
		if (n < 0 || (size_t)n >= size - used)
			return -1;
		used += (size_t)n;
		from += part;
		/* A comma at the end stays: the parser names the mistake. */
		if (from[0] == ',' && from[1] == '\0' && used + 1 < size) {
			text[used++] = ',';
			text[used] = '\0';
			break;
		}
		from += *from == ',';
	}
	return 0;
}

static int
refuse_scheme(const char *scheme)
{
	const char *names[SCHEMES_MAX + 2];
	const struct weir_driver *driver;
	char list[128] = "dpdk";
	size_t used = strlen(list);
	unsigned int n = 0;
	const char *near;

	while (n < SCHEMES_MAX &&
	       (driver = weir_driver_find(NULL, n)) != NULL) {
		names[n] = weir_driver_scheme(driver);
		if (strcmp(names[n++], "dpdk") != 0 && used < sizeof(list))
			used += (size_t)snprintf(list + used,
						 sizeof(list) - used, ", %s",
						 names[n - 1]);
	}
	names[n++] = "dpdk";
	names[n] = NULL;
	near = weir_opt_nearest(scheme, names);
	if (near != NULL)
		weir_tool_error("%s: no such scheme; did you mean %s:...?",
				scheme, near);
	else
		weir_tool_error("%s: no such scheme; there are %s", scheme,
				list);
	return WEIR_EXIT_USAGE;
}

int
weir_tool_endpoint(const char *arg, char *text)
{
	size_t len = strcspn(arg, ":");
	char scheme[32];
	int rc;

	if (arg[len] != ':' || len == 0 || len >= sizeof(scheme)) {
		weir_tool_error("'%.64s': not an endpoint; write "
				"scheme:address, for example shm:demo",
				arg);
		return WEIR_EXIT_USAGE;
	}
	snprintf(scheme, sizeof(scheme), "%.*s", (int)len, arg);
	if (expand_devices(arg, text, WEIR_TOOL_ENDPOINT_MAX) != 0) {
		weir_tool_error("%.32s...: endpoint is longer than %d bytes; "
				"shorten it",
				arg, WEIR_TOOL_ENDPOINT_MAX - 1);
		return WEIR_EXIT_USAGE;
	}
	rc = weir_driver_load(scheme);
	if (rc == -ENOENT)
		return refuse_scheme(scheme);
	if (rc != 0) {
		weir_tool_error("%s", weir_driver_load_error());
		return WEIR_EXIT_NOT_READY;
	}
	return 0;
}

int
weir_tool_port_open(const char *endpoint, const struct weir_port_config *config,
		    struct weir_port **port)
{
	struct weir_port_config own = { sizeof(own) };
	int rc;

	if (config != NULL)
		own = *config;
	if (own.hugepages == WEIR_HUGEPAGES_AUTO)
		own.hugepages = (uint32_t)weir_tool.hugepages;
	rc = weir_port_open(endpoint, &own, port);
	if (rc != 0)
		return weir_tool_fail(endpoint, rc);
	rc = weir_fault_switch(endpoint, *port, true);
	if (rc == 0)
		return 0;
	if (rc == -EOPNOTSUPP)
		weir_tool_error("--fault: only dpdk: endpoints have devices "
				"that can lose something; leave it out of %s",
				endpoint);
	else
		(void)weir_tool_fail("--fault", rc);
	(void)weir_port_close(*port);
	*port = NULL;
	return rc == -EINVAL || rc == -EOPNOTSUPP ? WEIR_EXIT_USAGE
						  : WEIR_EXIT_NOT_READY;
}

/* ---- signals --------------------------------------------------------------------- */

volatile sig_atomic_t weir_tool_signal;
int weir_tool_signal_fd = -1;

static void
note_signal(int number)
{
	int saved = errno;
	uint64_t one = 1;

	if (weir_tool_signal != 0)
		_exit(WEIR_EXIT_INTERRUPT);
	weir_tool_signal = number;
	if (write(weir_tool_signal_fd, &one, sizeof(one)) < 0) {
		/* No descriptor: the flag and EINTR have to do. */
	}
	errno = saved;
}

void
weir_tool_catch_signals(void)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction action = { .sa_handler = note_signal }, before;

	weir_tool_signal_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		sigaction(numbers[i], NULL, &before);
		/* nohup stays in force. */
		if (numbers[i] != SIGHUP || before.sa_handler != SIG_IGN)
			sigaction(numbers[i], &action, NULL);
	}
	signal(SIGPIPE, SIG_IGN);
}
