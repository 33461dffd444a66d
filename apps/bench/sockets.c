/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Round trips and rates of the kernel's own TCP and UDP, for the comparison in
 * the report of "make bench". One address, two processes:
 *
 *     weir-bench-sockets tcp|udp serve ADDRESS PORT CPU
 *     weir-bench-sockets tcp|udp lat|bw ADDRESS PORT CPU SIZE SECONDS
 *
 * Both sides ask the kernel again and again instead of sleeping, as weir does:
 * that is the best that sockets can do without a busy-polling device. The
 * client begins by saying what it wants; then
 *
 *     lat    SIZE bytes there and back, one in flight
 *     bw     SIZE bytes one way for SECONDS, counted by the server, which
 *            answers with count and time. UDP loses what does not fit: only
 *            what has arrived counts.
 *
 * Prints one line of JSON: {"rtt_ns": {...}} or {"msgs_per_s": ...}.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SIZE_MAX_BYTES (1u << 20)
#define SAMPLES_MAX    (1u << 20)
#define QUIET_NS       UINT64_C(1000000000) /* UDP: nothing more will come */
#define ANSWER_NS      UINT64_C(100000000)  /* UDP: lost, ask again */
#define WARM_UP_PART   10u
#define SOCKET_BYTES   (4 << 20)
#define STREAM_CHUNK   65536u

struct request {
	uint32_t one_way;
	uint32_t size;
};

struct count {
	uint64_t messages;
	uint64_t ns;
};

struct end {
	int fd;
	bool udp;
	uint32_t size;
	uint8_t *buffer;
};

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static _Noreturn void
die(const char *what)
{
	fprintf(stderr, "weir-bench-sockets: %s: %s\n", what, strerror(errno));
	exit(1);
}

static bool
again(ssize_t got)
{
	return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK ||
			   errno == EINTR || errno == ENOBUFS);
}

/* ---- one message --------------------------------------------------------------- */

static void
put(const struct end *end, const void *from, size_t size)
{
	const uint8_t *at = from;

	for (size_t left = size; left > 0;) {
		ssize_t got =
			send(end->fd, at, left, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (again(got))
			continue;
		if (got < 0)
			die("send");
		at += got;
		left -= (size_t)got;
	}
}

/* @return bytes: size; 0 the peer has closed, or no datagram within wait_ns
 * (0: for ever). */
static size_t
take(const struct end *end, void *to, size_t size, uint64_t wait_ns)
{
	uint64_t until = wait_ns != 0 ? now_ns() + wait_ns : UINT64_MAX;
	size_t have = 0;

	while (have < size) {
		ssize_t got = recv(end->fd, (uint8_t *)to + have, size - have,
				   MSG_DONTWAIT);

		if (again(got)) {
			if (wait_ns != 0 && now_ns() > until)
				return 0;
			continue;
		}
		if (got < 0)
			die("recv");
		if (got == 0)
			return 0;
		have += (size_t)got;
		if (end->udp)
			break;
	}
	return have;
}

/* ---- server -------------------------------------------------------------------- */

static void
serve_echo(const struct end *end)
{
	/* A UDP client does not say goodbye. */
	uint64_t wait = end->udp ? QUIET_NS : 0;

	while (take(end, end->buffer, end->size, wait) == end->size)
		put(end, end->buffer, end->size);
}

static void
serve_count(const struct end *end)
{
	struct count count = { 0, 0 };
	uint64_t start = 0, last = 0, bytes = 0;

	for (;;) {
		size_t want = end->udp ? end->size : STREAM_CHUNK;
		ssize_t got = recv(end->fd, end->buffer, want, MSG_DONTWAIT);
		uint64_t now;

		if (again(got)) {
			if (end->udp && start != 0 &&
			    now_ns() - last > QUIET_NS / 2)
				break;
			continue;
		}
		if (got <= 0)
			break;
		now = now_ns();
		start = start != 0 ? start : now;
		last = now;
		bytes += (uint64_t)got;
		count.messages++;
	}
	if (!end->udp)
		count.messages = bytes / end->size;
	count.ns = last - start;
	put(end, &count, sizeof(count));
}

/* ---- client -------------------------------------------------------------------- */

static int
by_size(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return (left > right) - (left < right);
}

static void
print_times(uint32_t *samples, uint32_t count)
{
	qsort(samples, count, sizeof(samples[0]), by_size);
	printf("{\"rtt_ns\": {\"samples\": %u, \"p50\": %u, \"p99\": %u, "
	       "\"max\": %u}}\n",
	       count, samples[count / 2], samples[(size_t)count * 99 / 100],
	       samples[count - 1]);
}

static void
ask_round_trips(const struct end *end, double seconds)
{
	uint32_t *samples = calloc(SAMPLES_MAX, sizeof(*samples));
	uint64_t length = (uint64_t)(seconds * 1e9), begin = now_ns();
	uint64_t now = begin, warm = begin + length / WARM_UP_PART;
	uint32_t count = 0;

	if (samples == NULL)
		die("memory");
	while ((now < begin + length || count == 0) && count < SAMPLES_MAX) {
		uint64_t before = now;

		put(end, end->buffer, end->size);
		if (take(end, end->buffer, end->size, ANSWER_NS) != end->size) {
			/* A lost datagram; a slow machine: begin anew. */
			now = now_ns();
			if (now > begin + 10 * length + QUIET_NS)
				break;
			continue;
		}
		now = now_ns();
		if (before >= warm)
			samples[count++] = now - before < UINT32_MAX
						   ? (uint32_t)(now - before)
						   : UINT32_MAX;
	}
	if (count == 0)
		die("no answer");
	print_times(samples, count);
	free(samples);
}

static void
send_one_way(const struct end *end, double seconds)
{
	uint64_t until = now_ns() + (uint64_t)(seconds * 1e9);
	struct count count = { 0, 0 };

	while (now_ns() < until)
		for (int i = 0; i < 16; i++)
			put(end, end->buffer, end->size);
	if (!end->udp)
		shutdown(end->fd, SHUT_WR);
	if (take(end, &count, sizeof(count), 10 * QUIET_NS) != sizeof(count) ||
	    count.ns == 0)
		die("no count");
	printf("{\"msgs_per_s\": %.1f, \"bytes_per_s\": %.1f}\n",
	       (double)count.messages * 1e9 / (double)count.ns,
	       (double)count.messages * end->size * 1e9 / (double)count.ns);
}

/* ---- set-up -------------------------------------------------------------------- */

static void
pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		die("CPU");
}

static void
tune(int fd, bool udp)
{
	int one = 1, bytes = SOCKET_BYTES;

	if (!udp)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one,
				 sizeof(one));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

/* Whoever starts the client waits for this line. */
static void
say_listening(void)
{
	puts("listening");
	fflush(stdout);
}

/* One client: its first message is the request. */
static void
serve(struct end *end, const struct sockaddr_in *here)
{
	struct sockaddr_in peer;
	socklen_t len = sizeof(peer);
	struct request request;
	int one = 1;

	(void)setsockopt(end->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(end->fd, (const struct sockaddr *)here, sizeof(*here)) != 0)
		die("bind");
	if (!end->udp) {
		int listener = end->fd;

		if (listen(listener, 1) != 0)
			die("listen");
		say_listening();
		end->fd = accept(listener, NULL, NULL);
		close(listener);
		tune(end->fd, false);
		if (end->fd < 0 ||
		    take(end, &request, sizeof(request), 0) != sizeof(request))
			die("request");
	} else {
		say_listening();
		if (recvfrom(end->fd, &request, sizeof(request), 0,
			     (struct sockaddr *)&peer,
			     &len) != sizeof(request) ||
		    connect(end->fd, (struct sockaddr *)&peer, len) != 0)
			die("request");
	}
	if (request.size == 0 || request.size > SIZE_MAX_BYTES) {
		errno = EINVAL;
		die("request");
	}
	put(end, &request, sizeof(request));
	end->size = request.size;
	if (request.one_way != 0)
		serve_count(end);
	else
		serve_echo(end);
}

static void
ask(struct end *end, const struct sockaddr_in *there, bool one_way,
    double seconds)
{
	struct request request = { one_way, end->size }, answer;
	uint64_t until = now_ns() + 5000000000u;

	while (connect(end->fd, (const struct sockaddr *)there,
		       sizeof(*there)) != 0) {
		if (now_ns() > until)
			die("connect");
		usleep(10000);
	}
	put(end, &request, sizeof(request));
	if (take(end, &answer, sizeof(answer), 5000000000u) != sizeof(answer))
		die("the server does not answer");
	if (one_way)
		send_one_way(end, seconds);
	else
		ask_round_trips(end, seconds);
}

int
main(int argc, char **argv)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	struct end end = { .fd = -1 };
	bool client = argc == 8;

	if ((argc != 6 && !client) ||
	    inet_pton(AF_INET, argv[3], &address.sin_addr) != 1) {
		fputs("usage: weir-bench-sockets tcp|udp serve ADDRESS PORT "
		      "CPU\n"
		      "       weir-bench-sockets tcp|udp lat|bw ADDRESS PORT "
		      "CPU "
		      "SIZE SECONDS\n",
		      stderr);
		return 2;
	}
	address.sin_port = htons((uint16_t)atoi(argv[4]));
	end.udp = strcmp(argv[1], "udp") == 0;
	end.buffer = calloc(1, SIZE_MAX_BYTES);
	end.fd = socket(AF_INET,
			(end.udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
	if (end.buffer == NULL || end.fd < 0)
		die("socket");
	pin(atoi(argv[5]));
	tune(end.fd, end.udp);
	if (client) {
		end.size = (uint32_t)atoi(argv[6]);
		ask(&end, &address, strcmp(argv[2], "bw") == 0, atof(argv[7]));
	} else {
		serve(&end, &address);
	}
	close(end.fd);
	free(end.buffer);
	return 0;
}
