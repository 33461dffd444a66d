/* SPDX-License-Identifier: BSD-3-Clause */
/* Life of a port: open by endpoint, poll, sleep, close. */

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "board.h"
#include "core.h"
#include "doorbell.h"

#define SPIN_NS_DEFAULT UINT64_C(50000)

void *
weir_object(size_t size)
{
	size_t rounded = (size + WEIR_CACHE_LINE - 1) & ~(size_t)(63);
	void *object = aligned_alloc(WEIR_CACHE_LINE, rounded);

	if (object != NULL)
		memset(object, 0, rounded);
	return object;
}

void
weir_port_lock(struct weir_port *port)
{
	if (port->poller != NULL)
		weir_poller_lock(port->poller);
}

void
weir_port_unlock(struct weir_port *port)
{
	if (port->poller != NULL)
		weir_poller_unlock(port->poller);
}

void
weir_port_user_add(struct weir_port *port)
{
	__atomic_add_fetch(&port->users, 1, __ATOMIC_RELAXED);
}

void
weir_port_user_remove(struct weir_port *port)
{
	/* Release: all that the user did comes before the port's end. Pairs
	 * with the acquire in weir_port_close(). */
	__atomic_sub_fetch(&port->users, 1, __ATOMIC_RELEASE);
}

bool
weir_port_is_owner(const struct weir_port *port)
{
	return __atomic_load_n(&port->owner, __ATOMIC_RELAXED) ==
	       (uint64_t)pthread_self();
}

static int
config_read(const struct weir_port_config *given,
	    struct weir_port_config *config)
{
	*config = (struct weir_port_config){ 0 };
	if (given != NULL) {
		if (given->size < sizeof(size_t) ||
		    given->size > sizeof(*config))
			return weir_fail(-EINVAL,
					 "port config: size is %zu; set it to "
					 "sizeof(struct weir_port_config)",
					 given->size);
		memcpy(config, given, given->size);
	}
	config->size = sizeof(*config);
	if (config->spin_ns == 0)
		config->spin_ns = SPIN_NS_DEFAULT;
	if (config->hugepages > WEIR_HUGEPAGES_REQUIRE)
		return weir_fail(-EINVAL,
				 "port config: hugepages is %u; use a value of "
				 "enum weir_hugepages",
				 config->hugepages);
	return 0;
}

static int
open_with(const struct weir_driver *driver, const struct weir_endpoint *ep,
	  const struct weir_port_config *config, struct weir_port **port)
{
	struct weir_port *p = weir_object(driver->port_size);
	int rc;

	if (p == NULL)
		return weir_fail(-ENOMEM, "port: out of memory; free some");
	p->driver = driver;
	p->config = *config;
	p->owner = (uint64_t)pthread_self();
	weir_board_port_open(p, ep);
	rc = driver->port_open(p, ep);
	if (rc != 0)
		goto free_port;
	if (config->poll_start != 0 && (driver->caps & WEIR_CAP_POLLED)) {
		rc = weir_poller_start(p, config->poll_cpu);
		if (rc != 0)
			goto close_port;
	}
	*port = p;
	return 0;

close_port:
	driver->port_close(p);
free_port:
	weir_board_port_close(p);
	free(p);
	return rc;
}

int
weir_port_open(const char *endpoint, const struct weir_port_config *given,
	       struct weir_port **port)
{
	const struct weir_driver *driver;
	struct weir_port_config config;
	struct weir_endpoint ep;
	int rc;

	weir_fail_clear();
	weir_doorbell_setup();
	rc = weir_endpoint_parse(endpoint, &ep);
	if (rc != 0)
		return rc;
	driver = weir_driver_for(&ep);
	if (driver == NULL)
		return -EINVAL;
	rc = weir_endpoint_check(&ep, driver);
	if (rc == 0)
		rc = config_read(given, &config);
	if (rc == 0)
		rc = open_with(driver, &ep, &config, port);
	return rc;
}

int
weir_port_poll(struct weir_port *port)
{
	if (port->poller != NULL && !weir_port_is_owner(port))
		return 0; /* weir's own thread does it */
	return port->driver->port_poll(port);
}

int
weir_port_fd(struct weir_port *port)
{
	return port->driver->port_fd(port);
}

int
weir_port_arm(struct weir_port *port, uint64_t *deadline_ns)
{
	*deadline_ns = WEIR_FOREVER;
	return port->driver->port_arm(port, deadline_ns);
}

void
weir_port_stats(struct weir_port *port, struct weir_port_stats *stats,
		size_t size)
{
	struct weir_port_stats all = { 0 };

	weir_port_lock(port);
	port->driver->port_stats(port, &all);
	weir_port_unlock(port);
	memset(stats, 0, size);
	memcpy(stats, &all, size < sizeof(all) ? size : sizeof(all));
}

int
weir_port_close(struct weir_port *port)
{
	weir_fail_clear();
	/* Acquire: pairs with weir_port_user_remove(). */
	if (__atomic_load_n(&port->users, __ATOMIC_ACQUIRE) != 0)
		return weir_fail(-EBUSY,
				 "port: a half or listener exists; destroy it "
				 "first");
	if (port->poller != NULL)
		weir_poller_stop(port);
	port->owner = (uint64_t)pthread_self();
	port->driver->port_close(port);
	weir_board_port_close(port);
	free(port);
	return 0;
}
