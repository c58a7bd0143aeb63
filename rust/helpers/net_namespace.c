// SPDX-License-Identifier: GPL-2.0

#include <linux/netdevice.h>
#include <linux/nsproxy.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <net/addrconf.h>
#include <net/net_namespace.h>
#include <net/route.h>

__rust_helper struct net *rust_helper_get_net(struct net *net)
{
	return get_net(net);
}

__rust_helper void rust_helper_put_net(struct net *net)
{
	put_net(net);
}

/* Not an inline of the header: a task that exits has left its namespaces. */
__rust_helper struct net *rust_helper_get_net_of_current(void)
{
	struct nsproxy *nsproxy = current->nsproxy;

	return nsproxy ? get_net(nsproxy->net_ns) : NULL;
}

/* Not an inline of the header: `addr` has four bytes in network order. */
__rust_helper bool rust_helper_krdma_net_has_v4(struct net *net, const u8 *addr)
{
	__be32 address;

	memcpy(&address, addr, sizeof(address));
	return inet_addr_type(net, address) == RTN_LOCAL;
}

/* Not an inline of the header: that of an interface only, if its number is not 0. */
__rust_helper bool rust_helper_krdma_net_has_v6(struct net *net, const u8 *addr, int scope)
{
#if IS_ENABLED(CONFIG_IPV6)
	struct net_device *dev = NULL;
	struct in6_addr address;
	bool found;

	memcpy(&address, addr, sizeof(address));
	rcu_read_lock();
	if (scope)
		dev = dev_get_by_index_rcu(net, scope);
	found = (dev || !scope) && ipv6_chk_addr(net, &address, dev, 0);
	rcu_read_unlock();
	return found;
#else
	return false;
#endif
}
