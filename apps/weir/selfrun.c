/* SPDX-License-Identifier: BSD-3-Clause */
/* Peer process or thread and the turns between the two; see selfrun.h. */

#include "selfrun.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "spin.h"
#include "ticks.h"

#define SELF_ENV      "WEIR_PERF_PEER"
#define SELF_ARGS_MAX 128
#define AWAIT_NS      UINT64_C(20000000000)
#define HUGE_BYTES    (2u << 20)
#define PAGE_BYTES    4096u

_Static_assert(sizeof(struct weir_self_page) <= PAGE_BYTES,
	       "the floor's area begins behind the page");

/* ---- endpoints --------------------------------------------------------------- */

bool
weir_self_in_process(const char *endpoint)
{
	return strncmp(endpoint, "mem:", 4) == 0 ||
	       strstr(endpoint, ",dev=net_ring") != NULL;
}

void
weir_self_endpoint(const char *endpoint, char *text, size_t size)
{
	const char *address = strchr(endpoint, ':');
	size_t len;

	if (address == NULL) {
		snprintf(text, size, "%s", endpoint);
		return;
	}
	address++;
	len = strcspn(address, ",");
	/* Numbers are addresses and stay; "10.7.0.2:7400", "*:7400", "[fd00::2]:1".
	 */
	if (memchr(address, ':', len) != NULL ||
	    memchr(address, '.', len) != NULL)
		snprintf(text, size, "%s", endpoint);
	else
		snprintf(text, size, "%.*sself-%ld%s",
			 (int)(address - endpoint), endpoint, (long)getpid(),
			 address + len);
}

/* ---- memory ------------------------------------------------------------------ */

static int
page_create(struct weir_self *self, bool huge)
{
	self->huge_fd = -1;
	self->bells[0] = eventfd(0, EFD_NONBLOCK);
	self->bells[1] = eventfd(0, EFD_NONBLOCK);
	if (self->bells[0] < 0 || self->bells[1] < 0)
		return -errno;
	self->fd = memfd_create("weir-perf", 0);
	if (self->fd < 0)
		return -errno;
	if (ftruncate(self->fd, PAGE_BYTES) != 0)
		return -errno;
	if (huge)
		self->huge_fd = memfd_create("weir-perf-huge", MFD_HUGETLB);
	return 0;
}

static int
page_map(struct weir_self *self)
{
	void *page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			  self->fd, 0);

	if (page == MAP_FAILED)
		return -errno;
	self->page = page;
	return 0;
}

/* fresh: drop what was there, so that the area is zero. */
static void *
area_map(int fd, size_t len, off_t offset, bool fresh)
{
	void *area;

	if (fresh && (ftruncate(fd, offset) != 0 ||
		      ftruncate(fd, offset + (off_t)len) != 0))
		return NULL;
	area = mmap(NULL, len, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_POPULATE, fd, offset);
	return area == MAP_FAILED ? NULL : area;
}

static size_t
round_up(size_t value, size_t step)
{
	return (value + step - 1) / step * step;
}

/* Huge pages for both sides or for none: the link under test has them when
 * there are any, and its floor must not be slower for the lack of them. */
int
weir_self_area(struct weir_self *self, size_t len)
{
	struct weir_self_order *order = &self->page->order;
	bool meter = self->pid != 0 || self->thread != 0;

	if (self->area != NULL)
		munmap(self->area, self->area_len);
	self->area = NULL;
	self->area_len = round_up(len, HUGE_BYTES);
	if (meter)
		order->huge = 0;
	if (self->huge_fd >= 0 && (meter || order->huge != 0)) {
		self->area = area_map(self->huge_fd, self->area_len, 0, meter);
		if (meter && self->area != NULL)
			order->huge = 1;
	}
	if (self->area == NULL && order->huge == 0)
		self->area =
			area_map(self->fd, self->area_len, PAGE_BYTES, meter);
	return self->area == NULL ? -ENOMEM : 0;
}

/* The descriptors are the two sides' own. */
static void
close_on_exec(const struct weir_self *self)
{
	fcntl(self->fd, F_SETFD, FD_CLOEXEC);
	fcntl(self->bells[0], F_SETFD, FD_CLOEXEC);
	fcntl(self->bells[1], F_SETFD, FD_CLOEXEC);
	if (self->huge_fd >= 0)
		fcntl(self->huge_fd, F_SETFD, FD_CLOEXEC);
}

/* ---- start ------------------------------------------------------------------- */

/* Our own command line again. @return 0; -errno. */
static int
read_arguments(char *text, size_t size, char **args)
{
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	size_t used = 0, count = 0;
	ssize_t got;

	if (fd < 0)
		return -errno;
	while (used < size - 1 &&
	       (got = read(fd, text + used, size - 1 - used)) > 0)
		used += (size_t)got;
	close(fd);
	text[used] = '\0';
	for (char *at = text; at < text + used && count < SELF_ARGS_MAX;
	     at += strlen(at) + 1)
		args[count++] = at;
	args[count] = NULL;
	return count == SELF_ARGS_MAX || used == size - 1 ? -E2BIG : 0;
}

static _Noreturn void
become_peer(char **args, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	/* The meter says when to stop, also after an interrupt. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	execv("/proc/self/exe", args);
	_exit(127);
}

static int
start_process(struct weir_self *self)
{
	static char text[16384];
	char *args[SELF_ARGS_MAX + 1];
	char value[64];
	pid_t parent = getpid();
	int rc = read_arguments(text, sizeof(text), args);

	if (rc != 0)
		return rc;
	snprintf(value, sizeof(value), "%d,%d,%d,%d", self->fd, self->huge_fd,
		 self->bells[0], self->bells[1]);
	setenv(SELF_ENV, value, 1);
	self->pid = fork();
	if (self->pid == 0)
		become_peer(args, parent);
	unsetenv(SELF_ENV);
	if (self->pid < 0) {
		self->pid = 0;
		return -errno;
	}
	close_on_exec(self);
	return 0;
}

/* The thread's own view of what the meter's thread holds. */
static int
start_thread(struct weir_self *self, void *(*peer)(void *))
{
	struct weir_self *other = calloc(1, sizeof(*other));
	int rc;

	if (other == NULL)
		return -ENOMEM;
	other->page = self->page;
	other->fd = self->fd;
	other->huge_fd = self->huge_fd;
	memcpy(other->bells, self->bells, sizeof(other->bells));
	other->spin_limit = self->spin_limit;
	rc = pthread_create(&self->thread, NULL, peer, other);
	if (rc != 0) {
		self->thread = 0;
		free(other);
	}
	return -rc;
}

static uint32_t
spin_limit(bool one_cpu)
{
	return one_cpu ? 0 : WEIR_SPIN_LIMIT;
}

int
weir_self_start(struct weir_self *self, const char *endpoint, const int cpus[2],
		bool huge, void *(*peer)(void *))
{
	int rc;

	memset(self, 0, sizeof(*self));
	rc = page_create(self, huge);
	if (rc == 0)
		rc = page_map(self);
	if (rc != 0)
		return rc;
	self->spin_limit = spin_limit(cpus[0] == cpus[1]);
	self->page->cpu = cpus[1];
	self->page->one_cpu = cpus[0] == cpus[1];
	snprintf(self->page->endpoint, sizeof(self->page->endpoint), "%s",
		 endpoint);
	return peer == NULL ? start_process(self) : start_thread(self, peer);
}

bool
weir_self_inherited(void)
{
	return getenv(SELF_ENV) != NULL;
}

int
weir_self_attach(struct weir_self *self)
{
	const char *value = getenv(SELF_ENV);
	int rc;

	memset(self, 0, sizeof(*self));
	if (value == NULL ||
	    sscanf(value, "%d,%d,%d,%d", &self->fd, &self->huge_fd,
		   &self->bells[0], &self->bells[1]) != 4)
		return -EINVAL;
	unsetenv(SELF_ENV);
	close_on_exec(self);
	rc = page_map(self);
	if (rc == 0)
		self->spin_limit = spin_limit(self->page->one_cpu != 0);
	return rc;
}

/* ---- turns ------------------------------------------------------------------- */

/* A process that has ended shows at once. A thread answers always. */
static bool
peer_gone(struct weir_self *self)
{
	if (!self->ended && self->pid != 0 &&
	    waitpid(self->pid, &self->status, WNOHANG) == self->pid)
		self->ended = true;
	return self->ended;
}

int
weir_self_await(struct weir_self *self, enum weir_self_state state,
		void (*idle)(void *), void *arg)
{
	/* The peer may need this very CPU to get up: sleep, not spin. */
	struct timespec pause = { .tv_nsec = 50000 };
	uint64_t start_ns = weir_raw_ns();
	uint32_t now;

	/* Acquire pairs with the peer's release of its state. */
	while ((now = atomic_load_explicit(&self->page->state,
					   memory_order_acquire)) != state) {
		if (now == WEIR_SELF_FAILED || peer_gone(self))
			return -ECHILD;
		if (weir_raw_ns() - start_ns > AWAIT_NS)
			return -ETIMEDOUT;
		if (idle != NULL)
			idle(arg);
		nanosleep(&pause, NULL);
	}
	return 0;
}

void
weir_self_begin(struct weir_self *self, enum weir_self_op op,
		enum weir_self_which which)
{
	self->page->order.op = op;
	self->page->order.which = which;
	/* Release: publishes order and gate. Pairs with weir_self_next(). */
	atomic_store_explicit(&self->page->turn, ++self->turn,
			      memory_order_release);
}

int
weir_self_end(struct weir_self *self, struct weir_load *idle)
{
	struct weir_spin spin = { .limit = self->spin_limit };
	uint32_t looks = 0;

	/* Acquire pairs with the release in weir_self_reply(). */
	while (atomic_load_explicit(&self->page->done, memory_order_acquire) !=
	       self->turn) {
		if (idle != NULL)
			idle->ops->idle(idle);
		if ((++looks & 0xfffu) == 0 && peer_gone(self))
			return -ECHILD;
		if (weir_spin(&spin) != 0)
			return -ETIMEDOUT;
	}
	return self->page->reply.rc;
}

enum weir_self_op
weir_self_next(struct weir_self *self)
{
	struct weir_spin spin = { .limit = self->spin_limit };

	/* Acquire pairs with the release in weir_self_begin(). No limit: when
	 * the meter dies, so do we. */
	while (atomic_load_explicit(&self->page->turn, memory_order_acquire) ==
	       self->turn)
		(void)weir_spin(&spin);
	self->turn++;
	return (enum weir_self_op)self->page->order.op;
}

void
weir_self_reply(struct weir_self *self, int rc)
{
	self->page->reply.rc = rc;
	/* Release: publishes reply. Pairs with weir_self_end(). */
	atomic_store_explicit(&self->page->done, self->turn,
			      memory_order_release);
}

void
weir_self_gate(struct weir_self *self, bool open, uint64_t sent)
{
	struct weir_gate *gate = &self->page->gate;

	atomic_store_explicit(&gate->sent, sent, memory_order_relaxed);
	/* Release: publishes sent. Pairs with weir_gate_open(). */
	atomic_store_explicit(&gate->open, open, memory_order_release);
}

/* ---- end --------------------------------------------------------------------- */

static void
reap(struct weir_self *self)
{
	struct timespec pause = { .tv_nsec = 1000000 };

	for (int ms = 0; ms < 5000 && !peer_gone(self); ms++)
		nanosleep(&pause, NULL);
	if (self->ended)
		return;
	kill(self->pid, SIGKILL);
	waitpid(self->pid, &self->status, 0);
	self->ended = true;
}

void
weir_self_stop(struct weir_self *self)
{
	if (self->page == NULL)
		return;
	weir_self_gate(self, false, 0);
	weir_self_begin(self, WEIR_SELF_QUIT, WEIR_SELF_TEST);
	if (self->pid != 0)
		reap(self);
	else if (self->thread != 0)
		pthread_join(self->thread, NULL);
	if (self->area != NULL)
		munmap(self->area, self->area_len);
	munmap(self->page, PAGE_BYTES);
	close(self->fd);
	close(self->bells[0]);
	close(self->bells[1]);
	if (self->huge_fd >= 0)
		close(self->huge_fd);
	self->page = NULL;
}
