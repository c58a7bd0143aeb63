// SPDX-License-Identifier: GPL-2.0

#include <net/netns/generic.h>

__rust_helper void *rust_helper_net_generic(const struct net *net, unsigned int id)
{
	return net_generic(net, id);
}
