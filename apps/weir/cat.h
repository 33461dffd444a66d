/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_CAT_H
#define WEIR_CAT_H

/*
 * weir cat: input -> link and link -> output at once, on one thread.
 *
 *     cmd_cat.c   options, set-up, the loop, the end
 *     cat_send.c  input -> link: framing, slots filled by read(2)
 *     cat_recv.c  link -> output: framing, messages emptied by writev(2)
 *     cat_io.c    files, pipes and terminals without ever blocking the loop
 *
 * Each direction is a pump. It does what it can without waiting, and when it
 * can do nothing, its wants say what to wait for.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "tool.h"
#include "weir_stats.h"

enum cat_frame {
	CAT_FRAME_LINE,   /* one line, one message */
	CAT_FRAME_LENGTH, /* 4 bytes little-endian, then the message */
	CAT_FRAME_FILE,   /* chunks of max-message; ends with the input */
};

/* What a pump waits for. */
enum cat_want {
	CAT_WANT_INPUT = 1u << 0,
	CAT_WANT_OUTPUT = 1u << 1,
	CAT_WANT_ROOM = 1u << 2,    /* a permit */
	CAT_WANT_MESSAGE = 1u << 3, /* a received message */
	CAT_WANT_TIME = 1u << 4,    /* --rate: next_ns */
};

/* ---- descriptors ----------------------------------------------------------- */

enum cat_file_kind {
	CAT_FILE_REGULAR,  /* never blocks, size known */
	CAT_FILE_NONBLOCK, /* pipe with a description of our own */
	CAT_FILE_SOCKET,   /* MSG_DONTWAIT */
	CAT_FILE_POLLED,   /* terminal and others: ask poll first */
};

struct cat_file {
	const char *name; /* for messages */
	int fd;
	enum cat_file_kind kind;
	bool ready; /* POLLED: poll said so */
	bool fionread;
};

/* Look at fd and make it safe to use in the loop. */
void weir_cat_file_open(struct cat_file *file, const char *name, int fd,
			bool writing);

/* @return bytes, 0 at the end, -EAGAIN, or -errno. */
ssize_t weir_cat_read(struct cat_file *file, void *data, size_t len);
ssize_t weir_cat_writev(struct cat_file *file, struct iovec *iov, int count);

/*
 * How many bytes can be read at once.
 *
 * @return 1..limit; 0 at the end; -EAGAIN nothing now; -EOPNOTSUPP unknown:
 *         read and see.
 */
ssize_t weir_cat_available(struct cat_file *file, size_t limit);

/* ---- input -> link ---------------------------------------------------------- */

struct cat_send {
	struct cat_file file;
	enum cat_frame frame;
	bool hex;
	bool done;      /* the direction is closed */
	uint32_t chunk; /* longest message of this link */
	char *buffer;
	size_t begin, end, size; /* unsent input is buffer[begin..end) */
	size_t scanned;          /* bytes after begin without a newline */
	bool input_ended;
	struct weir_permit permit;
	struct weir_slot slot;
	size_t filled;   /* bytes of the slot that are written */
	uint64_t line;   /* lines or records so far, for messages */
	uint64_t limit;  /* --count, 0: none */
	uint64_t gap_ns; /* --rate, 0: none */
	uint64_t next_ns;
	uint64_t messages, bytes;
	unsigned int wants;
	uint32_t want_len; /* CAT_WANT_ROOM: for a message this long */
	int error;         /* answer of the half, 0 while it is alive */
};

/*
 * Both pumps.
 *
 * @return how much was done; 0: wait for what wants says; negative: an exit
 *         code, as -(code) - 1, after one line on stderr.
 */
int weir_cat_send(struct cat_send *send, struct weir_tx *tx);

/* @return 0, or -ENOMEM. tx is up. */
int weir_cat_send_start(struct cat_send *send, struct weir_tx *tx);
void weir_cat_send_stop(struct cat_send *send);

/* ---- link -> output ---------------------------------------------------------- */

#define CAT_BURST 64

struct cat_recv {
	struct cat_file file;
	enum cat_frame frame;
	bool hex;
	bool discard; /* --send-only */
	bool done;    /* end of stream, and all of it is written */
	struct weir_msg msgs[CAT_BURST];
	uint8_t prefix[CAT_BURST][4];
	unsigned int head, count; /* msgs[head..count) are unwritten */
	size_t offset;            /* bytes of msgs[head]'s frame written */
	char *text;               /* --hex: msgs[head] in print */
	size_t text_len;
	uint64_t limit; /* --count, 0: none */
	uint64_t messages, bytes;
	unsigned int wants;
	int error; /* answer of the half, 0 while it is alive */
};

int weir_cat_recv(struct cat_recv *recv, struct weir_rx *rx);
void weir_cat_recv_stop(struct cat_recv *recv);

/* A pump's way to say: stop, the line is printed, exit with this code. */
static inline int
cat_stop(enum weir_exit code)
{
	return -(int)code - 1;
}

#endif /* WEIR_CAT_H */
