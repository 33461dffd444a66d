/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A program outside of weir's tree, in C++17: the headers compile there
 * without a warning, and a link can live in objects that clean up.
 */
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <weir.h>
#include <weir_driver.h>
#include <weir_stats.h>

namespace
{

constexpr std::uint64_t second_ns = 1000000000;

void
must(bool good, const char *what)
{
	if (!good)
		throw std::runtime_error(std::string(what) + ": " +
					 weir_last_error());
}

template <typename T, void (*destroy)(T *)> struct Deleter {
	void operator()(T *object) const
	{
		destroy(object);
	}
};

using Link = std::unique_ptr<weir_link, Deleter<weir_link, weir_link_destroy>>;
using Tx = std::unique_ptr<weir_tx, Deleter<weir_tx, weir_tx_destroy>>;
using Rx = std::unique_ptr<weir_rx, Deleter<weir_rx, weir_rx_destroy>>;
using Listener = std::unique_ptr<weir_listener,
				 Deleter<weir_listener, weir_listener_close>>;

void
talk(weir_port *port)
{
	weir_listener *raw_listener = nullptr;
	weir_link *raw_link = nullptr;

	must(weir_listener_open(port, "mem:cpp", nullptr, &raw_listener) == 0,
	     "listen");
	Listener listener(raw_listener);
	must(weir_link_connect(port, "mem:cpp", nullptr, &raw_link) == 0,
	     "connect");
	Link here(raw_link);
	must(weir_link_accept_wait(listener.get(),
				   weir_now_ns() + 5 * second_ns,
				   &raw_link) == 1,
	     "accept");
	Link there(raw_link);

	weir_tx *raw_tx = nullptr;
	weir_rx *raw_rx = nullptr;
	must(weir_link_split(here.get(), &raw_tx, nullptr) == 0, "split");
	Tx tx(raw_tx);
	must(weir_link_split(there.get(), nullptr, &raw_rx) == 0, "split");
	Rx rx(raw_rx);

	const std::string text = "from C++";
	must(weir_tx_send(tx.get(), text.data(),
			  static_cast<std::uint32_t>(text.size())) == 0,
	     "send");
	weir_tx_flush(tx.get());
	must(weir_tx_close(tx.get()) == 0, "close");

	weir_msg msg;
	must(weir_rx_recv_wait(rx.get(), weir_now_ns() + 5 * second_ns, &msg) ==
		     1,
	     "recv");
	must(std::string(static_cast<const char *>(msg.data), msg.len) == text,
	     "text");
	weir_msg_release(&msg);
	must(weir_rx_recv_wait(rx.get(), weir_now_ns() + 5 * second_ns, &msg) ==
		     WEIR_EOF,
	     "end of stream");
}

} // namespace

int
main()
{
	try {
		weir_port *port = nullptr;

		must(weir_port_open("mem:cpp", nullptr, &port) == 0, "port");
		talk(port);
		must(weir_port_close(port) == 0, "port close");
	} catch (const std::exception &failure) {
		std::fprintf(stderr, "%s\n", failure.what());
		return 1;
	}
	std::puts("C++: one message and its end over mem");
	return 0;
}
