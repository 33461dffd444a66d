/* SPDX-License-Identifier: BSD-3-Clause */
/* One end of a link, from open to close; errors become exit codes here. */

#include <stdlib.h>

#include "fault.h"
#include "perf.h"
#include "spin.h"
#include "tool.h"

#define WAIT_STEP_NS 50000000u   /* how soon a signal is noticed */
#define GOODBYE_NS   2000000000u /* the peer closes too, or not */

/*
 * With --links: short messages, few signs of life, and time to get up. A server
 * gives up a link whose client is silent for so long; a client that believes it
 * is up may have no processor meanwhile, and the server waits for it in vain.
 */
#define LINKS_SIZE         1024u
#define LINKS_KEEPALIVE_NS UINT64_C(2000000000)
#define LINKS_DEAD_NS      UINT64_C(20000000000)
#define LINKS_CONNECT_NS   UINT64_C(60000000000)

void
weir_side_config(const struct weir_perf_args *args,
		 struct weir_link_config *config)
{
	uint32_t max = weir_perf_size_max(args);

	memset(config, 0, sizeof(*config));
	config->size = sizeof(*config);
	config->msg_size_max = max > WEIR_MSG_SIZE_DEFAULT ? max : 0;
	if (args->links == 0)
		return;
	config->msg_size_max = max > LINKS_SIZE ? max : LINKS_SIZE;
	config->tx_credits = WEIR_LINKS_CREDITS;
	config->keepalive_ns = LINKS_KEEPALIVE_NS;
	config->dead_timeout_ns = LINKS_DEAD_NS;
	config->connect_timeout_ns = LINKS_CONNECT_NS;
}

static int
side_open_port(struct weir_side *side, const char *endpoint)
{
	struct weir_port_config config = { sizeof(config) };
	int rc = weir_tool_endpoint(endpoint, side->endpoint);

	/* This is a measurement: never sleep, or always. */
	config.spin_ns = side->args->sleep ? 1 : WEIR_FOREVER;
	if (rc == 0)
		rc = weir_tool_port_open(side->endpoint, &config, &side->port);
	/* A run with its own peer says when; see perf_fault.h. */
	if (rc == 0 && side->args->self)
		(void)weir_fault_switch(side->endpoint, side->port, false);
	return rc;
}

int
weir_side_listen(struct weir_side *side, const char *endpoint)
{
	struct weir_link_config config;
	int rc = side_open_port(side, endpoint);

	if (rc != 0)
		return rc;
	weir_side_config(side->args, &config);
	rc = weir_listener_open(side->port, side->endpoint, &config,
				&side->listener);
	return rc == 0 ? 0 : weir_tool_fail(side->endpoint, rc);
}

int
weir_side_connect(struct weir_side *side, const char *endpoint)
{
	struct weir_link_config config;
	int rc = side->port == NULL ? side_open_port(side, endpoint) : 0;

	if (rc != 0)
		return rc;
	weir_side_config(side->args, &config);
	rc = weir_link_connect(side->port, side->endpoint, &config,
			       &side->link);
	if (rc != 0)
		return weir_tool_fail(side->endpoint, rc);
	rc = weir_side_wait(side);
	return rc == 0 ? weir_idle_connect(side) : rc;
}

/* The tool's own view of which drivers need no poller. */
bool
weir_perf_polled(const char *endpoint)
{
	return strncmp(endpoint, "mem:", 4) != 0 &&
	       strncmp(endpoint, "shm:", 4) != 0;
}

static int
side_split(struct weir_side *side)
{
	int rc = weir_link_split(side->link, &side->test.tx, &side->test.rx);

	if (rc != 0)
		return weir_tool_fail(side->endpoint, rc);
	side->test.port = side->port;
	side->test.polled = weir_perf_polled(side->endpoint);
	return 0;
}

int
weir_side_wait(struct weir_side *side)
{
	int rc = 0;

	while (rc == 0 || rc == -EINTR) {
		if (weir_tool_signal != 0)
			return WEIR_EXIT_INTERRUPT;
		rc = weir_link_wait(side->link, weir_now_ns() + WAIT_STEP_NS);
	}
	return rc < 0 ? weir_tool_fail(side->endpoint, rc) : side_split(side);
}

int
weir_side_accept(struct weir_side *side, const _Atomic uint32_t *stop)
{
	int rc = 0;

	while (rc == 0 || rc == -EINTR) {
		if (weir_tool_signal != 0 || (stop != NULL && *stop != 0))
			return WEIR_EXIT_INTERRUPT;
		rc = weir_link_accept_wait(side->listener,
					   weir_now_ns() + WAIT_STEP_NS,
					   &side->link);
	}
	if (rc < 0)
		return weir_tool_fail(side->endpoint, rc);
	rc = weir_side_wait(side);
	return rc == 0 ? weir_idle_accept(side) : rc;
}

int
weir_side_test(struct weir_side *side, struct weir_gate *gate, uint32_t size,
	       uint32_t spin_limit)
{
	uint32_t max = weir_perf_size_max(side->args);
	struct weir_load *load = &side->test.load;

	if (side->work.out == NULL &&
	    weir_work_open(&side->work, size > max ? size : max) != 0)
		return -ENOMEM;
	load->ops = side->args->sleep ? &weir_perf_sleep_ops
				      : &weir_perf_link_ops;
	load->gate = gate;
	load->work = &side->work;
	load->size = size;
	load->burst = (uint32_t)side->args->burst;
	load->spin_limit = spin_limit;
	side->test.verify = side->args->verify;
	return 0;
}

void
weir_side_counters(struct weir_side *side, struct weir_counters *now)
{
	weir_link_stats(side->link, &now->link, sizeof(now->link));
	weir_tx_stats(side->test.tx, &now->tx, sizeof(now->tx));
	weir_rx_stats(side->test.rx, &now->rx, sizeof(now->rx));
	weir_port_stats(side->port, &now->port, sizeof(now->port));
}

/* Whatever is still under way is taken in until the peer has closed. */
static void
drain(struct weir_side *side)
{
	uint64_t start_ns = weir_now_ns();
	struct weir_spin spin = { .limit = 0 };
	struct weir_msg msg;
	int rc;

	for (;;) {
		(void)weir_perf_link_poll(&side->test);
		rc = weir_rx_recv(side->test.rx, &msg);
		if (rc < 0)
			return;
		if (rc > 0) {
			weir_msg_release(&msg);
			continue;
		}
		if (weir_now_ns() - start_ns > GOODBYE_NS)
			return;
		(void)weir_spin(&spin);
	}
}

void
weir_side_hang_up(struct weir_side *side)
{
	if (side->test.tx != NULL) {
		(void)weir_tx_close(side->test.tx);
		drain(side);
		weir_tx_destroy(side->test.tx);
		weir_rx_destroy(side->test.rx);
		side->test.tx = NULL;
		side->test.rx = NULL;
	}
	if (side->link != NULL)
		weir_link_destroy(side->link);
	side->link = NULL;
}

void
weir_side_close(struct weir_side *side)
{
	weir_perf_floor_close(side);
	weir_side_hang_up(side);
	weir_idle_close(side);
	if (side->listener != NULL)
		weir_listener_close(side->listener);
	if (side->port != NULL)
		(void)weir_port_close(side->port);
	weir_work_close(&side->work);
	side->listener = NULL;
	side->port = NULL;
}
