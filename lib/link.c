/* SPDX-License-Identifier: BSD-3-Clause */
/* Life of a link: listen, accept, connect, split, join, status, destroy. */

#include <stdlib.h>
#include <string.h>

#include "board.h"
#include "core.h"

#define TX_CREDITS_DEFAULT         1024u
#define TX_CREDITS_MAX             32768u
#define LARGE_COUNT_DEFAULT        2u
#define LARGE_COUNT_MAX            64u
#define CONNECT_TIMEOUT_NS_DEFAULT UINT64_C(3000000000)
#define KEEPALIVE_NS_DEFAULT       UINT64_C(100000000)
#define DEAD_TIMEOUT_NS_DEFAULT    UINT64_C(3000000000)
#define ACCESS_MODE_DEFAULT        0600u

static uint32_t
round_up_pow2(uint32_t n)
{
	return n <= 1 ? 1 : 1u << (32 - __builtin_clz(n - 1));
}

static int
config_refuse(const struct weir_driver *driver,
	      const struct weir_link_config *c)
{
	if (c->mode > WEIR_MODE_STABLE)
		return weir_fail(-EINVAL,
				 "link config: mode is %u; use a value of enum "
				 "weir_mode",
				 c->mode);
	if (!weir_driver_supports(driver, (enum weir_mode)c->mode))
		return weir_fail(-EOPNOTSUPP,
				 "link config: %s links have no stable mode; "
				 "use WEIR_MODE_BARE",
				 driver->scheme);
	if ((c->flags & ~(uint32_t)WEIR_LINK_MULTI_PRODUCER) != 0)
		return weir_fail(-EINVAL,
				 "link config: unknown flags 0x%x; use enum "
				 "weir_link_flags",
				 c->flags);
	if (c->flags != 0 && (driver->caps & WEIR_CAP_MULTI_PRODUCER) == 0)
		return weir_fail(-EOPNOTSUPP,
				 "link config: %s links have no multi-producer "
				 "send half; use one thread at a time",
				 driver->scheme);
	if (c->msg_size_max > WEIR_MSG_SIZE_LIMIT)
		return weir_fail(-EINVAL,
				 "link config: msg_size_max is %u; the limit "
				 "is %u bytes",
				 c->msg_size_max, WEIR_MSG_SIZE_LIMIT);
	if (c->tx_credits > TX_CREDITS_MAX)
		return weir_fail(-EINVAL,
				 "link config: tx_credits is %u; the limit is "
				 "%u messages",
				 c->tx_credits, TX_CREDITS_MAX);
	if (c->large_count > LARGE_COUNT_MAX)
		return weir_fail(-EINVAL,
				 "link config: large_count is %u; the limit is "
				 "%u",
				 c->large_count, LARGE_COUNT_MAX);
	return 0;
}

static void
config_defaults(const struct weir_driver *driver, struct weir_link_config *c)
{
	c->size = sizeof(*c);
	if (c->msg_size_max == 0)
		c->msg_size_max = WEIR_MSG_SIZE_DEFAULT;
	if (c->tx_credits == 0)
		c->tx_credits = driver->tx_credits != 0 ? driver->tx_credits
							: TX_CREDITS_DEFAULT;
	c->tx_credits = round_up_pow2(c->tx_credits);
	if (c->large_count == 0)
		c->large_count = driver->large_count != 0 ? driver->large_count
							  : LARGE_COUNT_DEFAULT;
	if (c->access_mode == 0)
		c->access_mode = ACCESS_MODE_DEFAULT;
	if (c->connect_timeout_ns == 0)
		c->connect_timeout_ns = CONNECT_TIMEOUT_NS_DEFAULT;
	if (c->keepalive_ns == 0)
		c->keepalive_ns = KEEPALIVE_NS_DEFAULT;
	if (c->dead_timeout_ns == 0)
		c->dead_timeout_ns = DEAD_TIMEOUT_NS_DEFAULT;
}

static int
config_read(const struct weir_driver *driver,
	    const struct weir_link_config *given,
	    struct weir_link_config *config)
{
	int rc;

	*config = (struct weir_link_config){ 0 };
	if (given != NULL) {
		if (given->size < sizeof(size_t) ||
		    given->size > sizeof(*config))
			return weir_fail(-EINVAL,
					 "link config: size is %zu; set it to "
					 "sizeof(struct weir_link_config)",
					 given->size);
		memcpy(config, given, given->size);
	}
	rc = config_refuse(driver, config);
	if (rc == 0)
		config_defaults(driver, config);
	return rc;
}

/* The endpoint belongs to the port's driver and its keys are known. */
static int
endpoint_read(struct weir_port *port, const char *text,
	      struct weir_endpoint *ep)
{
	int rc;

	if (port == NULL)
		return weir_fail(-EINVAL,
				 "endpoint '%s': no port; open one with "
				 "weir_port_open()",
				 text == NULL ? "" : text);
	rc = weir_endpoint_parse(text, ep);
	if (rc != 0)
		return rc;
	if (strcmp(ep->scheme, port->driver->scheme) != 0)
		return weir_fail(-EINVAL,
				 "endpoint '%s': the port is of %s:; use an "
				 "endpoint of the same scheme",
				 text, port->driver->scheme);
	return weir_endpoint_check(ep, port->driver);
}

/* ---- the three objects of a link ---- */

static void
link_free_all(struct weir_link *link)
{
	if (link == NULL)
		return;
	if (link->tx != NULL)
		weir_board_half_free(link->tx);
	if (link->rx != NULL)
		weir_board_half_free(link->rx);
	free(link);
}

static struct weir_link *
link_alloc_all(struct weir_port *port)
{
	const struct weir_driver *driver = port->driver;
	struct weir_link *link = weir_object(driver->link_size);

	if (link == NULL)
		return NULL;
	link->tx = weir_board_half_new(port, BOARD_TX, driver->tx_size);
	link->rx = weir_board_half_new(port, BOARD_RX, driver->rx_size);
	if (link->tx == NULL || link->rx == NULL) {
		link_free_all(link);
		return NULL;
	}
	return link;
}

static void
link_fill(struct weir_link *link, struct weir_port *port,
	  const struct weir_link_config *config)
{
	link->port = port;
	link->driver = port->driver;
	link->config = *config;
	link->tx->port = port;
	link->tx->msg_size_max = config->msg_size_max;
	link->tx->shared = config->flags & WEIR_LINK_MULTI_PRODUCER;
	link->rx->port = port;
}

/* The control object and both halves keep the port open. */
static void
count_users(struct weir_link *link)
{
	weir_port_user_add(link->port);
	weir_port_user_add(link->port);
	weir_port_user_add(link->port);
}

/* ---- listeners ---- */

int
weir_listener_open(struct weir_port *port, const char *endpoint,
		   const struct weir_link_config *config,
		   struct weir_listener **listener)
{
	struct weir_listener *l;
	struct weir_endpoint ep;
	int rc;

	weir_fail_clear();
	rc = endpoint_read(port, endpoint, &ep);
	if (rc != 0)
		return rc;
	l = weir_object(port->driver->listener_size);
	if (l == NULL)
		return weir_fail(-ENOMEM, "listener: out of memory; free some");
	l->port = port;
	strncpy(l->endpoint, endpoint, sizeof(l->endpoint) - 1);
	rc = config_read(port->driver, config, &l->config);
	if (rc == 0) {
		weir_port_lock(port);
		rc = port->driver->listener_open(l, &ep);
		weir_port_unlock(port);
	}
	if (rc != 0) {
		free(l);
		return rc;
	}
	weir_port_user_add(port);
	*listener = l;
	return 0;
}

int
weir_listener_fd(struct weir_listener *listener)
{
	return listener->port->driver->listener_fd(listener);
}

void
weir_listener_close(struct weir_listener *listener)
{
	struct weir_port *port;

	if (listener == NULL)
		return;
	port = listener->port;
	weir_port_lock(port);
	port->driver->listener_close(listener);
	weir_port_unlock(port);
	link_free_all(listener->spare);
	free(listener);
	weir_port_user_remove(port);
}

int
weir_link_accept(struct weir_listener *listener, struct weir_link **link)
{
	struct weir_port *port = listener->port;
	struct weir_link *l;
	int rc;

	weir_fail_clear();
	if (weir_port_is_owner(port))
		weir_port_poll(port);
	if (listener->spare == NULL)
		listener->spare = link_alloc_all(port);
	l = listener->spare;
	if (l == NULL)
		return weir_fail(-ENOMEM, "accept: out of memory; free some");
	link_fill(l, port, &listener->config);
	weir_port_lock(port);
	rc = port->driver->link_accept(listener, l);
	if (rc == 1)
		weir_board_link_show(l, listener->endpoint);
	weir_port_unlock(port);
	if (rc != 1)
		return rc;
	listener->spare = NULL;
	count_users(l);
	*link = l;
	return 1;
}

int
weir_link_accept_wait(struct weir_listener *listener, uint64_t deadline_ns,
		      struct weir_link **link)
{
	struct weir_wait wait;
	int rc, next;

	weir_wait_begin(&wait, listener->port, deadline_ns, NULL);
	while ((rc = weir_link_accept(listener, link)) == 0) {
		next = weir_wait_turn(&wait);
		/* A nap rather than the descriptor: handshakes have time
		 * limits that nothing else would look at. */
		if (next == WEIR_WAIT_SLEEP)
			next = weir_wait_sleep(&wait, -1);
		if (next <= 0)
			return next;
	}
	return rc;
}

/* ---- links ---- */

int
weir_link_connect(struct weir_port *port, const char *endpoint,
		  const struct weir_link_config *given, struct weir_link **link)
{
	struct weir_link_config config;
	struct weir_endpoint ep;
	struct weir_link *l;
	int rc;

	weir_fail_clear();
	rc = endpoint_read(port, endpoint, &ep);
	if (rc == 0)
		rc = config_read(port->driver, given, &config);
	if (rc != 0)
		return rc;
	l = link_alloc_all(port);
	if (l == NULL)
		return weir_fail(-ENOMEM, "connect: out of memory; free some");
	link_fill(l, port, &config);
	weir_port_lock(port);
	rc = port->driver->link_connect(l, &ep);
	if (rc == 0)
		weir_board_link_show(l, endpoint);
	weir_port_unlock(port);
	if (rc != 0) {
		link_free_all(l);
		return rc;
	}
	count_users(l);
	*link = l;
	return 0;
}

/* The last words of a link's halves, even of one that was moved out. */
static int
tx_status_of(const struct weir_link *link)
{
	return link->tx == NULL
		       ? link->tx_status
		       : __atomic_load_n(&link->tx->status, __ATOMIC_RELAXED);
}

static int
rx_status_of(const struct weir_link *link)
{
	return link->rx == NULL ? link->rx_status : link->rx->status;
}

int
weir_link_split(struct weir_link *link, struct weir_tx **tx,
		struct weir_rx **rx)
{
	if ((tx != NULL && link->tx == NULL) ||
	    (rx != NULL && link->rx == NULL))
		return -EALREADY;
	if (tx != NULL) {
		link->tx_status = tx_status_of(link);
		*tx = link->tx;
		link->tx = NULL;
	}
	if (rx != NULL) {
		link->rx_status = rx_status_of(link);
		*rx = link->rx;
		link->rx = NULL;
	}
	return 0;
}

int
weir_link_join(struct weir_tx *tx, struct weir_rx *rx, struct weir_link **link)
{
	struct weir_link *l;

	if (tx == NULL || rx == NULL)
		return -EINVAL;
	l = weir_object(sizeof(*l));
	if (l == NULL)
		return weir_fail(-ENOMEM, "join: out of memory; free some");
	l->tx = tx;
	l->rx = rx;
	*link = l;
	return 0;
}

static int
joined_status(const struct weir_link *link)
{
	int tx_status = tx_status_of(link), rx_status = rx_status_of(link);

	if (tx_status != 0 && tx_status != -EPIPE)
		return tx_status;
	if (rx_status != 0 && rx_status != WEIR_EOF)
		return rx_status;
	return tx_status == -EPIPE && rx_status == WEIR_EOF ? WEIR_EOF : 0;
}

int
weir_link_status(struct weir_link *link)
{
	int rc;

	if (link->port == NULL)
		return joined_status(link);
	if (weir_port_is_owner(link->port))
		weir_port_poll(link->port);
	weir_port_lock(link->port);
	rc = link->driver->link_status(link);
	if (rc == 0)
		weir_board_link_peer(link);
	weir_port_unlock(link->port);
	return rc;
}

int
weir_link_wait(struct weir_link *link, uint64_t deadline_ns)
{
	struct weir_wait wait;
	int rc, next;

	weir_wait_begin(&wait, link->port, deadline_ns, NULL);
	while ((rc = weir_link_status(link)) == -EINPROGRESS) {
		next = weir_wait_turn(&wait);
		if (next == WEIR_WAIT_SLEEP)
			next = weir_wait_sleep(&wait, -1);
		if (next <= 0)
			return next;
	}
	return rc == 0 ? 1 : rc;
}

int
weir_link_peer(struct weir_link *link, struct weir_peer *peer)
{
	int rc;

	if (link->port == NULL)
		return -EOPNOTSUPP;
	weir_port_lock(link->port);
	rc = link->driver->link_peer(link, peer);
	weir_port_unlock(link->port);
	return rc;
}

void
weir_link_stats(struct weir_link *link, struct weir_link_stats *stats,
		size_t size)
{
	struct weir_link_stats all = { 0 };

	if (link->port != NULL) {
		weir_port_lock(link->port);
		link->driver->link_stats(link, &all);
		weir_port_unlock(link->port);
	}
	memset(stats, 0, size);
	memcpy(stats, &all, size < sizeof(all) ? size : sizeof(all));
}

void
weir_link_destroy(struct weir_link *link)
{
	struct weir_port *port;

	if (link == NULL)
		return;
	port = link->port;
	weir_tx_destroy(link->tx);
	weir_rx_destroy(link->rx);
	if (port != NULL) {
		weir_port_lock(port);
		weir_board_link_hide(link);
		link->driver->link_destroy(link);
		weir_port_unlock(port);
	}
	free(link);
	if (port != NULL)
		weir_port_user_remove(port);
}
