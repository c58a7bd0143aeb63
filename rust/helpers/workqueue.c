// SPDX-License-Identifier: GPL-2.0

#include <linux/workqueue.h>

/* A macro with a format string in the header. */
__rust_helper struct workqueue_struct *
rust_helper_krdma_alloc_workqueue(const char *name, unsigned int flags)
{
	return alloc_workqueue("%s", flags, 0, name);
}

/* The part of INIT_DELAYED_WORK() that is not INIT_WORK(). */
__rust_helper void
rust_helper_krdma_setup_delayed_work_timer(struct delayed_work *work)
{
	timer_setup(&work->timer, delayed_work_timer_fn, TIMER_IRQSAFE);
}
