/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages of the handshake, descriptors and credentials that travel with
 * them, and the watch for a peer that is gone. */

#include "shm_handshake.h"

#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shm_bell.h"
#include "shm_layout.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif

/* What we offer the kernel for descriptors of a message: one more than is
 * right, so that a surplus shows; beyond that the kernel says CTRUNC. It says
 * so too when our table of descriptors is full, and then fewer have come. */
#define FDS_LOOK (SHM_FDS + 1)

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int) * FDS_LOOK) +
		   CMSG_SPACE(sizeof(struct ucred))];
};

void
weir_shm_close_fds(int fds[SHM_FDS])
{
	for (int i = 0; i < SHM_FDS; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

/* ---- send ------------------------------------------------------------------- */

static void
put_cmsg(struct cmsghdr *c, int type, const void *data, size_t size)
{
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(c), data, size);
}

int
weir_shm_send(int sock, const struct shm_hello *hello, const int *fds)
{
	struct iovec iov = { .iov_base = (void *)hello,
			     .iov_len = sizeof(*hello) };
	/* Ours, told explicitly: SO_PEERCRED of a handed-over socketpair
	 * names whoever made it. The kernel checks them. */
	struct ucred creds = { .pid = getpid(),
			       .uid = geteuid(),
			       .gid = getegid() };
	union control control = { .bytes = { 0 } };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = CMSG_SPACE(sizeof(creds)) };
	struct cmsghdr *c;
	ssize_t n;

	if (fds != NULL)
		msg.msg_controllen += CMSG_SPACE(sizeof(int) * SHM_FDS);
	c = CMSG_FIRSTHDR(&msg);
	put_cmsg(c, SCM_CREDENTIALS, &creds, sizeof(creds));
	if (fds != NULL)
		put_cmsg(CMSG_NXTHDR(&msg, c), SCM_RIGHTS, fds,
			 sizeof(int) * SHM_FDS);
	do
		n = sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* Asked of the kernel by a hello to ourselves: an id that looks like nobody's
 * may be one. Without descriptors for that it is not known, and others say so. */
int
weir_shm_have_identity(const char *name)
{
	const struct shm_hello hello = { .magic = SHM_HELLO_MAGIC };
	int ends[2], rc;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
		return 0;
	rc = weir_shm_send(ends[0], &hello, NULL);
	close(ends[0]);
	close(ends[1]);
	if (rc != -EINVAL && rc != -EPERM)
		return 0;
	return weir_fail(-EACCES,
			 "shm:%s: this process has no user or group id in its "
			 "user namespace, and no peer would know who it is; "
			 "write /proc/PID/uid_map and gid_map",
			 name);
}

void
weir_shm_refuse(int sock, int reason)
{
	struct shm_hello hello = { .magic = SHM_HELLO_MAGIC,
				   .version = SHM_VERSION,
				   .type = SHM_REFUSE,
				   .reason = reason };
	char unread;

	/* Closing a socket with something unread in it is a reset, and the
	 * peer would never see why. What is dropped here takes its
	 * descriptors along. */
	for (int i = 0; i < 4; i++)
		(void)!recv(sock, &unread, 1, MSG_DONTWAIT);
	(void)weir_shm_send(sock, &hello, NULL);
	close(sock);
}

/* ---- receive ---------------------------------------------------------------- */

struct surplus {
	int fds[FDS_LOOK];
	unsigned int count;
	bool creds;
	bool other; /* something that we did not ask for */
};

static void
take_fds(const struct cmsghdr *c, size_t size, struct surplus *got)
{
	int fd;

	for (size_t at = 0; at + sizeof(fd) <= size; at += sizeof(fd)) {
		memcpy(&fd, CMSG_DATA(c) + at, sizeof(fd));
		if (got->count < FDS_LOOK)
			got->fds[got->count++] = fd;
		else
			close(fd);
	}
}

static void
take_cmsg(const struct cmsghdr *c, struct surplus *got, struct shm_creds *creds)
{
	size_t size = c->cmsg_len - CMSG_LEN(0);
	struct ucred ucred;

	if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS &&
	    size == sizeof(ucred)) {
		memcpy(&ucred, CMSG_DATA(c), sizeof(ucred));
		*creds = (struct shm_creds){ .pid = ucred.pid,
					     .uid = ucred.uid,
					     .gid = ucred.gid };
		got->creds = true;
		return;
	}
	/* Whoever shares a socket that was handed to us can ask the kernel for
	 * more in our name: its pidfd would be ours to close. */
	if (c->cmsg_level == SOL_SOCKET &&
	    (c->cmsg_type == SCM_RIGHTS || c->cmsg_type == SCM_PIDFD))
		take_fds(c, size, got);
	if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
		got->other = true;
}

static bool
hello_ok(const struct shm_hello *h)
{
	static const uint64_t zero[3];

	return h->magic == SHM_HELLO_MAGIC && h->version == SHM_VERSION &&
	       h->type >= SHM_HELLO && h->type <= SHM_REFUSE &&
	       memcmp(h->reserved, zero, sizeof(zero)) == 0 &&
	       (h->type == SHM_REFUSE) == (h->reason < 0) && h->reason <= 0 &&
	       h->reason >= -4095;
}

static bool
brought_something(const struct msghdr *msg)
{
	return msg->msg_controllen != 0 || (msg->msg_flags & MSG_CTRUNC) != 0;
}

/* All was as it should be, but our table is full. */
static int
no_room(void)
{
	return weir_fail(-EMFILE,
			 "shm: no descriptor is left for those of the peer; "
			 "raise the limit of open files (RLIMIT_NOFILE)");
}

static int
judge(ssize_t n, const struct msghdr *msg, const struct shm_hello *hello,
      const struct surplus *got)
{
	unsigned int want = hello->type == SHM_REFUSE ? 0 : SHM_FDS;

	/* A hang-up brings nothing along; an empty message at least the sender's
	 * credentials. */
	if (n == 0 && !brought_something(msg))
		return -ECONNRESET;
	if ((msg->msg_flags & MSG_TRUNC) != 0 || n != (ssize_t)sizeof(*hello) ||
	    !hello_ok(hello) || got->other || got->count > want || !got->creds)
		return -EPROTO;
	if ((msg->msg_flags & MSG_CTRUNC) != 0 && got->count < want)
		return no_room();
	if ((msg->msg_flags & MSG_CTRUNC) != 0 || got->count != want)
		return -EPROTO;
	if (want != 0 && (!weir_shm_bell_ok(got->fds[SHM_FD_TX_BELL]) ||
			  !weir_shm_bell_ok(got->fds[SHM_FD_RX_BELL]) ||
			  weir_shm_bell_same(got->fds[SHM_FD_TX_BELL],
					     got->fds[SHM_FD_RX_BELL])))
		return -EPROTO;
	return 1;
}

int
weir_shm_receive(int sock, struct shm_hello *hello, int fds[SHM_FDS],
		 struct shm_creds *creds)
{
	struct iovec iov = { .iov_base = hello, .iov_len = sizeof(*hello) };
	union control control;
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	struct surplus got = { .count = 0 };
	int rc, on = 1;
	ssize_t n;

	memset(hello, 0, sizeof(*hello));
	for (int i = 0; i < SHM_FDS; i++)
		fds[i] = -1;
	(void)setsockopt(sock, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n == 0 && !brought_something(&msg)) {
		/* Linux looks for a message first and for the hang-up then: both
		 * may come in between. Seen once in some 5,000 short links.
		 * After a hang-up nothing more comes, so this is the last word. */
		msg.msg_controllen = sizeof(control.bytes);
		n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	}
	if (n < 0) {
		if (errno == EAGAIN || errno == EINTR)
			return 0;
		return errno == ECONNRESET ? -ECONNRESET : -EPROTO;
	}
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL;
	     c = CMSG_NXTHDR(&msg, c))
		take_cmsg(c, &got, creds);
	rc = judge(n, &msg, hello, &got);
	for (unsigned int i = 0; i < got.count; i++) {
		if (rc == 1)
			fds[i] = got.fds[i];
		else
			close(got.fds[i]);
	}
	return rc;
}

/* ---- the watch for a peer that is gone -------------------------------------- */

static bool
peer_made_it(int sock, int64_t pid)
{
	struct ucred creds;
	socklen_t len = sizeof(creds);

	return getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &creds, &len) == 0 &&
	       creds.pid == pid;
}

int
weir_shm_pidfd(int sock, int64_t pid)
{
	int fd = -1;
	socklen_t len = sizeof(fd);

	if (pid <= 0 || pid == getpid())
		return -1;
	/* Linux 6.5: exact, whatever became of the number since. */
	if (peer_made_it(sock, pid) &&
	    getsockopt(sock, SOL_SOCKET, SO_PEERPIDFD, &fd, &len) == 0 &&
	    fd >= 0)
		return fd;
	fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
	if (fd < 0)
		return -1;
	/* The number may have passed on to another process by now, but only
	 * if its owner is gone, and then the socket says so. */
	if (weir_shm_hung_up(sock, -1)) {
		close(fd);
		return -1;
	}
	return fd;
}

bool
weir_shm_hung_up(int sock, int pidfd)
{
	struct pollfd fds[2] = {
		{ .fd = sock, .events = POLLRDHUP },
		{ .fd = pidfd, .events = POLLIN },
	};

	return poll(fds, 2, 0) > 0;
}
