/* SPDX-License-Identifier: BSD-3-Clause */
/* hello -l ENDPOINT waits for a greeting, hello ENDPOINT sends one. */
#include <stdio.h>
#include <string.h>
#include <weir.h>

int
main(int argc, char **argv)
{
	bool listen = argc == 3 && strcmp(argv[1], "-l") == 0;
	const char *endpoint = argc > 1 ? argv[argc - 1] : "shm:hello";
	struct weir_listener *listener = NULL;
	struct weir_port *port = NULL;
	struct weir_link *link = NULL;
	struct weir_msg msg;
	struct weir_tx *tx;
	struct weir_rx *rx;
	int rc = weir_port_open(endpoint, NULL, &port);

	if (rc == 0 && listen)
		rc = weir_listener_open(port, endpoint, NULL, &listener);
	if (rc == 0 && listen)
		rc = weir_link_accept_wait(listener, WEIR_FOREVER, &link);
	if (rc == 0 && !listen)
		rc = weir_link_connect(port, endpoint, NULL, &link);
	if (rc < 0)
		return fprintf(stderr, "hello: %s\n", weir_last_error()), 1;

	weir_link_split(link, &tx, &rx);
	if (!listen)
		weir_tx_send(tx, "hello, weir", 11);
	weir_tx_close(tx); /* the other side receives WEIR_EOF */
	while ((rc = weir_rx_recv_wait(rx, WEIR_FOREVER, &msg)) == 1) {
		printf("%.*s\n", (int)msg.len, (const char *)msg.data);
		weir_msg_release(&msg);
	}
	if (rc != WEIR_EOF)
		fprintf(stderr, "hello: %s\n", weir_strerror(rc));

	weir_tx_destroy(tx);
	weir_rx_destroy(rx);
	weir_link_destroy(link);
	weir_listener_close(listener);
	weir_port_close(port);
	return rc == WEIR_EOF ? 0 : 1;
}
