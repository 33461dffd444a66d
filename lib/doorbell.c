/* SPDX-License-Identifier: BSD-3-Clause */
/* The half of the doorbell that enters the kernel. */

#include "doorbell.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool registered;

static int
membarrier(int command)
{
	return (int)syscall(SYS_membarrier, command, 0, 0);
}

static void
register_process(void)
{
	registered = membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) ==
			     0 &&
		     membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED) == 0;
}

bool
weir_doorbell_setup(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, register_process);
	return registered;
}

void
weir_doorbell_barrier(void)
{
	/* For publishers that fence, and for the compiler. */
	atomic_thread_fence(memory_order_seq_cst);
	if (weir_doorbell_setup())
		membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED);
}

void
weir_doorbell_arm(_Atomic uint32_t *sleeping)
{
	atomic_store_explicit(sleeping, 1, memory_order_relaxed);
	weir_doorbell_barrier();
}

void
weir_doorbell_ring(int fd)
{
	uint64_t one = 1;
	int saved = errno;

	/* EAGAIN: the counter is full, so the fd is readable already. */
	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	errno = saved;
}

void
weir_doorbell_drain(int fd)
{
	uint64_t count;

	while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

int
weir_doorbell_open(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}
