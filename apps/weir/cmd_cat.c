/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * weir cat: see cat.h for the parts. Here: options, set-up, the loop that
 * drives both pumps, and the ways to end.
 *
 *     input ends       the direction is closed, the peer sees end of stream
 *     both closed      wait until the peer has everything, exit 0
 *     link fails       write out what came before, one line, exit 1
 *     interrupted      abort in band, so that a cut transfer never looks
 *                      complete to the peer, exit 130
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cat.h"
#include "fault.h"

/* Idle for this long: stop spinning, and sleep or nap. */
#define SPIN_NS UINT64_C(100000)

/* Naps where nothing can wake us: short at first, then longer. */
#define NAP_MIN_NS UINT64_C(50000)
#define NAP_MAX_NS UINT64_C(1000000)

/* A link that receives nothing more is looked at this often. */
#define STATUS_NS UINT64_C(100000000)

/* --frame file: long enough that calls do not count, short enough that the
 * bytes are still in the cache when they are written out. */
#define FILE_CHUNK       (256u * 1024u)
#define FILE_LARGE_COUNT 8

/* Waiting for peers, signals are looked at this often. */
#define SLICE_NS UINT64_C(100000000)

static struct {
	bool listen, hex, send_only, recv_only;
	int frame;
	uint64_t count, rate, max_message, timeout_ns;
	const char *input, *output, *group;
	uint32_t access;
} args;

static int
read_access(const struct weir_opt *opt, const char *value)
{
	char *end;
	unsigned long mode = strtoul(value, &end, 8);

	(void)opt;
	if (value[0] < '0' || value[0] > '7' || *end != '\0' || mode == 0 ||
	    mode > 0777) {
		weir_tool_error("--access: '%s' is not a mode; write for "
				"example 0660",
				value);
		return WEIR_EXIT_USAGE;
	}
	args.access = (uint32_t)mode;
	return WEIR_OPT_RUN;
}

static const char *const frames[] = { "line", "length", "file", NULL };

static const struct weir_opt options[] = {
	{ 'l', "listen", WEIR_OPT_FLAG, &args.listen, NULL,
	  "wait for a peer at the endpoint instead of calling one" },
	{ 'f', "frame", WEIR_OPT_CHOICE, &args.frame, "HOW",
	  "line (default), length (4 bytes, low first) or file",
	  .choices = frames },
	{ 'x', "hex", WEIR_OPT_FLAG, &args.hex, NULL,
	  "lines of hex digits on both sides" },
	{ 's', "max-message", WEIR_OPT_SIZE, &args.max_message, "SIZE",
	  "longest message this end sends (default 64Ki, files 256Ki)",
	  .min = 1, .max = WEIR_MSG_SIZE_LIMIT },
	{ 'n', "count", WEIR_OPT_COUNT, &args.count, "N",
	  "send N messages at most; leave after N received", .min = 1 },
	{ 'r', "rate", WEIR_OPT_COUNT, &args.rate, "R",
	  "send R messages per second at most", .min = 1, .max = 1000000000 },
	{ 'i', "input", WEIR_OPT_STRING, &args.input, "FILE",
	  "send this file instead of standard input" },
	{ 'o', "output", WEIR_OPT_STRING, &args.output, "FILE",
	  "write to this file instead of standard output" },
	{ 0, "send-only", WEIR_OPT_FLAG, &args.send_only, NULL,
	  "drop what the peer sends, leave when it has everything" },
	{ 0, "recv-only", WEIR_OPT_FLAG, &args.recv_only, NULL,
	  "send nothing, close that direction at once" },
	{ 0, "access", WEIR_OPT_CALL, NULL, "MODE",
	  "shm listener: who may connect, as permission bits (default 0600)",
	  .call = read_access },
	{ 0, "group", WEIR_OPT_STRING, &args.group, "NAME",
	  "shm listener: the group that --access speaks of" },
	{ 0, "fault", WEIR_OPT_STRING, &weir_fault_spec, "SPEC",
	  "dpdk: lose, repeat, damage frames that come, as in loss=1%,seed=7" },
	{ 'w', "timeout", WEIR_OPT_TIME, &args.timeout_ns, "TIME",
	  "give up when no peer is there by then (listener: default never, "
	  "else 3s)" },
	{ 0 },
};

static const struct weir_opt_command command = {
	.name = "weir cat",
	.usage = "[OPTION]... ENDPOINT",
	.summary = "messages between a link and standard input and output",
	.details = "Example: weir cat -l shm:demo, and elsewhere "
		   "weir cat shm:demo.\nExit codes: 0 done, 1 link failed, 2 "
		   "usage, 3 not ready, 130 interrupted.",
	.options = options,
	.args_min = 1,
	.args_max = 1,
};

struct cat {
	char endpoint[WEIR_TOOL_ENDPOINT_MAX];
	struct weir_port *port;
	struct weir_link *link;
	struct weir_tx *tx;
	struct weir_rx *rx;
	struct cat_send send;
	struct cat_recv recv;
	uint64_t idle_since_ns; /* 0: not idle */
	uint64_t looked_ns;     /* when the link's status was last asked */
	bool output_closed;
	bool peer_left; /* without having missed anything */
};

/* ---- set-up -------------------------------------------------------------------- */

static int
open_file(const char *name, int fd, bool writing, struct cat_file *file)
{
	if (name == NULL || strcmp(name, "-") == 0) {
		name = writing ? "standard output" : "standard input";
	} else {
		fd = writing ? open(name,
				    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
				    0666)
			     : open(name, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			weir_tool_error("%s: %s; check the name and its "
					"permissions",
					name, strerror(errno));
			return WEIR_EXIT_NOT_READY;
		}
	}
	weir_cat_file_open(file, name, fd, writing);
	return 0;
}

static int
check_usage(const char *endpoint)
{
	if (strncmp(endpoint, "mem:", 4) == 0) {
		weir_tool_error("%s: mem: links stay inside one process; use "
				"shm: between two",
				endpoint);
		return WEIR_EXIT_USAGE;
	}
	if (strstr(endpoint, ",dev=net_ring") != NULL) {
		weir_tool_error("%s: net_ring stays inside one process; leave "
				"dev= out for a memif pair between two",
				endpoint);
		return WEIR_EXIT_USAGE;
	}
	if (args.hex && args.frame != CAT_FRAME_LINE) {
		weir_tool_error("--hex: writes lines; leave out --frame");
		return WEIR_EXIT_USAGE;
	}
	if (args.send_only && args.recv_only) {
		weir_tool_error("--send-only: excludes --recv-only; leave one "
				"out");
		return WEIR_EXIT_USAGE;
	}
	return 0;
}

static void
link_config(struct weir_link_config *config)
{
	*config = (struct weir_link_config){ sizeof(*config) };
	config->msg_size_max = (uint32_t)args.max_message;
	config->connect_timeout_ns = args.timeout_ns;
	config->access_mode = args.access;
	config->access_group = args.group;
	if (args.frame != CAT_FRAME_FILE)
		return;
	/* A file is nothing but long messages: keep several under way. */
	config->large_count = FILE_LARGE_COUNT;
	if (args.max_message == 0)
		config->msg_size_max = FILE_CHUNK;
}

static int
listen_for_peer(struct cat *cat)
{
	uint64_t end_ns = args.timeout_ns != 0 ? weir_now_ns() + args.timeout_ns
					       : WEIR_FOREVER;
	struct weir_link_config config;
	struct weir_listener *listener;
	int rc;

	link_config(&config);
	rc = weir_listener_open(cat->port, cat->endpoint, &config, &listener);
	if (rc != 0)
		return weir_tool_fail(cat->endpoint, rc);
	if (weir_tool.verbose)
		weir_tool_note("%s: listening", cat->endpoint);
	do {
		rc = weir_link_accept_wait(listener, weir_now_ns() + SLICE_NS,
					   &cat->link);
	} while ((rc == 0 || rc == -EINTR) && weir_tool_signal == 0 &&
		 weir_now_ns() < end_ns);
	weir_listener_close(listener);
	if (rc == 1)
		return 0;
	if (weir_tool_signal != 0)
		return WEIR_EXIT_INTERRUPT;
	if (rc < 0)
		return weir_tool_fail(cat->endpoint, rc);
	weir_tool_error("%s: no peer came in time; start it, or give a longer "
			"--timeout",
			cat->endpoint);
	return WEIR_EXIT_NOT_READY;
}

static int
call_peer(struct cat *cat)
{
	struct weir_link_config config;
	int rc;

	link_config(&config);
	rc = weir_link_connect(cat->port, cat->endpoint, &config, &cat->link);
	return rc == 0 ? 0 : weir_tool_fail(cat->endpoint, rc);
}

/* Wait until both ends agree. */
static int
wait_up(struct cat *cat)
{
	int rc;

	do {
		rc = weir_link_wait(cat->link, weir_now_ns() + SLICE_NS);
	} while ((rc == 0 || rc == -EINTR) && weir_tool_signal == 0);
	if (weir_tool_signal != 0)
		return WEIR_EXIT_INTERRUPT;
	/* A short-lived peer may have come and gone already: what it said is
	 * to be had first, and then how it went. */
	if (rc == 1 || rc == WEIR_EOF || rc == -ECONNRESET ||
	    (args.listen && rc == -ETIMEDOUT))
		return 0;
	return weir_tool_fail(cat->endpoint, rc);
}

static int
start(struct cat *cat)
{
	struct weir_permit permit;
	int rc = wait_up(cat);

	if (rc != 0)
		return rc;
	weir_link_split(cat->link, &cat->tx, &cat->rx);
	/* The first reserve settles the longest message. */
	if (weir_tx_reserve(cat->tx, &permit) == 1)
		weir_permit_drop(&permit);
	cat->send.frame = cat->recv.frame = (enum cat_frame)args.frame;
	cat->send.hex = cat->recv.hex = args.hex;
	cat->send.limit = cat->recv.limit = args.count;
	cat->recv.discard = args.send_only;
	if (args.rate != 0)
		cat->send.gap_ns = UINT64_C(1000000000) / args.rate;
	rc = weir_cat_send_start(&cat->send, cat->tx);
	if (rc != 0) {
		weir_tool_error("buffer: out of memory; give a smaller "
				"--max-message");
		return WEIR_EXIT_NOT_READY;
	}
	if (args.recv_only) {
		cat->send.done = true;
		cat->send.error = weir_tx_close(cat->tx);
	}
	return 0;
}

/* ---- waiting --------------------------------------------------------------------- */

static void
add_fd(struct pollfd *fds, nfds_t *count, int fd, short events)
{
	if (fd >= 0)
		fds[(*count)++] = (struct pollfd){ .fd = fd, .events = events };
}

/* The device cannot wake us: nap, longer and longer. */
static uint64_t
nap_ns(uint64_t idle_ns)
{
	if (idle_ns / 8 < NAP_MIN_NS)
		return NAP_MIN_NS;
	return idle_ns / 8 < NAP_MAX_NS ? idle_ns / 8 : NAP_MAX_NS;
}

/*
 * Arm what both pumps wait for.
 *
 * @return false: something is ready after all.
 */
static bool
arm(struct cat *cat, struct pollfd *fds, nfds_t *count, uint64_t *until_ns)
{
	unsigned int wants = cat->send.wants | cat->recv.wants;
	uint64_t port_ns, now_ns = weir_now_ns();
	int rc = weir_port_arm(cat->port, &port_ns);

	add_fd(fds, count, weir_tool_signal_fd, POLLIN);
	if (wants & CAT_WANT_INPUT)
		add_fd(fds, count, cat->send.file.fd, POLLIN);
	if (wants & CAT_WANT_OUTPUT)
		add_fd(fds, count, cat->recv.file.fd, POLLOUT);
	if (wants & CAT_WANT_TIME)
		*until_ns = cat->send.next_ns;
	if (cat->recv.done && *until_ns > now_ns + STATUS_NS)
		*until_ns = now_ns + STATUS_NS;
	if (rc != 1)
		port_ns = now_ns + nap_ns(now_ns - cat->idle_since_ns);
	if (port_ns < *until_ns)
		*until_ns = port_ns;
	if (rc != 1)
		return true;
	add_fd(fds, count, weir_port_fd(cat->port), POLLIN);
	if (wants & CAT_WANT_MESSAGE) {
		if (weir_rx_arm(cat->rx) != 1)
			return false;
		add_fd(fds, count, weir_rx_fd(cat->rx), POLLIN);
	}
	if (wants & CAT_WANT_ROOM) {
		if (weir_tx_arm(cat->tx, cat->send.want_len) != 1)
			return false;
		add_fd(fds, count, weir_tx_fd(cat->tx), POLLIN);
	}
	return true;
}

/* Nothing could be done: yield for a while, then sleep until something can. */
static void
wait_for_work(struct cat *cat)
{
	uint64_t now_ns = weir_now_ns();
	uint64_t until_ns = WEIR_FOREVER;
	struct timespec left, *timeout = NULL;
	struct pollfd fds[6];
	nfds_t count = 0;

	if (cat->idle_since_ns == 0)
		cat->idle_since_ns = now_ns;
	if (now_ns - cat->idle_since_ns < SPIN_NS) {
		sched_yield();
		return;
	}
	if (!arm(cat, fds, &count, &until_ns))
		return;
	if (until_ns != WEIR_FOREVER) {
		now_ns = weir_now_ns();
		until_ns = until_ns > now_ns ? until_ns - now_ns : 0;
		left.tv_sec = (time_t)(until_ns / 1000000000u);
		left.tv_nsec = (long)(until_ns % 1000000000u);
		timeout = &left;
	}
	(void)ppoll(fds, count, timeout, NULL);
}

/* ---- the loop ---------------------------------------------------------------------- */

/* Has the peer taken everything that we had to say? */
static bool
peer_has_all(struct cat *cat)
{
	struct weir_tx_stats stats;

	(void)weir_tx_arm(cat->tx, 0); /* collects what was given back */
	weir_tx_stats(cat->tx, &stats, sizeof(stats));
	return stats.outstanding == 0 && cat->send.slot.tx == NULL &&
	       cat->send.begin == cat->send.end;
}

/* The count is reached: what the peer still has to say is its own. */
static bool
has_enough(const struct cat *cat)
{
	return cat->recv.done && cat->recv.error == 0 && cat->recv.limit != 0 &&
	       cat->recv.messages >= cat->recv.limit;
}

static bool
finished(struct cat *cat)
{
	if (has_enough(cat))
		return true;
	if (cat->recv.done && (cat->send.done || cat->recv.error != 0))
		return true;
	return cat->send.done && args.send_only && cat->send.error == 0 &&
	       peer_has_all(cat);
}

/* The receive direction is over: only the status tells that the peer died or
 * left. */
static void
look_at_link(struct cat *cat)
{
	uint64_t now_ns = weir_now_ns();
	int rc;

	if (!cat->recv.done || now_ns - cat->looked_ns < STATUS_NS)
		return;
	cat->looked_ns = now_ns;
	rc = weir_link_status(cat->link);
	if (rc == 0 || rc == WEIR_EOF)
		return;
	cat->send.done = true;
	/* It closed its side and reads no more: fine if it missed nothing. */
	cat->peer_left = rc == -ECONNRESET &&
			 (cat->send.wants & CAT_WANT_INPUT) != 0 &&
			 peer_has_all(cat);
	if (!cat->peer_left)
		cat->send.error = rc;
}

/*
 * Let the reader of our output see its end, and hear of late write errors.
 * The number stays taken: nobody's new descriptor is to become stdout.
 */
static int
close_output(struct cat *cat)
{
	int fd = dup(cat->recv.file.fd);
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	cat->output_closed = true;
	dup3(null, cat->recv.file.fd, O_CLOEXEC);
	close(null);
	if (fd < 0 || close(fd) == 0)
		return WEIR_EXIT_OK;
	weir_tool_error("%s: %s; the output is incomplete", cat->recv.file.name,
			strerror(errno));
	return WEIR_EXIT_NOT_READY;
}

/* @return -1 both directions are over; else the exit code, line printed. */
static int
run(struct cat *cat)
{
	while (!finished(cat)) {
		int polled = weir_port_poll(cat->port);
		int sent, received, rc;

		if (weir_tool_signal != 0)
			return WEIR_EXIT_INTERRUPT;
		if (polled < 0)
			return weir_tool_link_fail(cat->endpoint, polled);
		sent = weir_cat_send(&cat->send, cat->tx);
		if (sent < 0)
			return -(sent + 1);
		received = weir_cat_recv(&cat->recv, cat->rx);
		if (received < 0)
			return -(received + 1);
		if (cat->recv.done && !cat->output_closed) {
			rc = close_output(cat);
			if (rc != 0)
				return rc;
		}
		look_at_link(cat);
		if (sent + received > 0)
			cat->idle_since_ns = 0;
		else if (polled == 0)
			wait_for_work(cat);
	}
	return -1;
}

/* Both directions are over: the peer must have all before we leave. */
static int
wait_delivered(struct cat *cat)
{
	uint64_t start_ns = weir_now_ns();
	int rc;

	while ((rc = weir_link_status(cat->link)) == 0) {
		if (weir_tool_signal != 0)
			return WEIR_EXIT_INTERRUPT;
		if ((args.send_only || has_enough(cat)) && peer_has_all(cat))
			return WEIR_EXIT_OK;
		if (weir_now_ns() - start_ns < SPIN_NS)
			sched_yield();
		else
			usleep(NAP_MIN_NS / 1000);
	}
	if (rc == WEIR_EOF || peer_has_all(cat))
		return WEIR_EXIT_OK;
	return weir_tool_link_fail(cat->endpoint, rc);
}

static int
conclude(struct cat *cat)
{
	if (cat->recv.error != 0)
		return weir_tool_link_fail(cat->endpoint, cat->recv.error);
	if (cat->send.error != 0)
		return weir_tool_link_fail(cat->endpoint, cat->send.error);
	if (cat->peer_left)
		return WEIR_EXIT_OK;
	if (!cat->send.done) {
		/* --count is reached: what the peer still says is not ours. */
		weir_cat_send_stop(&cat->send);
		(void)weir_tx_close(cat->tx);
		return WEIR_EXIT_OK;
	}
	return wait_delivered(cat);
}

/* Everything that was opened, in reverse; halves that were not closed tell
 * the peer so. */
static void
stop(struct cat *cat)
{
	weir_cat_send_stop(&cat->send);
	weir_cat_recv_stop(&cat->recv);
	if (cat->tx != NULL)
		weir_tx_destroy(cat->tx);
	if (cat->rx != NULL)
		weir_rx_destroy(cat->rx);
	if (cat->link != NULL)
		weir_link_destroy(cat->link);
	if (cat->port != NULL)
		(void)weir_port_close(cat->port);
}

static void
print_summary(const struct cat *cat)
{
	struct weir_link_stats stats;

	weir_link_stats(cat->link, &stats, sizeof(stats));
	weir_tool_note("%s: sent %llu messages, %llu bytes; received %llu "
		       "messages, %llu bytes; sent again %llu packets",
		       cat->endpoint, (unsigned long long)cat->send.messages,
		       (unsigned long long)cat->send.bytes,
		       (unsigned long long)cat->recv.messages,
		       (unsigned long long)cat->recv.bytes,
		       (unsigned long long)stats.tx_retransmits);
}

int
weir_cmd_cat(int argc, char **argv)
{
	static struct cat cat;
	int rc = weir_opt_parse(&command, &argc, &argv);

	if (rc != WEIR_OPT_RUN)
		return rc;
	rc = check_usage(argv[0]);
	if (rc == 0)
		rc = weir_tool_endpoint(argv[0], cat.endpoint);
	if (rc == 0)
		rc = open_file(args.input, STDIN_FILENO, false, &cat.send.file);
	if (rc == 0)
		rc = open_file(args.output, STDOUT_FILENO, true,
			       &cat.recv.file);
	if (rc != 0)
		return rc;
	weir_tool_catch_signals();
	rc = weir_tool_port_open(cat.endpoint, NULL, &cat.port);
	if (rc == 0)
		rc = args.listen ? listen_for_peer(&cat) : call_peer(&cat);
	if (rc == 0)
		rc = start(&cat);
	if (rc == 0) {
		rc = run(&cat);
		rc = rc < 0 ? conclude(&cat) : rc;
		if (weir_tool.verbose)
			print_summary(&cat);
	}
	stop(&cat);
	return rc;
}
