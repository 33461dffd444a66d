/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weir's own poll thread, started on request. It holds a lock while it polls,
 * so that set-up calls of other threads come in between; halves never take
 * that lock.
 */

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "core.h"
#include "doorbell.h"

/* Idle polls before the thread lets others run. */
#define IDLE_POLLS_MAX 256

struct weir_poller {
	pthread_t thread;
	pthread_mutex_t lock;
	_Atomic uint32_t wanted; /* set-up calls that wait for the lock */
	_Atomic bool stop;
	int wake_fd;
};

void
weir_poller_lock(struct weir_poller *poller)
{
	atomic_fetch_add_explicit(&poller->wanted, 1, memory_order_relaxed);
	weir_doorbell_ring(poller->wake_fd);
	pthread_mutex_lock(&poller->lock);
	atomic_fetch_sub_explicit(&poller->wanted, 1, memory_order_relaxed);
}

void
weir_poller_unlock(struct weir_poller *poller)
{
	pthread_mutex_unlock(&poller->lock);
}

static void
poller_sleep(struct weir_poller *poller, struct weir_port *port)
{
	uint64_t deadline_ns, now_ns;
	struct pollfd fds[2];
	int timeout_ms = -1;

	if (weir_port_arm(port, &deadline_ns) != 1) {
		sched_yield();
		return;
	}
	if (deadline_ns != WEIR_FOREVER) {
		now_ns = weir_clock_ns();
		if (deadline_ns <= now_ns)
			return;
		timeout_ms = (int)((deadline_ns - now_ns) / 1000000u);
	}
	fds[0] = (struct pollfd){ .fd = weir_port_fd(port), .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = poller->wake_fd, .events = POLLIN };
	pthread_mutex_unlock(&poller->lock);
	poll(fds, 2, timeout_ms);
	pthread_mutex_lock(&poller->lock);
	weir_doorbell_drain(poller->wake_fd);
}

static void *
poller_run(void *arg)
{
	struct weir_port *port = arg;
	struct weir_poller *poller = port->poller;
	uint32_t idle = 0;

	__atomic_store_n(&port->owner, (uint64_t)pthread_self(),
			 __ATOMIC_RELAXED);
	pthread_mutex_lock(&poller->lock);
	while (!atomic_load_explicit(&poller->stop, memory_order_relaxed)) {
		idle = port->driver->port_poll(port) > 0 ? 0 : idle + 1;
		if (idle >= IDLE_POLLS_MAX) {
			poller_sleep(poller, port);
			idle = 0;
		}
		/* A mutex is not fair: give way to those who asked. */
		while (atomic_load_explicit(&poller->wanted,
					    memory_order_relaxed) != 0) {
			pthread_mutex_unlock(&poller->lock);
			sched_yield();
			pthread_mutex_lock(&poller->lock);
		}
	}
	pthread_mutex_unlock(&poller->lock);
	return NULL;
}

static int
thread_start(struct weir_port *port, uint32_t cpu)
{
	pthread_attr_t attr;
	cpu_set_t cpus;
	int rc;

	CPU_ZERO(&cpus);
	if (cpu >= CPU_SETSIZE)
		return weir_fail(-EINVAL,
				 "poll thread: there is no cpu %u; "
				 "choose another",
				 cpu);
	CPU_SET(cpu, &cpus);
	pthread_attr_init(&attr);
	pthread_attr_setaffinity_np(&attr, sizeof(cpus), &cpus);
	rc = pthread_create(&port->poller->thread, &attr, poller_run, port);
	pthread_attr_destroy(&attr);
	if (rc != 0)
		return weir_fail(-rc,
				 "poll thread: cannot start on cpu %u: %s; "
				 "choose a cpu that this process may use",
				 cpu, strerror(rc));
	return 0;
}

int
weir_poller_start(struct weir_port *port, uint32_t cpu)
{
	struct weir_poller *poller = weir_object(sizeof(*poller));
	int rc;

	if (poller == NULL)
		return weir_fail(-ENOMEM, "poll thread: out of memory");
	pthread_mutex_init(&poller->lock, NULL);
	rc = poller->wake_fd = weir_doorbell_open();
	if (rc < 0)
		goto free_poller;
	port->poller = poller;
	/* From here on the opener is not the owner any more. */
	port->owner = 0;
	rc = thread_start(port, cpu);
	if (rc == 0)
		return 0;

	port->poller = NULL;
	close(poller->wake_fd);
free_poller:
	free(poller);
	return rc;
}

void
weir_poller_stop(struct weir_port *port)
{
	struct weir_poller *poller = port->poller;

	atomic_store_explicit(&poller->stop, true, memory_order_relaxed);
	weir_doorbell_ring(poller->wake_fd);
	pthread_join(poller->thread, NULL);
	port->poller = NULL;
	close(poller->wake_fd);
	pthread_mutex_destroy(&poller->lock);
	free(poller);
}
