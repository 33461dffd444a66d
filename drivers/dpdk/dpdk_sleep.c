/* SPDX-License-Identifier: BSD-3-Clause */
/* The owner of a port sleeps: see dpdk_sleep.h. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <rte_interrupts.h>

#include "clock.h"
#include "dpdk_port.h"
#include "dpdk_sleep.h"
#include "doorbell.h"

/* ---- the bell ------------------------------------------------------------ */

static struct dpdk_bell *
bell_new(void)
{
	struct dpdk_bell *bell = calloc(1, sizeof(*bell));

	if (bell == NULL)
		return NULL;
	atomic_store_explicit(&bell->refs, 1, memory_order_relaxed);
	bell->fd = weir_doorbell_open();
	if (bell->fd >= 0)
		return bell;
	free(bell);
	errno = EMFILE;
	return NULL;
}

struct dpdk_bell *
weir_dpdk_bell_get(struct dpdk_bell *bell)
{
	if (bell != NULL)
		atomic_fetch_add_explicit(&bell->refs, 1, memory_order_relaxed);
	return bell;
}

void
weir_dpdk_bell_put(struct dpdk_bell *bell)
{
	/* Release our use; acquire everyone's before it goes. */
	if (bell == NULL ||
	    atomic_fetch_sub_explicit(&bell->refs, 1, memory_order_acq_rel) > 1)
		return;
	close(bell->fd);
	free(bell);
}

void
weir_dpdk_bell_ring(struct dpdk_bell *bell)
{
	if (bell == NULL)
		return;
	/* Between what was put and the look; pairs with the barrier of arm. */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&bell->armed, memory_order_relaxed) != 0 &&
	    atomic_exchange_explicit(&bell->armed, 0, memory_order_relaxed) !=
		    0)
		weir_doorbell_ring(bell->fd);
}

/* ---- descriptors --------------------------------------------------------- */

static int
watch(int epoll, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

/* EAL keeps the rx interrupt in an epoll set of its own kind: rx_fd. */
static int
watch_all(struct dpdk_port *port)
{
	struct dpdk_sleep *sleep = &port->sleep;
	struct dpdk_dev *dev = port->dev;

	if (rte_eth_dev_rx_intr_ctl_q(dev->port_id, dev->queue_id, sleep->rx_fd,
				      RTE_INTR_EVENT_ADD, NULL) != 0)
		return weir_fail(-EOPNOTSUPP,
				 "dpdk %s: driver %s has no rx interrupts; "
				 "leave wait=intr out and poll",
				 dev->dev_name, dev->driver_name);
	if (watch(sleep->fd, sleep->rx_fd) != 0 ||
	    watch(sleep->fd, sleep->bell->fd) != 0)
		return weir_fail(-errno,
				 "dpdk %s: epoll_ctl failed; raise the "
				 "limits of the process",
				 dev->dev_name);
	return 0;
}

static int
no_descriptor(int rc)
{
	return weir_fail(rc,
			 "dpdk: wait=intr takes 3 descriptors and some "
			 "memory: %s; raise the limits of the process",
			 strerror(-rc));
}

static int
make_descriptors(struct dpdk_sleep *sleep)
{
	sleep->bell = bell_new();
	if (sleep->bell == NULL)
		return no_descriptor(-errno);
	sleep->fd = epoll_create1(EPOLL_CLOEXEC);
	sleep->rx_fd = epoll_create1(EPOLL_CLOEXEC);
	if (sleep->fd < 0 || sleep->rx_fd < 0)
		return no_descriptor(-errno);
	return 0;
}

int
weir_dpdk_sleep_open(struct dpdk_port *port)
{
	int rc;

	if (port->fed)
		return weir_fail(-EOPNOTSUPP,
				 "dpdk: wait=intr on a port that the "
				 "application receives for: it sleeps itself");
	rc = make_descriptors(&port->sleep);
	if (rc == 0)
		rc = watch_all(port);
	if (rc != 0)
		weir_dpdk_sleep_close(port);
	return rc;
}

void
weir_dpdk_sleep_close(struct dpdk_port *port)
{
	struct dpdk_sleep *sleep = &port->sleep;

	if (sleep->bell == NULL)
		return;
	weir_dpdk_sleep_disable(port);
	if (sleep->rx_fd >= 0) {
		rte_eth_dev_rx_intr_ctl_q(port->dev->port_id,
					  port->dev->queue_id, sleep->rx_fd,
					  RTE_INTR_EVENT_DEL, NULL);
		close(sleep->rx_fd);
	}
	if (sleep->fd >= 0)
		close(sleep->fd);
	weir_dpdk_bell_put(sleep->bell);
	*sleep = (struct dpdk_sleep){ 0 };
}

/* ---- arming -------------------------------------------------------------- */

/* @return false: the device does without, as net_tap. */
static bool
enable(struct dpdk_port *port)
{
	struct dpdk_sleep *sleep = &port->sleep;
	struct rte_epoll_event event;

	/* Takes the event, and reads the descriptor if its kind wants that. */
	rte_epoll_wait(sleep->rx_fd, &event, 1, 0);
	weir_doorbell_drain(sleep->bell->fd);
	return rte_eth_dev_rx_intr_enable(port->dev->port_id,
					  port->dev->queue_id) == 0;
}

void
weir_dpdk_sleep_disable(struct dpdk_port *port)
{
	if (port->sleep.enabled)
		rte_eth_dev_rx_intr_disable(port->dev->port_id,
					    port->dev->queue_id);
	port->sleep.enabled = false;
}

/* Nothing that only another poll will move on. */
static bool
is_quiet(const struct dpdk_port *port)
{
	return port->run.count == 0 && port->batch_count == 0 &&
	       port->fault == NULL &&
	       atomic_load_explicit(&port->run.posted, memory_order_relaxed) ==
		       NULL;
}

static uint64_t
earliest_ns(const struct dpdk_port *port)
{
	uint64_t at_ns = timer_heap_next(&port->run.timers);

	at_ns = RTE_MIN(at_ns, port->neigh_next_ns);
	return RTE_MIN(at_ns, port->publish_next_ns);
}

/* The port's clock counts cycles: give the time that is left by the other. */
static uint64_t
deadline_of(struct dpdk_port *port)
{
	uint64_t at_ns = earliest_ns(port), now_ns = weir_dpdk_now(port);

	if (at_ns == TIMER_NEVER)
		return WEIR_FOREVER;
	return weir_clock_ns() + (at_ns > now_ns ? at_ns - now_ns : 0);
}

int
weir_dpdk_sleep_arm(struct dpdk_port *port, uint64_t *deadline_ns)
{
	struct dpdk_bell *bell = port->sleep.bell;
	bool enabled;

	if (bell == NULL)
		return 0;
	weir_dpdk_sleep_disable(port);
	enabled = enable(port);
	atomic_store_explicit(&bell->armed, 1, memory_order_relaxed);
	weir_dpdk_run_calm(port);
	if (weir_dpdk_poll(&port->port) == 0 && is_quiet(port)) {
		port->sleep.enabled = enabled;
		*deadline_ns = deadline_of(port);
		return 1;
	}
	atomic_store_explicit(&bell->armed, 0, memory_order_relaxed);
	port->sleep.enabled = enabled;
	weir_dpdk_sleep_disable(port);
	return 0;
}
