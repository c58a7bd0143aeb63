// SPDX-License-Identifier: GPL-2.0

#include <linux/netdevice.h>

__rust_helper const char *rust_helper_netdev_name(const struct net_device *dev)
{
	return netdev_name(dev);
}

__rust_helper struct net *rust_helper_dev_net(const struct net_device *dev)
{
	return dev_net(dev);
}

/* Not an inline of the header: Rust does not know the struct's layout. */
__rust_helper int rust_helper_netdev_ifindex(const struct net_device *dev)
{
	return READ_ONCE(dev->ifindex);
}
