/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Open the endpoint and see. Where both ends can be in this process (mem,
 * shm), a link under a name of our own also carries messages, so that "ok"
 * means that it was done.
 */

#include "check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "weir_stats.h"

#define LINES_MAX 16
#define UP_NS     UINT64_C(3000000000)
#define MESSAGES  1000

/* The driver's own words about the device, while it opens. */
static char lines[LINES_MAX][224];
static unsigned int line_count;

static void
keep_line(enum weir_log_level level, const char *line)
{
	/* "dpdk: " alone passes on what DPDK and its libraries muse about. */
	bool musing = strncmp(line, "dpdk: ", 6) == 0 &&
		      strncmp(line, "dpdk: environment", 17) != 0;

	weir_tool_log(level, line);
	if (level > (musing ? WEIR_LOG_WARN : WEIR_LOG_INFO) ||
	    line_count == LINES_MAX)
		return;
	snprintf(lines[line_count++], sizeof(lines[0]), "%s", line);
}

static void
report_lines(struct check *check)
{
	for (unsigned int i = 0; i < line_count; i++) {
		bool plan = strstr(lines[i], "steering by") != NULL;

		weir_check_add(check, CHECK_INFO, plan ? "steering" : "device",
			       "%s", lines[i]);
	}
	line_count = 0;
}

/* ---- a link to ourselves --------------------------------------------------------- */

struct loop {
	struct weir_port *port;
	struct weir_listener *listener;
	struct weir_link *near, *far;
	struct weir_tx *tx;
	struct weir_rx *rx;
};

static int
loop_split(struct loop *loop)
{
	int rc = weir_link_split(loop->near, &loop->tx, NULL);

	return rc == 0 ? weir_link_split(loop->far, NULL, &loop->rx) : rc;
}

static int
loop_up(struct loop *loop, const char *endpoint)
{
	uint64_t end_ns = weir_now_ns() + UP_NS;
	int rc =
		weir_listener_open(loop->port, endpoint, NULL, &loop->listener);

	if (rc == 0)
		rc = weir_link_connect(loop->port, endpoint, NULL, &loop->near);
	while (rc >= 0 && weir_now_ns() < end_ns) {
		if (loop->far == NULL)
			rc = weir_link_accept(loop->listener, &loop->far);
		if (rc >= 0)
			rc = weir_link_status(loop->near);
		if (rc == 0 && loop->far != NULL)
			return loop_split(loop);
		if (rc == -EINPROGRESS)
			rc = 0;
	}
	return rc < 0 ? rc : -ETIMEDOUT;
}

/* @return nanoseconds for one message from commit to release, or negative. */
static int64_t
loop_carry(struct loop *loop)
{
	uint64_t start_ns = weir_now_ns();
	struct weir_msg msg;
	uint64_t word;
	int rc;

	for (uint64_t i = 0; i < MESSAGES; i++) {
		rc = weir_tx_send(loop->tx, &i, sizeof(i));
		if (rc == 0)
			rc = weir_rx_recv_wait(loop->rx, start_ns + UP_NS,
					       &msg);
		if (rc < 1)
			return rc < 0 ? rc : -ETIMEDOUT;
		memcpy(&word, msg.data, sizeof(word));
		weir_msg_release(&msg);
		if (word != i || msg.len != sizeof(i))
			return -EPROTO;
	}
	return (int64_t)((weir_now_ns() - start_ns) / MESSAGES);
}

static void
loop_down(struct loop *loop)
{
	if (loop->tx != NULL)
		weir_tx_destroy(loop->tx);
	if (loop->rx != NULL)
		weir_rx_destroy(loop->rx);
	if (loop->near != NULL)
		weir_link_destroy(loop->near);
	if (loop->far != NULL)
		weir_link_destroy(loop->far);
	if (loop->listener != NULL)
		weir_listener_close(loop->listener);
	(void)weir_port_close(loop->port);
}

static void
carry_messages(struct check *check, struct weir_port *port)
{
	struct loop loop = { .port = port };
	char endpoint[64];
	uint64_t page_bytes, before, taken;
	int64_t ns;
	int rc;

	snprintf(endpoint, sizeof(endpoint), "%s:weir-check-%ld",
		 check->target.scheme, (long)getpid());
	before = weir_check_free_hugepages(&page_bytes);
	rc = loop_up(&loop, endpoint);
	taken = before - weir_check_free_hugepages(&page_bytes);
	taken = taken <= before ? taken : 0;
	ns = rc == 0 ? loop_carry(&loop) : rc;
	if (ns > 0)
		ns = loop_carry(&loop); /* the first touched every page */
	loop_down(&loop);
	if (ns < 0) {
		weir_check_add(check, CHECK_FAIL, "link", "%s",
			       weir_last_error()[0] != '\0'
				       ? weir_last_error()
				       : weir_strerror((int)ns));
		return;
	}
	weir_check_add(check, CHECK_OK, "link",
		       "%d messages to ourselves, %lld ns each on one cpu; "
		       "%s of huge pages",
		       MESSAGES, (long long)ns,
		       taken > 0 ? weir_check_bytes(taken * page_bytes)
				 : "none");
}

/* ---- the endpoint ----------------------------------------------------------------- */

static void
check_listener(struct check *check, struct weir_port *port)
{
	const char *endpoint = check->target.endpoint;
	struct weir_listener *listener;
	int rc = weir_listener_open(port, endpoint, NULL, &listener);

	if (rc == 0) {
		weir_listener_close(listener);
		weir_check_add(check, CHECK_OK, "address",
			       "%s is free to listen at", endpoint);
	} else if (rc == -EADDRINUSE) {
		weir_check_add(check, CHECK_INFO, "address",
			       "somebody listens at %s", endpoint);
	} else {
		weir_check_add(check, CHECK_FAIL, "address", "%s",
			       weir_last_error());
	}
}

static void
check_opened(struct check *check, struct weir_port *port, uint64_t ns)
{
	struct weir_port_stats stats;

	weir_port_stats(port, &stats, sizeof(stats));
	weir_check_add(check, CHECK_OK, "endpoint", "%s opens in %llu ms",
		       check->target.endpoint,
		       (unsigned long long)(ns / 1000000));
	if (stats.pool_size != 0)
		weir_check_add(check, CHECK_INFO, "pool",
			       "%u packet buffers, %u free", stats.pool_size,
			       stats.pool_free);
}

/* "subject: cause; what to do", taken apart. */
static void
report_failure(struct check *check, int rc)
{
	const char *text = weir_last_error();
	size_t len = strcspn(text, ";");
	struct check_finding *f;

	if (text[0] == '\0') {
		weir_check_add(check, CHECK_FAIL, "endpoint", "%s: %s",
			       check->target.endpoint, weir_strerror(rc));
		return;
	}
	f = weir_check_add(check, CHECK_FAIL, "endpoint", "%.*s", (int)len,
			   text);
	if (text[len] == ';')
		weir_check_fix(f, "%s", text + len + 2);
}

void
weir_check_endpoint(struct check *check)
{
	struct weir_port_config config = { sizeof(config) };
	bool dpdk = strcmp(check->target.scheme, "dpdk") == 0;
	uint64_t start_ns = weir_now_ns(), page_bytes, before, after;
	struct weir_port *port;
	int rc;

	if (!check->target.given)
		return;
	config.hugepages = (uint32_t)weir_tool.hugepages;
	before = weir_check_free_hugepages(&page_bytes);
	weir_set_log(keep_line);
	rc = weir_port_open(check->target.endpoint, &config, &port);
	report_lines(check);
	if (rc != 0) {
		report_failure(check, rc);
		return;
	}
	check_opened(check, port, weir_now_ns() - start_ns);
	after = weir_check_free_hugepages(&page_bytes);
	if (dpdk && after < before)
		weir_check_add(check, CHECK_INFO, "memory",
			       "it took %s of huge pages",
			       weir_check_bytes((before - after) * page_bytes));
	if (dpdk) {
		(void)weir_port_close(port);
	} else {
		check_listener(check, port);
		carry_messages(check, port);
	}
	report_lines(check);
	weir_set_log(weir_tool_log);
}
