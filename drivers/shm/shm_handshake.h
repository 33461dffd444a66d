/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_SHM_HANDSHAKE_H
#define WEIR_SHM_HANDSHAKE_H

/*
 * Handshake: how two processes find each other and swap descriptors.
 *
 *     connector                             listener
 *     HELLO + 3 descriptors      -->        checks, maps, makes its own
 *     checks, maps; up           <--        OFFER + 3 descriptors; up
 *                                or <--     REFUSE with the reason
 *
 * One message each way over an AF_UNIX SEQPACKET socket, which then only
 * serves to notice that the other process is gone. The three descriptors are
 * the segment, and the doors of the bells of send half and receive half.
 *
 * By default the name is an abstract one made of our user id, the value of
 * WEIR_RUNTIME_DIR and the link's name: it vanishes with its owner, so not
 * even SIGKILL leaves anything behind. Both sides check the other's user id,
 * so that squatting the name gains nobody more than a refused connection.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "weir_driver.h"

#define SHM_HELLO_MAGIC UINT64_C(0x6f6c6c65682d7773)

enum shm_hello_type {
	SHM_HELLO = 1,
	SHM_OFFER = 2,
	SHM_REFUSE = 3,
};

/* Fixed size, reserved bytes are zero. */
struct shm_hello {
	uint64_t magic;
	uint32_t version; /* of the layout */
	uint32_t type;    /* enum shm_hello_type */
	uint64_t segment_size;
	uint64_t epoch;
	int32_t reason; /* REFUSE: negative errno */
	uint32_t mode;  /* enum weir_mode */
	uint64_t reserved[3];
};

_Static_assert(sizeof(struct shm_hello) == 64, "docs/shm-layout.md");

/* The descriptors of a message, in this order. */
enum shm_fd {
	SHM_FD_SEGMENT,
	SHM_FD_TX_BELL,
	SHM_FD_RX_BELL,
	SHM_FDS,
};

struct shm_creds {
	int64_t pid; /* 0: in another pid namespace */
	int64_t uid;
	int64_t gid;
};

/* Where a link meets. */
struct shm_address {
	struct sockaddr_un sun;
	socklen_t len;
	bool file;       /* a path in a file system */
	int fd;          /* handed over by the application, or -1 */
	int64_t uid;     /* who may listen there besides root */
	bool uid_asked;  /* he was named in the endpoint */
	bool trust_none; /* what the peer sends is copied first: shm_trust.c */
	char name[64];   /* printable */
};

/* Who may connect. */
struct shm_policy {
	uint32_t access_mode;
	int64_t gid; /* -1: none */
};

/* @return 0; -EINVAL; errors of weir_runtime_dir() (weir_fail). */
int weir_shm_address(const struct weir_endpoint *ep,
		     struct shm_address *address);

/* Bind and listen; replaces the file of a dead listener.
 * @return socket; -EADDRINUSE; -EEXIST some other file; -EACCES, ...
 * (weir_fail). */
int weir_shm_listen(const struct shm_address *address,
		    const struct shm_policy *policy);

/* Remove the file of our listening socket, if it is still ours. */
void weir_shm_unlisten(const struct shm_address *address, int fd);

/* @return connected socket; -ECONNREFUSED, -EAGAIN nobody there yet; -EACCES
 *         there is, but not who we look for; other errors. */
int weir_shm_dial(const struct shm_address *address);

/* @param uid of the peer, if it is let in.
 * @return 0; -EACCES. */
int weir_shm_admit(int sock, const struct shm_policy *policy, uint32_t *uid);

/* ---- shm_user.c ---- */

/* Does an id that the kernel told us stand for one user, or group, only? Not if it
 * may as well be anyone who has no id in our user namespace. */
bool weir_shm_user_known(int64_t uid);
bool weir_shm_group_known(int64_t gid);

/* The three descriptors go along unless fds is NULL.
 * @return 0; negative errno. */
int weir_shm_send(int sock, const struct shm_hello *hello, const int *fds);

/* Can this process tell anybody who it is? Not without a user and a group id in
 * its user namespace: the kernel refuses its hellos.
 * @return 0; -EACCES (weir_fail). */
int weir_shm_have_identity(const char *name);

/* Sends a REFUSE and closes. */
void weir_shm_refuse(int sock, int reason);

/* Receive one message and check its form. Descriptors that come with it are
 * in fds, or closed if there are more or fewer than three (REFUSE: than none).
 * @return 1; 0 nothing yet; -ECONNRESET hang-up; -EPROTO; -EMFILE ours are
 *         used up, and the message is lost (weir_fail). */
int weir_shm_receive(int sock, struct shm_hello *hello, int fds[SHM_FDS],
		     struct shm_creds *creds);

/* A descriptor that becomes readable when that process ends; -1 if there
 * cannot be one, and the socket has to do. */
int weir_shm_pidfd(int sock, int64_t pid);

/* @return true: the peer's process, or its end of the socket, is gone. */
bool weir_shm_hung_up(int sock, int pidfd);

void weir_shm_close_fds(int fds[SHM_FDS]);

#endif /* WEIR_SHM_HANDSHAKE_H */
