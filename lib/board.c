/* SPDX-License-Identifier: BSD-3-Clause */
/* The counters of this process where weir stat can read them. See board.h. */

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "board.h"
#include "clock.h"
#include "core.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u /* Linux 6.3 */
#endif

/* Slots that are taken; what is not the board's is only touched with lock. */
static struct {
	pthread_mutex_t lock;
	struct board_head *head; /* NULL: none yet */
	pid_t pid;               /* a child has none of its parent's */
	uint32_t ports;          /* that are listed; the symlink goes with
				    the last */
	uint32_t next;           /* where to look for a free slot */
	uint32_t ports_ever;
	uint32_t links_ever;
	bool taken[BOARD_SLOTS];
	bool copied;                 /* head is a child's copy, of no fd */
	struct board_head *snapshot; /* for the child, while we fork */
	struct board_head *former;   /* of our parent, with what was its */
	char link[256];
	char target[64]; /* of the symlink */
} board = { .lock = PTHREAD_MUTEX_INITIALIZER };

static pthread_once_t watch_forks = PTHREAD_ONCE_INIT;

static bool
is_one_of(const char *word, const char *const *words)
{
	while (*words != NULL && strcasecmp(word, *words) != 0)
		words++;
	return *words != NULL;
}

bool
weir_board_wanted(const struct weir_port_config *config)
{
	static const char *const yes[] = { "1", "yes", "on", "true", NULL };
	static const char *const no[] = { "", "0", "no", "off", "false", NULL };
	const char *env = getenv("WEIR_STATS");

	if (config->stats != 0 || config->telemetry != 0)
		return true;
	if (env == NULL || is_one_of(env, no))
		return false;
	if (is_one_of(env, yes))
		return true;
	weir_log(WEIR_LOG_WARN,
		 "WEIR_STATS=%s: neither yes nor no; counters stay private, "
		 "say 1 or 0",
		 env);
	return false;
}

/* ---- the memory ------------------------------------------------------------ */

/*
 * Readers of a file that cannot shrink need not fear SIGBUS, and nobody but the
 * mapping that is there already writes to it: halves have pointers to code.
 */
static int
memory_seal(int fd)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

	if (fcntl(fd, F_ADD_SEALS, seals | F_SEAL_FUTURE_WRITE) == 0)
		return 0;
	return -errno;
}

static int
memory_new(void)
{
	int fd = memfd_create(BOARD_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING |
						  MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(BOARD_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (fchmod(fd, 0600) != 0 || ftruncate(fd, BOARD_BYTES) != 0) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	return fd;
}

/* What a half or the reader of one needs. */
static void
copy_used(struct board_head *to, const struct board_head *from)
{
	memcpy(to, from, sizeof(*to));
	for (uint32_t i = 0; i < BOARD_SLOTS; i++)
		if (board.taken[i])
			memcpy(board_slot_at(to, i), board_slot_at(from, i),
			       BOARD_SLOT);
}

/*
 * A child gets a copy of its own, at the same place, instead of our halves: as
 * it gets of all other memory. It is made before the fork: afterwards the parent
 * goes on writing to the original. A child of that child gets its copy without
 * us.
 */
static void
on_fork(void)
{
	pthread_mutex_lock(&board.lock);
	if (board.head == NULL || board.copied)
		return;
	board.snapshot = mmap(NULL, BOARD_BYTES, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (board.snapshot != MAP_FAILED)
		copy_used(board.snapshot, board.head);
}

static void
on_fork_parent(void)
{
	if (board.snapshot != NULL && board.snapshot != MAP_FAILED)
		munmap(board.snapshot, BOARD_BYTES);
	board.snapshot = NULL;
	pthread_mutex_unlock(&board.lock);
}

static void
on_fork_child(void)
{
	struct board_head *copy = board.snapshot;

	pthread_mutex_unlock(&board.lock);
	if (copy == NULL)
		return;
	/* Without memory: rather a child that ends than one that writes to
	 * its parent's halves. */
	if (copy == MAP_FAILED ||
	    mremap(copy, BOARD_BYTES, BOARD_BYTES,
		   MREMAP_MAYMOVE | MREMAP_FIXED, board.head) == MAP_FAILED)
		munmap(board.head, BOARD_BYTES);
	board.snapshot = NULL;
	board.copied = true;
}

static void
forks_watch(void)
{
	pthread_atfork(on_fork, on_fork_parent, on_fork_child);
}

/* With the lock. */
static int
board_make(void)
{
	int fd = memory_new(), rc;
	struct board_head *head;

	if (fd < 0)
		return fd;
	head = mmap(NULL, BOARD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    0);
	if (head == MAP_FAILED) {
		close(fd);
		return -ENOMEM;
	}
	rc = memory_seal(fd);
	if (rc != 0) {
		munmap(head, BOARD_BYTES);
		close(fd);
		return rc;
	}
	pthread_once(&watch_forks, forks_watch);
	memcpy(head->magic, BOARD_MAGIC, sizeof(head->magic));
	head->version = BOARD_VERSION;
	head->pid = (uint32_t)getpid();
	head->start_ns = weir_clock_ns();
	snprintf(head->release, sizeof(head->release), "%s", weir_version());
	memset(board.taken, 0, sizeof(board.taken));
	board.ports = 0;
	board.next = 0;
	board.pid = getpid();
	board.copied = false;
	board.former = board.head; /* our parent's, if any */
	__atomic_store_n(&board.head, head, __ATOMIC_RELEASE);
	snprintf(board.target, sizeof(board.target), "/proc/%d/fd/%d",
		 (int)board.pid, fd);
	return 0;
}

/* With the lock. A dead process may have had our number. */
static void
board_list(void)
{
	char dir[200];

	if (board.ports++ != 0)
		return;
	board.link[0] = '\0';
	if (weir_runtime_dir(dir, sizeof(dir)) != 0)
		return;
	snprintf(board.link, sizeof(board.link), "%s/" BOARD_PREFIX "%d", dir,
		 (int)board.pid);
	unlink(board.link);
	if (symlink(board.target, board.link) != 0)
		weir_log(WEIR_LOG_NOTICE, "stats: %s cannot be made: %s",
			 board.link, strerror(errno));
}

static void
board_unlist(void)
{
	if (--board.ports == 0 && board.link[0] != '\0')
		unlink(board.link);
}

/* ---- slots ----------------------------------------------------------------- */

/* With the lock. @return NULL: all are taken. */
static struct board_slot *
slot_take(enum board_kind kind)
{
	for (uint32_t i = 0; i < BOARD_SLOTS; i++) {
		uint32_t at = (board.next + i) % BOARD_SLOTS;
		struct board_slot *slot = board_slot_at(board.head, at);

		if (board.taken[at])
			continue;
		board.taken[at] = true;
		board.next = at + 1;
		memset((uint8_t *)slot + sizeof(slot->generation), 0,
		       BOARD_SLOT - sizeof(slot->generation));
		slot->kind = kind;
		if (at >= atomic_load_explicit(&board.head->used,
					       memory_order_relaxed))
			atomic_store_explicit(&board.head->used, at + 1,
					      memory_order_release);
		return slot;
	}
	atomic_fetch_add_explicit(&board.head->refused, 1,
				  memory_order_relaxed);
	return NULL;
}

static uint32_t
slot_index(const struct board_slot *slot)
{
	return (uint32_t)(((const uint8_t *)slot - (const uint8_t *)board.head -
			   BOARD_HEAD) /
			  BOARD_SLOT);
}

/* Odd is in use. Release: what it is, before; pairs with board_read(). */
static void
slot_flip(struct board_slot *slot)
{
	uint32_t now =
		atomic_load_explicit(&slot->generation, memory_order_relaxed);

	atomic_store_explicit(&slot->generation, now + 1, memory_order_release);
}

static bool
slot_is_shown(const struct board_slot *slot)
{
	return atomic_load_explicit(&slot->generation, memory_order_relaxed) %
		       2 !=
	       0;
}

static bool
lies_in(const struct board_head *head, const void *at)
{
	return head != NULL && (uintptr_t)at >= (uintptr_t)head &&
	       (uintptr_t)at < (uintptr_t)head + BOARD_BYTES;
}

static void
slot_give(struct board_slot *slot)
{
	if (!lies_in(board.head, slot))
		return; /* our parent's */
	pthread_mutex_lock(&board.lock);
	if (slot_is_shown(slot))
		slot_flip(slot);
	board.taken[slot_index(slot)] = false;
	pthread_mutex_unlock(&board.lock);
}

/* The slot that a half lies in. @return NULL: in none. */
static struct board_slot *
slot_of(const void *half)
{
	const struct board_head *head =
		__atomic_load_n(&board.head, __ATOMIC_ACQUIRE);

	if (!lies_in(head, half))
		return NULL;
	return board_slot_at(head, (uint32_t)(((uintptr_t)half -
					       (uintptr_t)head - BOARD_HEAD) /
					      BOARD_SLOT));
}

/* What does not fit is left out. */
static void
text_copy(char *to, size_t size, const char *from)
{
	size_t len = strnlen(from, size - 1);

	memcpy(to, from, len);
	to[len] = '\0';
}

static void
slot_name(struct board_slot *slot, const struct weir_driver *driver,
	  const char *endpoint)
{
	text_copy(slot->driver, sizeof(slot->driver), driver->scheme);
	text_copy(slot->endpoint, sizeof(slot->endpoint), endpoint);
}

/* ---- ports ----------------------------------------------------------------- */

void
weir_board_port_open(struct weir_port *port, const struct weir_endpoint *ep)
{
	char name[sizeof(ep->text)];
	int rc = 0;

	if (!weir_board_wanted(&port->config))
		return;
	snprintf(name, sizeof(name), "%s:%s", ep->scheme, ep->address);
	pthread_mutex_lock(&board.lock);
	if (board.head == NULL || board.pid != getpid())
		rc = board_make();
	if (rc == 0)
		port->board = slot_take(BOARD_PORT);
	if (port->board != NULL) {
		port->board->port = ++board.ports_ever;
		slot_name(port->board, port->driver, name);
		slot_flip(port->board);
		board_list();
	}
	pthread_mutex_unlock(&board.lock);
	if (rc != 0)
		weir_log(WEIR_LOG_NOTICE, "stats: no memory for them: %s",
			 strerror(-rc));
}

void
weir_board_port_close(struct weir_port *port)
{
	if (port->board == NULL)
		return;
	if (board.pid == getpid() && lies_in(board.head, port->board)) {
		pthread_mutex_lock(&board.lock);
		board_unlist();
		pthread_mutex_unlock(&board.lock);
	}
	slot_give(port->board);
	port->board = NULL;
}

/* ---- links and halves ------------------------------------------------------ */

void *
weir_board_half_new(const struct weir_port *port, enum board_kind kind,
		    size_t size)
{
	struct board_slot *slot = NULL;

	if (port->board == NULL || size > BOARD_SLOT - BOARD_BODY)
		return weir_object(size);
	pthread_mutex_lock(&board.lock);
	slot = slot_take(kind);
	pthread_mutex_unlock(&board.lock);
	return slot != NULL ? (uint8_t *)slot + BOARD_BODY : weir_object(size);
}

void
weir_board_half_free(void *half)
{
	struct board_slot *slot = slot_of(half);

	if (slot != NULL)
		slot_give(slot);
	else if (!lies_in(board.former, half))
		free(half);
}

static const struct weir_half_counter *
tx_counters_of(const struct weir_link *link)
{
	return link->tx != NULL && link->tx->shared
		       ? link->driver->tx_shared_counters
		       : link->driver->tx_counters;
}

static void
half_show(struct board_slot *slot, const struct weir_link *link,
	  const struct weir_half_counter *counters, const char *endpoint)
{
	if (slot == NULL)
		return;
	slot->port = link->port->board->port;
	slot->link = link->board != NULL ? link->board->link : 0;
	slot_name(slot, link->driver, endpoint);
	if (counters != NULL)
		memcpy(slot->counters, counters, sizeof(slot->counters));
	slot_flip(slot);
}

void
weir_board_link_peer(struct weir_link *link)
{
	struct weir_peer peer;
	char *text;

	if (link->board == NULL || link->board->peer[0] != '\0' ||
	    link->driver->link_peer(link, &peer) != 0)
		return;
	text = link->board->peer;
	if (peer.address[0] == '\0' && peer.pid > 0)
		snprintf(text, sizeof(link->board->peer), "pid %lld",
			 (long long)peer.pid);
	else
		text_copy(text, sizeof(link->board->peer), peer.address);
}

void
weir_board_link_show(struct weir_link *link, const char *endpoint)
{
	if (link->port->board == NULL)
		return;
	pthread_mutex_lock(&board.lock);
	link->board = slot_take(BOARD_LINK);
	if (link->board != NULL) {
		link->board->port = link->port->board->port;
		link->board->link = ++board.links_ever;
		atomic_store_explicit(&link->board->status, -EINPROGRESS,
				      memory_order_relaxed);
		slot_name(link->board, link->driver, endpoint);
		slot_flip(link->board);
	}
	half_show(slot_of(link->tx), link, tx_counters_of(link), endpoint);
	half_show(slot_of(link->rx), link, link->driver->rx_counters, endpoint);
	pthread_mutex_unlock(&board.lock);
	/* Drivers have locks of their own, which come first. */
	weir_board_link_peer(link);
}

void
weir_board_link_hide(struct weir_link *link)
{
	if (link->board != NULL)
		slot_give(link->board);
	link->board = NULL;
}

/* ---- copies ---------------------------------------------------------------- */

/* One word at a time, so that a reader gets each of them whole. */
static void
body_write(struct board_slot *slot, const void *from, uint32_t size)
{
	uint64_t *to = (uint64_t *)(void *)((uint8_t *)slot + BOARD_BODY);

	for (uint32_t i = 0; i < size / 8; i++) {
		uint64_t word;

		memcpy(&word, (const uint8_t *)from + (size_t)i * 8, 8);
		__atomic_store_n(to + i, word, __ATOMIC_RELAXED);
	}
	slot->body_size = size;
	atomic_store_explicit(&slot->updated_ns, weir_clock_ns(),
			      memory_order_relaxed);
}

void
weir_port_publish(struct weir_port *port)
{
	struct weir_port_stats stats = { 0 };

	if (port->board == NULL)
		return;
	port->driver->port_stats(port, &stats);
	body_write(port->board, &stats, sizeof(stats));
}

void
weir_link_publish(struct weir_link *link, int status)
{
	struct weir_link_stats stats = { 0 };

	if (link->board == NULL)
		return;
	link->driver->link_stats(link, &stats);
	body_write(link->board, &stats, sizeof(stats));
	weir_board_link_peer(link);
	atomic_store_explicit(&link->board->status, status,
			      memory_order_relaxed);
}

const struct board_head *
weir_board(void)
{
	return board.pid == getpid() ? board.head : NULL;
}
