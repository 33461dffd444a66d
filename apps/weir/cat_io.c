/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stdin and stdout belong to others as well (a shell, the other side of a
 * pipe), so their O_NONBLOCK flag is not ours to set. A pipe is opened once
 * more through /proc, which gives a description of our own; a socket has
 * MSG_DONTWAIT; for the rest, poll answers before each call.
 */

#include "cat.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bytes that a pipe of our own should hold, so that calls are few. */
#define PIPE_SIZE (1 << 20)

/* What poll's POLLOUT promises of a pipe. */
#define WRITE_SURE 4096

static bool
reopen_pipe(struct cat_file *file, bool writing)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", file->fd);
	fd = open(path,
		  (writing ? O_WRONLY : O_RDONLY) | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return false; /* another user's pipe, or no /proc */
	(void)fcntl(fd, F_SETPIPE_SZ, PIPE_SIZE);
	/* The number stays, so that closing it later tells the reader. */
	dup3(fd, file->fd, O_CLOEXEC);
	close(fd);
	return true;
}

void
weir_cat_file_open(struct cat_file *file, const char *name, int fd,
		   bool writing)
{
	struct stat st;
	int n;

	*file = (struct cat_file){ .name = name,
				   .fd = fd,
				   .kind = CAT_FILE_POLLED };
	if (fstat(fd, &st) != 0)
		return;
	if (S_ISREG(st.st_mode))
		file->kind = CAT_FILE_REGULAR;
	else if (S_ISCHR(st.st_mode) && writing && !isatty(fd))
		file->kind = CAT_FILE_REGULAR; /* /dev/null and its like */
	else if (S_ISSOCK(st.st_mode))
		file->kind = CAT_FILE_SOCKET;
	else if (S_ISFIFO(st.st_mode) && reopen_pipe(file, writing))
		file->kind = CAT_FILE_NONBLOCK;
	file->fionread = !writing && !S_ISREG(st.st_mode) &&
			 ioctl(fd, FIONREAD, &n) == 0;
}

/* POLLED descriptors: may we call without being held up? */
static bool
poll_ready(struct cat_file *file, short events)
{
	struct pollfd pfd = { .fd = file->fd, .events = events };

	if (file->kind != CAT_FILE_POLLED)
		return true;
	if (!file->ready)
		file->ready = poll(&pfd, 1, 0) > 0;
	return file->ready;
}

ssize_t
weir_cat_read(struct cat_file *file, void *data, size_t len)
{
	ssize_t n;

	if (!poll_ready(file, POLLIN))
		return -EAGAIN;
	file->ready = false;
	if (file->kind == CAT_FILE_SOCKET)
		n = recv(file->fd, data, len, MSG_DONTWAIT);
	else
		n = read(file->fd, data, len);
	if (n >= 0)
		return n;
	return errno == EINTR ? -EAGAIN : -errno;
}

/* Shorten the list to what a write after POLLOUT cannot be held up by. */
static int
trim_iov(struct iovec *iov, int count)
{
	size_t sum = 0;

	for (int i = 0; i < count; i++) {
		if (sum + iov[i].iov_len >= WRITE_SURE) {
			iov[i].iov_len = WRITE_SURE - sum;
			return i + 1;
		}
		sum += iov[i].iov_len;
	}
	return count;
}

ssize_t
weir_cat_writev(struct cat_file *file, struct iovec *iov, int count)
{
	ssize_t n;

	if (!poll_ready(file, POLLOUT))
		return -EAGAIN;
	file->ready = false;
	if (file->kind == CAT_FILE_SOCKET) {
		struct msghdr msg = { .msg_iov = iov,
				      .msg_iovlen = (size_t)count };

		n = sendmsg(file->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	} else {
		if (file->kind == CAT_FILE_POLLED)
			count = trim_iov(iov, count);
		n = writev(file->fd, iov, count);
	}
	if (n >= 0)
		return n;
	return errno == EINTR ? -EAGAIN : -errno;
}

static ssize_t
regular_available(struct cat_file *file, size_t limit)
{
	off_t at = lseek(file->fd, 0, SEEK_CUR);
	struct stat st;

	if (at < 0 || fstat(file->fd, &st) != 0)
		return -EOPNOTSUPP;
	/* The end, or a file of /proc that has no size: read tells. */
	if (st.st_size <= at)
		return -EOPNOTSUPP;
	if ((uintmax_t)(st.st_size - at) < limit)
		return (ssize_t)(st.st_size - at);
	return (ssize_t)limit;
}

ssize_t
weir_cat_available(struct cat_file *file, size_t limit)
{
	struct pollfd pfd = { .fd = file->fd, .events = POLLIN };
	int n = 0;

	if (file->kind == CAT_FILE_REGULAR)
		return regular_available(file, limit);
	if (!file->fionread || ioctl(file->fd, FIONREAD, &n) != 0)
		return -EOPNOTSUPP;
	if (n > 0)
		return (size_t)n < limit ? n : (ssize_t)limit;
	/* Nothing there: not yet, or the end, which only read can tell. */
	return poll(&pfd, 1, 0) > 0 ? -EOPNOTSUPP : -EAGAIN;
}
