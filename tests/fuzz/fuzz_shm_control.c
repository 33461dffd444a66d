/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The other end of the control socket: messages of any length, content and
 * descriptors, to one who connects and to one who listens.
 *
 *     role, shortage | (how, length, fields changed, descriptors) ...
 *
 * The link comes up if the first message is right in everything, and never
 * otherwise; what follows it changes nothing. A shortage of descriptors is told
 * as such. Nothing stays open or mapped.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "shm_stage.h"
#include "weir.h"

#define FDS_MAX 8u
#define SEALS   (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

/* Descriptors of every kind. Of the last three each link has its own. */
enum prop {
	PROP_SEGMENT,
	PROP_DOOR,
	PROP_OTHER_DOOR,
	PROP_UNSEALED,
	PROP_NO_GROW_SEAL,
	PROP_SHORT,
	PROP_LONG,
	PROP_ZEROS,
	PROP_LIAR,
	PROP_PIPE_OUT,
	PROP_PIPE_IN,
	PROP_STREAM,
	PROP_SEQPACKET,
	PROP_UDP,
	PROP_DEVICE,
	PROP_FILE,
	PROP_DIRECTORY,
	PROP_EVENTFD,
	PROP_EPOLL,
	PROP_OWN_END,
	PROP_VICTIMS, /* three */
	PROPS = PROP_VICTIMS + SHM_FDS,
};

static int props[PROPS];
static struct shm_segment segment;
static struct shm_victim victim;

/* --- what can be sent ---------------------------------------------------- */

static int
a_memfd(const void *bytes, size_t len, size_t size, int seals)
{
	int fd = memfd_create("weir", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	FUZZ_CHECK(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	FUZZ_CHECK(len == 0 || pwrite(fd, bytes, len, 0) == (ssize_t)len);
	if (seals != 0)
		FUZZ_CHECK(fcntl(fd, F_ADD_SEALS, seals) == 0);
	return fd;
}

static int
an_end(int domain, int type)
{
	int ends[2] = { -1, -1 };

	if (domain == AF_INET)
		return socket(domain, type | SOCK_CLOEXEC, 0);
	FUZZ_CHECK(socketpair(domain, type | SOCK_CLOEXEC, 0, ends) == 0);
	return ends[0]; /* the other one stays, for good */
}

static void
make_memfds(void)
{
	const struct weir_link_config config = { .size = sizeof(config),
						 .msg_size_max = 300,
						 .tx_credits = 4 };
	struct shm_header lie;

	FUZZ_CHECK(weir_shm_segment_create(&config, WEIR_HUGEPAGES_NEVER,
					   &segment) == 0);
	lie = segment.header;
	lie.classes[1].offset = segment.size;
	props[PROP_SEGMENT] = segment.fd;
	props[PROP_UNSEALED] =
		a_memfd(segment.bytes, segment.size, segment.size, 0);
	props[PROP_NO_GROW_SEAL] = a_memfd(segment.bytes, segment.size,
					   segment.size, SEALS & ~F_SEAL_GROW);
	props[PROP_SHORT] = a_memfd(segment.bytes, 4096, 4096, SEALS);
	props[PROP_LONG] = a_memfd(segment.bytes, segment.size,
				   segment.size + 4096, SEALS);
	props[PROP_ZEROS] = a_memfd(NULL, 0, segment.size, SEALS);
	props[PROP_LIAR] = a_memfd(&lie, sizeof(lie), segment.size, SEALS);
}

static void
make_props(void)
{
	int ends[2];

	make_memfds();
	props[PROP_DOOR] = an_end(AF_UNIX, SOCK_DGRAM);
	props[PROP_OTHER_DOOR] = an_end(AF_UNIX, SOCK_DGRAM);
	FUZZ_CHECK(pipe2(ends, O_CLOEXEC) == 0);
	props[PROP_PIPE_OUT] = ends[0];
	props[PROP_PIPE_IN] = ends[1];
	props[PROP_STREAM] = an_end(AF_UNIX, SOCK_STREAM);
	props[PROP_SEQPACKET] = an_end(AF_UNIX, SOCK_SEQPACKET);
	props[PROP_UDP] = an_end(AF_INET, SOCK_DGRAM);
	props[PROP_DEVICE] = open("/dev/zero", O_RDWR | O_CLOEXEC);
	props[PROP_FILE] = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	props[PROP_DIRECTORY] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	props[PROP_EVENTFD] = eventfd(0, EFD_CLOEXEC);
	props[PROP_EPOLL] = epoll_create1(EPOLL_CLOEXEC);
	for (unsigned int i = 0; i < PROP_OWN_END; i++)
		FUZZ_CHECK(props[i] >= 0);
	(void)shm_stage_port();
}

/* --- one message ------------------------------------------------------------ */

struct letter {
	union {
		struct shm_hello hello;
		uint8_t bytes[96];
	};
	size_t len;
	int fds[FDS_MAX];
	unsigned int count;
	bool right; /* in everything */
};

static bool
fds_right(const struct letter *l)
{
	int a = props[PROP_DOOR], b = props[PROP_OTHER_DOOR];

	return l->count == SHM_FDS &&
	       l->fds[SHM_FD_SEGMENT] == props[PROP_SEGMENT] &&
	       ((l->fds[1] == a && l->fds[2] == b) ||
		(l->fds[1] == b && l->fds[2] == a));
}

/* From the right one, by a few changes. */
static void
letter_write(struct letter *l, struct fuzz_in *in)
{
	struct shm_hello right =
		shm_stage_hello(&segment, victim.listener != NULL);
	uint8_t how = fuzz_u8(in);

	memset(l, 0, sizeof(*l));
	l->hello = right;
	l->len = how & 1 ? fuzz_u8(in) % (sizeof(l->bytes) + 1) : sizeof(right);
	for (unsigned int i = how >> 1 & 3; i > 0; i--) {
		uint8_t at = fuzz_u8(in) % sizeof(right);

		l->bytes[at] = fuzz_u8(in);
	}
	if (how & 8) {
		l->hello.type = SHM_REFUSE;
		l->hello.reason = (int32_t)fuzz_near(in);
	}
	l->count = how & 16 ? fuzz_u8(in) % (FDS_MAX + 1) : SHM_FDS;
	for (unsigned int i = 0; i < l->count; i++)
		l->fds[i] = props[how & 32 ? fuzz_u8(in) % PROPS : i % PROPS];
	l->right = l->len == sizeof(right) && fds_right(l) &&
		   memcmp(&l->hello, &right, sizeof(right)) == 0;
}

/* @return false: the victim is not there any more. */
static bool
letter_post(const struct letter *l)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * FDS_MAX)];
	} control = { .bytes = { 0 } };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)l->bytes,
			     .iov_len = l->len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c = &control.align;
	int fds[FDS_MAX];
	unsigned int count = 0;

	for (unsigned int i = 0; i < l->count; i++)
		if (l->fds[i] >= 0) /* the victim has passed none */
			fds[count++] = l->fds[i];
	if (count != 0) {
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * count);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * count);
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * count);
	}
	return sendmsg(victim.sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

/* --- what the victim sends -------------------------------------------------- */

static void
props_return(void)
{
	for (unsigned int i = PROP_VICTIMS; i < PROPS; i++) {
		if (props[i] >= 0)
			close(props[i]);
		props[i] = -1;
	}
}

/* @return the type of its message; 0: there is none. */
static uint32_t
hear(void)
{
	struct shm_hello hello;
	struct shm_creds creds;
	int fds[SHM_FDS];
	int rc = weir_shm_receive(victim.sock, &hello, fds, &creds);

	/* A hang-up, before or after the victim has read what we sent. */
	FUZZ_CHECK(rc == 1 || rc == 0 || rc == -ECONNRESET);
	if (rc != 1)
		return 0;
	if (hello.type != SHM_REFUSE) {
		props_return();
		memcpy(&props[PROP_VICTIMS], fds, sizeof(fds));
	}
	return hello.type;
}

/* --- one input ----------------------------------------------------------------- */

static int
step(unsigned int left)
{
	int rc;

	if (left >= 64)
		return shm_victim_step(&victim);
	shm_stage_few_fds(left);
	rc = shm_victim_step(&victim);
	shm_stage_many_fds();
	return rc;
}

/* The first message decides. @return the link is up. */
static bool
first(struct fuzz_in *in, unsigned int left)
{
	struct letter l;
	uint32_t type;
	int rc;

	letter_write(&l, in);
	FUZZ_CHECK(letter_post(&l));
	rc = step(left);
	if (l.right && rc == -EMFILE)
		FUZZ_CHECK(left < 12);
	else
		FUZZ_CHECK((rc == 0) == l.right);
	FUZZ_CHECK(rc == 0 || rc == -EPROTO || rc == -ECONNRESET ||
		   rc == -EMFILE || rc == -EACCES || rc == -ECONNREFUSED);
	FUZZ_CHECK(rc != -EMFILE || left < 12);
	if (victim.listener != NULL) {
		type = hear();
		FUZZ_CHECK(type == (rc == 0 ? SHM_OFFER : SHM_REFUSE));
	}
	if (rc != 0)
		FUZZ_CHECK(shm_victim_step(&victim) == rc);
	return rc == 0;
}

/* Nobody reads that; it must not be taken for anything. */
static void
more(struct fuzz_in *in)
{
	struct weir_msg msg;
	struct letter l;

	while (fuzz_left(in) > 0) {
		letter_write(&l, in);
		(void)letter_post(&l);
		FUZZ_CHECK(shm_victim_step(&victim) == 0);
		FUZZ_CHECK(weir_rx_recv(victim.link->rx, &msg) == 0);
		(void)weir_tx_try_send(victim.link->tx, "hello", 5);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct weir_link_config config = { .size = sizeof(config),
							.msg_size_max = 300,
							.tx_credits = 4 };
	struct fuzz_in in = { data, data + size };
	uint8_t how = fuzz_u8(&in);

	if (props[PROP_DOOR] == 0)
		make_props();
	memset(&props[PROP_VICTIMS], 0xff, sizeof(int) * SHM_FDS);
	shm_stage_begin();
	shm_victim_open(&victim, (how & 1) != 0, "", &config);
	props[PROP_OWN_END] = victim.sock;
	if (victim.listener == NULL)
		FUZZ_CHECK(hear() == SHM_HELLO);
	if (first(&in, how & 2 ? how >> 2 : 64))
		more(&in);
	shm_victim_close(&victim);
	props_return();
	shm_stage_end();
	return 0;
}
