/* SPDX-License-Identifier: BSD-3-Clause */
/* Where a link meets: names, listening, dialling, and who is let in. */

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shm_handshake.h"

/* For a directory's lock, one a millisecond. */
#define LOCK_TRIES 100

#define BACKLOG 64

/* FNV-1a: tells runtime directories apart; not a secret. */
static uint64_t
hash(const char *text)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (; *text != '\0'; text++)
		h = (h ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
	return h;
}

/* ---- names ------------------------------------------------------------------- */

static int
abstract_name(struct shm_address *a, const char *name)
{
	const char *dir = getenv("WEIR_RUNTIME_DIR");
	size_t room = sizeof(a->sun.sun_path) - 1;
	/* The first byte stays zero: no file system knows the rest. */
	int n = snprintf(a->sun.sun_path + 1, room,
			 "weir-shm/%" PRId64 "/%016" PRIx64 "/%s", a->uid,
			 dir == NULL ? 0 : hash(dir), name);

	if (n < 0 || (size_t)n >= room)
		return weir_fail(-EINVAL,
				 "endpoint 'shm:%s': the name is too long; use "
				 "at most 60 characters",
				 name);
	a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			     (size_t)n);
	return 0;
}

static int
file_name(struct shm_address *a, const char *name, const char *path)
{
	size_t room = sizeof(a->sun.sun_path);
	char dir[256];
	int n, rc;

	if (strcmp(path, "1") == 0) {
		if (strchr(name, '/') != NULL)
			return weir_fail(
				-EINVAL,
				"endpoint 'shm:%s': a name with path=1 "
				"must not have a '/'; write "
				"path=/absolute/path instead",
				name);
		rc = weir_runtime_dir(dir, sizeof(dir));
		if (rc != 0)
			return rc;
		n = snprintf(a->sun.sun_path, room, "%s/%s.shm", dir, name);
	} else if (path[0] == '/') {
		n = snprintf(a->sun.sun_path, room, "%s", path);
	} else {
		return weir_fail(-EINVAL,
				 "endpoint 'shm:%s': path=%s is not absolute; "
				 "write path=/absolute/path or path=1",
				 name, path);
	}
	if (n < 0 || (size_t)n >= room)
		return weir_fail(-EINVAL,
				 "endpoint 'shm:%s': the socket's path is over "
				 "%zu characters; choose a shorter one",
				 name, room - 1);
	a->file = true;
	a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			     (size_t)n);
	return 0;
}

static int
handed_fd(const struct weir_endpoint *ep, struct shm_address *a)
{
	uint64_t number = 0;
	struct sockaddr_un peer;
	int type = 0, domain = 0, rc;
	socklen_t len = sizeof(int), peer_len = sizeof(peer);

	rc = weir_endpoint_u64(ep, "fd", 0, INT32_MAX, &number);
	if (rc != 0)
		return rc;
	if (getsockopt((int)number, SOL_SOCKET, SO_TYPE, &type, &len) != 0 ||
	    getsockopt((int)number, SOL_SOCKET, SO_DOMAIN, &domain, &len) !=
		    0 ||
	    type != SOCK_SEQPACKET || domain != AF_UNIX)
		return weir_fail(-EINVAL,
				 "endpoint 'shm:%s': fd=%d is not an AF_UNIX "
				 "SEQPACKET socket; pass one end of a "
				 "socketpair",
				 ep->address, (int)number);
	if (getpeername((int)number, (struct sockaddr *)&peer, &peer_len) != 0)
		return weir_fail(-EINVAL,
				 "endpoint 'shm:%s': fd=%d is a socket without "
				 "a peer: %s; pass one end of a socketpair, or "
				 "connect it first",
				 ep->address, (int)number, strerror(errno));
	a->fd = (int)number;
	return 0;
}

static int
trust(const struct weir_endpoint *ep, struct shm_address *a)
{
	const char *whom = weir_endpoint_get(ep, "trust");

	a->trust_none = whom != NULL && strcmp(whom, "none") == 0;
	if (whom == NULL || a->trust_none || strcmp(whom, "peer") == 0)
		return 0;
	return weir_fail(
		-EINVAL,
		"endpoint 'shm:%s': trust=%s is neither peer nor none; "
		"none has each message copied before you read it",
		ep->address, whom);
}

int
weir_shm_address(const struct weir_endpoint *ep, struct shm_address *address)
{
	struct shm_address a = { .fd = -1, .uid = geteuid() };
	const char *path = weir_endpoint_get(ep, "path");
	uint64_t uid = (uint64_t)a.uid;
	int rc;

	rc = weir_endpoint_u64(ep, "uid", 0, UINT32_MAX - 1, &uid);
	if (rc == 0)
		rc = trust(ep, &a);
	if (rc != 0)
		return rc;
	a.uid = (int64_t)uid;
	a.uid_asked = weir_endpoint_get(ep, "uid") != NULL;
	a.sun.sun_family = AF_UNIX;
	snprintf(a.name, sizeof(a.name), "%s", ep->address);
	if (weir_endpoint_get(ep, "fd") != NULL)
		rc = handed_fd(ep, &a);
	else if (path != NULL)
		rc = file_name(&a, ep->address, path);
	else
		rc = abstract_name(&a, ep->address);
	if (rc == 0)
		*address = a;
	return rc;
}

/* ---- listening ---------------------------------------------------------------- */

static int
socket_open(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC,
			0);

	return fd < 0 ? -errno : fd;
}

/* Others hold it for the few system calls of a bind. Whoever may read the
 * directory can take it too, so nobody waits for it without end. */
static int
lock_within(int fd, uint32_t tries_of_1ms)
{
	const struct timespec nap = { .tv_nsec = 1000000 };

	while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (tries_of_1ms-- == 0)
			return -EBUSY;
		nanosleep(&nap, NULL);
	}
	return 0;
}

/* Hold the directory's lock: it guards the check for a dead listener, and
 * leaves no lock file behind. */
static int
lock_directory(const struct shm_address *a)
{
	char dir[sizeof(a->sun.sun_path)];
	char *slash;
	int fd, rc;

	snprintf(dir, sizeof(dir), "%s", a->sun.sun_path);
	slash = strrchr(dir, '/');
	slash[slash == dir] = '\0';
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = lock_within(fd, LOCK_TRIES);
	if (rc != 0)
		close(fd);
	return rc != 0 ? rc : fd;
}

static bool
someone_listens(const struct shm_address *a)
{
	int fd = socket_open();
	bool alive;

	if (fd < 0)
		return true; /* rather refuse than steal */
	alive = connect(fd, (const struct sockaddr *)&a->sun, a->len) == 0 ||
		(errno != ECONNREFUSED && errno != ENOENT);
	close(fd);
	return alive;
}

/* @return 1; 0 there is nothing; -EEXIST something else, no matter what a link
 * points to; other errors. */
static int
is_socket(const char *path)
{
	struct stat st;

	if (lstat(path, &st) != 0)
		return errno == ENOENT ? 0 : -errno;
	return S_ISSOCK(st.st_mode) ? 1 : -EEXIST;
}

/* Under a name of its own first, so that nobody can connect before mode and
 * group are set. */
static int
bind_file(const struct shm_address *a, const struct shm_policy *policy, int fd)
{
	struct sockaddr_un tmp = { .sun_family = AF_UNIX };
	int n = snprintf(tmp.sun_path, sizeof(tmp.sun_path), "%s.%d",
			 a->sun.sun_path, getpid());
	int rc = 0;

	if (n < 0 || (size_t)n >= sizeof(tmp.sun_path))
		return -ENAMETOOLONG;
	/* Left by one who had our number and was killed here. What is not a
	 * socket is not ours, and bind() says so. */
	if (is_socket(tmp.sun_path) == 1)
		unlink(tmp.sun_path);
	if (bind(fd, (struct sockaddr *)&tmp, sizeof(tmp)) != 0)
		return -errno;
	if (chmod(tmp.sun_path, policy->access_mode & 0777) != 0 ||
	    (policy->gid >= 0 &&
	     chown(tmp.sun_path, (uid_t)-1, (gid_t)policy->gid) != 0) ||
	    listen(fd, BACKLOG) != 0 ||
	    rename(tmp.sun_path, a->sun.sun_path) != 0) {
		rc = -errno;
		unlink(tmp.sun_path);
	}
	return rc;
}

static int
listen_file(const struct shm_address *a, const struct shm_policy *policy,
	    int fd)
{
	int rc, lock = lock_directory(a);

	if (lock < 0)
		return lock;
	/* To connect to any other file answers like a dead listener does. */
	rc = is_socket(a->sun.sun_path);
	if (rc == 1 && someone_listens(a))
		rc = -EADDRINUSE;
	if (rc >= 0)
		rc = bind_file(a, policy, fd);
	close(lock);
	return rc;
}

int
weir_shm_listen(const struct shm_address *address,
		const struct shm_policy *policy)
{
	int rc, fd = socket_open();

	if (fd < 0)
		return weir_fail(fd,
				 "shm:%s: no socket: %s; raise the limit "
				 "of open files",
				 address->name, strerror(-fd));
	if (address->file)
		rc = listen_file(address, policy, fd);
	else if (bind(fd, (const struct sockaddr *)&address->sun,
		      address->len) != 0 ||
		 listen(fd, BACKLOG) != 0)
		rc = -errno;
	else
		rc = 0;
	if (rc == 0)
		return fd;
	close(fd);
	if (rc == -EADDRINUSE)
		return weir_fail(rc,
				 "shm:%s: someone listens there already; use "
				 "another name or stop the other listener",
				 address->name);
	if (rc == -EEXIST)
		return weir_fail(rc,
				 "shm:%s: '%s' is not a socket; choose another "
				 "path=",
				 address->name, address->sun.sun_path);
	return weir_fail(rc, "shm:%s: cannot listen: %s; choose another path=",
			 address->name, strerror(-rc));
}

void
weir_shm_unlisten(const struct shm_address *address, int fd)
{
	int lock;

	if (!address->file) {
		close(fd);
		return;
	}
	lock = lock_directory(address);
	close(fd);
	/* Dead now, unless another one has taken the path over. */
	if (lock >= 0 && is_socket(address->sun.sun_path) == 1 &&
	    !someone_listens(address))
		unlink(address->sun.sun_path);
	if (lock >= 0)
		close(lock);
}

/* ---- dialling and admission -------------------------------------------------- */

static int
peer_uid(int sock, int64_t *uid)
{
	struct ucred creds;
	socklen_t len = sizeof(creds);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &creds, &len) != 0)
		return -errno;
	*uid = creds.uid;
	return 0;
}

/* Anyone may bind an abstract name: believe the one who was meant, or root.
 * A file belongs to who bound it. Nobody in particular is only whom we meant if
 * we said so: then it is anyone without an id here. */
static int
listener_check(const struct shm_address *a, int sock)
{
	struct stat st;
	int64_t uid = -1;
	int rc = peer_uid(sock, &uid);

	if (rc != 0)
		return rc;
	if (uid == a->uid && a->uid_asked)
		return 0;
	if (!weir_shm_user_known(uid))
		return -EACCES;
	if (uid == a->uid || uid == 0)
		return 0;
	if (a->file && stat(a->sun.sun_path, &st) == 0 && st.st_uid == uid)
		return 0;
	return -EACCES;
}

int
weir_shm_dial(const struct shm_address *address)
{
	int rc, fd = socket_open();

	if (fd < 0)
		return fd;
	if (connect(fd, (const struct sockaddr *)&address->sun, address->len) !=
	    0)
		rc = errno == ENOENT ? -ECONNREFUSED : -errno;
	else
		rc = listener_check(address, fd);
	if (rc == 0)
		return fd;
	close(fd);
	return rc;
}

static bool
in_group(int sock, const struct ucred *creds, gid_t gid)
{
	gid_t groups[256];
	socklen_t len = sizeof(groups);

	if (!weir_shm_group_known(gid))
		return false;
	if (creds->gid == gid)
		return true;
	if (getsockopt(sock, SOL_SOCKET, SO_PEERGROUPS, groups, &len) != 0)
		return false;
	for (size_t i = 0; i < len / sizeof(groups[0]); i++)
		if (groups[i] == gid)
			return true;
	return false;
}

int
weir_shm_admit(int sock, const struct shm_policy *policy, uint32_t *uid)
{
	struct ucred creds;
	socklen_t len = sizeof(creds);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &creds, &len) != 0)
		return -EACCES;
	*uid = creds.uid;
	if ((creds.uid == geteuid() || creds.uid == 0) &&
	    weir_shm_user_known(creds.uid))
		return 0;
	/* To connect is to write, as with a file's permission bits. */
	if ((policy->access_mode & 0002) != 0)
		return 0;
	if ((policy->access_mode & 0020) != 0 && policy->gid >= 0 &&
	    in_group(sock, &creds, (gid_t)policy->gid))
		return 0;
	return -EACCES;
}
