/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Waiting, in one place for every _wait call: poll the port when that is this
 * thread's job, spin a little, then sleep on a descriptor. The caller's loop
 * is: try, weir_wait_turn(), and when that says so arm and weir_wait_sleep().
 */

#include <poll.h>
#include <sched.h>

#include "clock.h"
#include "core.h"

/* The clock is read, and others may run, once in so many turns. */
#define TURNS_PER_LOOK 64

/* Who never sleeps still lets others run after so many turns. */
#define TURNS_BEFORE_YIELD 16384

/* A nap where there is no descriptor to sleep on. */
#define NAP_NS 200000

uint64_t
weir_now_ns(void)
{
	return weir_clock_ns();
}

void
weir_wait_begin(struct weir_wait *wait, struct weir_port *port,
		uint64_t deadline_ns, uint32_t *cancel)
{
	*wait = (struct weir_wait){
		.port = port,
		.cancel = cancel,
		.deadline_ns = deadline_ns,
		.spin_ns = port != NULL ? port->config.spin_ns : 0,
	};
	wait->polls = port != NULL &&
		      (port->driver->caps & WEIR_CAP_POLLED) != 0 &&
		      weir_port_is_owner(port);
}

static bool
canceled(struct weir_wait *wait)
{
	uint32_t count;

	if (wait->cancel == NULL)
		return false;
	/* One wait takes one; acquire: what the canceling thread did before is
	 * seen after. */
	count = __atomic_load_n(wait->cancel, __ATOMIC_RELAXED);
	while (count != 0 && !__atomic_compare_exchange_n(
				     wait->cancel, &count, count - 1, true,
				     __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		;
	return count != 0;
}

int
weir_wait_turn(struct weir_wait *wait)
{
	uint64_t now_ns;

	if (wait->polls)
		weir_port_poll(wait->port);
	if (canceled(wait))
		return -ECANCELED;
	if (wait->turns++ % TURNS_PER_LOOK != 0)
		return WEIR_WAIT_AGAIN;

	now_ns = weir_clock_ns();
	if (now_ns >= wait->deadline_ns)
		return WEIR_WAIT_OVER;
	if (wait->spin_end_ns == 0)
		wait->spin_end_ns = wait->spin_ns > WEIR_FOREVER - now_ns
					    ? WEIR_FOREVER
					    : now_ns + wait->spin_ns;
	if (now_ns >= wait->spin_end_ns)
		return WEIR_WAIT_SLEEP;
	if (wait->spin_ns == WEIR_FOREVER && wait->turns > TURNS_BEFORE_YIELD)
		sched_yield(); /* the peer may need this very processor */
	return WEIR_WAIT_AGAIN;
}

static struct timespec
time_left(uint64_t deadline_ns, uint64_t most_ns)
{
	uint64_t now_ns = weir_clock_ns();
	uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;

	if (left_ns > most_ns)
		left_ns = most_ns;
	return (struct timespec){ .tv_sec = (time_t)(left_ns / 1000000000u),
				  .tv_nsec = (long)(left_ns % 1000000000u) };
}

static int
sleep_on(struct pollfd *fds, nfds_t count, uint64_t deadline_ns,
	 uint64_t most_ns)
{
	struct timespec left = time_left(deadline_ns, most_ns);

	if (ppoll(fds, count, &left, NULL) < 0 && errno == EINTR)
		return -EINTR;
	return WEIR_WAIT_AGAIN;
}

int
weir_wait_sleep(struct weir_wait *wait, int fd)
{
	struct pollfd fds[2] = { { .fd = fd, .events = POLLIN } };
	uint64_t deadline_ns = wait->deadline_ns, port_ns;
	int rc;

	wait->turns = 0; /* look at the clock on the next turn */
	/*
	 * Once more after arming, which is a full barrier: who cancels stores
	 * the flag first and looks for somebody to wake afterwards, so one of
	 * us sees the other.
	 */
	if (wait->cancel != NULL &&
	    __atomic_load_n(wait->cancel, __ATOMIC_RELAXED) != 0)
		return WEIR_WAIT_AGAIN;
	if (wait->polls) {
		/* The one who sleeps here is the one who should poll. */
		if (weir_port_arm(wait->port, &port_ns) != 1) {
			sched_yield();
			return WEIR_WAIT_AGAIN;
		}
		if (port_ns < deadline_ns)
			deadline_ns = port_ns;
		fds[1] = (struct pollfd){ .fd = weir_port_fd(wait->port),
					  .events = POLLIN };
		rc = sleep_on(fds, 2, deadline_ns, WEIR_FOREVER);
		/* What woke us is taken before the port is armed again, which
		 * costs more than all else: the next try may find it. */
		if (rc == WEIR_WAIT_AGAIN)
			weir_port_poll(wait->port);
		return rc;
	}
	return sleep_on(fds, 1, deadline_ns, fd < 0 ? NAP_NS : WEIR_FOREVER);
}
