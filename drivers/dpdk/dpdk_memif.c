/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dpdk_memif: names and locks of memif sockets. See dpdk_memif.h.
 */

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_alarm.h>

#include "clock.h"
#include "dpdk_memif.h"
#include "weir_driver.h"

/* EAL's interrupt thread answers in microseconds, when it gets a CPU. */
#define INTERRUPT_WAIT_NS UINT64_C(50000000)

/* Far more than it ever needs; a stuck one must not hang us. */
#define SERIALISE_WAIT_NS UINT64_C(2000000000)

/* Bytes of the lock file. */
enum {
	LOCK_LISTENER = 0,
	LOCK_CONNECTOR = 1,
};

/* Names that this process holds: memif cannot talk to itself. */
static struct {
	pthread_mutex_t lock;
	struct dpdk_memif *held;
} claims = { .lock = PTHREAD_MUTEX_INITIALIZER };

/*
 * A name becomes one file name: what a path or a device argument could
 * misread is written as %XX.
 */
static int
build_paths(const char *name, const char *suffix, struct dpdk_memif *memif)
{
	char file[128];
	char dir[128];
	size_t len = 0;
	int rc;

	for (const char *at = name; *at != '\0'; at++) {
		bool plain = isalnum((unsigned char)*at) ||
			     strchr("_-+@", *at) != NULL ||
			     (*at == '.' && at != name);

		if (len + 4 > sizeof(file))
			return weir_fail(-ENAMETOOLONG,
					 "dpdk:%s: the name is too long", name);
		len += (size_t)snprintf(file + len, sizeof(file) - len,
					plain ? "%c" : "%%%02X",
					(unsigned char)*at);
	}
	rc = weir_runtime_dir(dir, sizeof(dir));
	if (rc != 0)
		return rc;
	rc = snprintf(memif->socket_path, sizeof(memif->socket_path),
		      "%s/%s.%s", dir, file, suffix);
	if (rc >= (int)sizeof(memif->socket_path))
		return weir_fail(-ENAMETOOLONG,
				 "dpdk:%s: %s/%s.%s is longer than a socket "
				 "path may be (107); use a shorter name or set "
				 "WEIR_RUNTIME_DIR",
				 name, dir, file, suffix);
	/* It separates device arguments. */
	if (strchr(memif->socket_path, ',') != NULL)
		return weir_fail(-EINVAL,
				 "runtime directory: %s has a comma in it, "
				 "which DPDK cannot take; set WEIR_RUNTIME_DIR",
				 dir);
	snprintf(memif->lock_path, sizeof(memif->lock_path), "%s.lock",
		 memif->socket_path);
	return 0;
}

static struct flock
one_byte(short type, int byte)
{
	return (struct flock){
		.l_type = type,
		.l_whence = SEEK_SET,
		.l_start = byte,
		.l_len = 1,
	};
}

static bool
lock_byte(int fd, int byte)
{
	struct flock lock = one_byte(F_WRLCK, byte);

	return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

/* Asks without taking: a test that locked could make the owner fail. */
static bool
is_locked(int fd, int byte)
{
	struct flock lock = one_byte(F_WRLCK, byte);

	return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* The file we locked may have been unlinked by its last owner meanwhile. */
static bool
is_still_there(int fd, const char *path)
{
	struct stat ours, named;

	return fstat(fd, &ours) == 0 && stat(path, &named) == 0 &&
	       ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
}

static int
claim_listener(struct dpdk_memif *memif, const char *name)
{
	/* Each turn means that another owner came and went: bounded. */
	for (int turn = 0; turn < 100; turn++) {
		int fd = open(memif->lock_path,
			      O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0)
			return weir_fail(-errno, "dpdk:%s: cannot open %s: %s",
					 name, memif->lock_path,
					 strerror(errno));
		if (!lock_byte(fd, LOCK_LISTENER)) {
			close(fd);
			return weir_fail(-EADDRINUSE,
					 "dpdk:%s: another process listens on "
					 "this name; use another name",
					 name);
		}
		if (is_still_there(fd, memif->lock_path)) {
			unlink(memif->socket_path);
			memif->lock_fd = fd;
			return 0;
		}
		close(fd);
	}
	return weir_fail(-EAGAIN,
			 "dpdk:%s: the name changes hands all the "
			 "time; use another one",
			 name);
}

static int
claim_connector(struct dpdk_memif *memif, const char *name)
{
	struct stat st;
	int fd = open(memif->lock_path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 && errno == ENOENT)
		return weir_fail(-EAGAIN,
				 "dpdk:%s: nobody listens; start the "
				 "listener first",
				 name);
	if (fd < 0)
		return weir_fail(-errno, "dpdk:%s: cannot open %s: %s", name,
				 memif->lock_path, strerror(errno));
	if (!is_locked(fd, LOCK_LISTENER) ||
	    stat(memif->socket_path, &st) != 0 || !S_ISSOCK(st.st_mode)) {
		close(fd);
		return weir_fail(-EAGAIN,
				 "dpdk:%s: nobody listens; start the "
				 "listener first",
				 name);
	}
	if (!lock_byte(fd, LOCK_CONNECTOR)) {
		close(fd);
		return weir_fail(-EAGAIN,
				 "dpdk:%s: another process is connected to it, "
				 "and a pair has two ends; use another "
				 "name for each connector",
				 name);
	}
	memif->lock_fd = fd;
	return 0;
}

static bool
held_here(const char *socket_path, enum dpdk_dev_role role)
{
	for (struct dpdk_memif *at = claims.held; at != NULL; at = at->next)
		if (at->role == role &&
		    strcmp(at->socket_path, socket_path) == 0)
			return true;
	return false;
}

static int
claim(struct dpdk_memif *memif, const char *name, const char *suffix)
{
	int rc = build_paths(name, suffix, memif);

	if (rc != 0)
		return rc;
	if (memif->role == DPDK_ROLE_LISTENER) {
		rc = claim_listener(memif, name);
	} else if (held_here(memif->socket_path, DPDK_ROLE_LISTENER)) {
		rc = weir_fail(
			-EOPNOTSUPP,
			"dpdk:%s: its listener is in this process, and "
			"such a pair joins two; add dev=net_ring to both",
			name);
	} else {
		rc = claim_connector(memif, name);
	}
	if (rc != 0)
		return rc;
	memif->next = claims.held;
	claims.held = memif;
	return 0;
}

int
weir_dpdk_memif_claim(const char *name, const char *suffix,
		      enum dpdk_dev_role role, struct dpdk_memif **out)
{
	struct dpdk_memif *memif = calloc(1, sizeof(*memif));
	int rc;

	if (memif == NULL)
		return weir_fail(-ENOMEM, "dpdk:%s: out of memory", name);
	memif->role = role;
	pthread_mutex_lock(&claims.lock);
	rc = claim(memif, name, suffix);
	pthread_mutex_unlock(&claims.lock);
	if (rc != 0) {
		free(memif);
		return rc;
	}
	*out = memif;
	return 0;
}

/* ---- a closing listener ----------------------------------------------------- */

static void
ring_bell(void *arg)
{
	atomic_store((atomic_bool *)arg, true);
}

/* Wait until EAL's interrupt thread has been through its events once. */
static void
wait_for_interrupt_thread(void)
{
	uint64_t deadline_ns = weir_clock_ns() + INTERRUPT_WAIT_NS;
	static atomic_bool rung; /* outlives a wait that was given up */

	atomic_store(&rung, false);
	if (rte_eal_alarm_set(1, ring_bell, &rung) != 0)
		return;
	while (!atomic_load(&rung) && weir_clock_ns() < deadline_ns)
		sched_yield();
	rte_eal_alarm_cancel(ring_bell, &rung);
}

struct job {
	void (*fn)(void *arg);
	void *arg;
	atomic_bool done;
};

static void
job_run(void *arg)
{
	struct job *job = arg;

	job->fn(job->arg);
	atomic_store(&job->done, true);
}

void
weir_dpdk_memif_serialise(void (*fn)(void *arg), void *arg)
{
	uint64_t deadline_ns = weir_clock_ns() + SERIALISE_WAIT_NS;
	struct job job = { .fn = fn, .arg = arg };

	if (rte_eal_alarm_set(1, job_run, &job) == 0) {
		while (!atomic_load(&job.done) && weir_clock_ns() < deadline_ns)
			sched_yield();
		/* Waits for a callback that is running. */
		rte_eal_alarm_cancel(job_run, &job);
	}
	if (!atomic_load(&job.done))
		fn(arg); /* that thread has stopped to serve anyone */
}

void
weir_dpdk_memif_hide(struct dpdk_memif *memif)
{
	int fd;

	if (memif->role != DPDK_ROLE_LISTENER)
		return;
	pthread_mutex_lock(&claims.lock);
	unlink(memif->socket_path);
	/* The driver wants to remove something itself. */
	fd = open(memif->socket_path, O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
	/* Twice: the first may come before others of the same round. */
	wait_for_interrupt_thread();
	wait_for_interrupt_thread();
	pthread_mutex_unlock(&claims.lock);
}

void
weir_dpdk_memif_release(struct dpdk_memif *memif)
{
	struct dpdk_memif **link = &claims.held;

	pthread_mutex_lock(&claims.lock);
	while (*link != memif)
		link = &(*link)->next;
	*link = memif->next;
	if (memif->role == DPDK_ROLE_LISTENER) {
		/* With the lock held, so that no successor loses its files. */
		unlink(memif->socket_path);
		unlink(memif->lock_path);
	}
	close(memif->lock_fd);
	pthread_mutex_unlock(&claims.lock);
	free(memif);
}
