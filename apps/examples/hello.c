/* SPDX-License-Identifier: BSD-3-Clause */
/* hello -l ENDPOINT and hello ENDPOINT greet each other. */
#include <stdio.h>
#include <weir.h>

int
main(int argc, char **argv)
{
	const char *endpoint = argv[argc - 1];
	struct weir_listener *listener = NULL;
	struct weir_link *link = NULL;
	struct weir_port *port;
	struct weir_msg msg;
	struct weir_tx *tx;
	struct weir_rx *rx;
	int rc = weir_port_open(endpoint, NULL, &port);

	if (rc == 0 && argc > 2) /* -l */
		rc = weir_listener_open(port, endpoint, NULL, &listener);
	else if (rc == 0)
		rc = weir_link_connect(port, endpoint, NULL, &link);
	if (rc == 0 && listener != NULL)
		rc = weir_link_accept_wait(listener, WEIR_FOREVER, &link);
	if (rc < 0)
		return fprintf(stderr, "hello: %s\n", weir_last_error()), 1;
	weir_link_split(link, &tx, &rx);
	weir_tx_send(tx, "hello, weir", 11);
	weir_tx_close(tx); /* the other side receives WEIR_EOF */
	while ((rc = weir_rx_recv_wait(rx, WEIR_FOREVER, &msg)) == 1) {
		printf("%.*s\n", (int)msg.len, (const char *)msg.data);
		weir_msg_release(&msg);
	}
	printf("%s\n", weir_strerror(rc));
	weir_tx_destroy(tx);
	weir_rx_destroy(rx);
	weir_link_destroy(link);
	weir_listener_close(listener);
	weir_port_close(port);
	return rc != WEIR_EOF;
}
