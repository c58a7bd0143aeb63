// SPDX-License-Identifier: GPL-2.0

#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/workqueue.h>

/* A macro with a format string in the header. */
__rust_helper struct workqueue_struct *
rust_helper_krdma_alloc_workqueue(const char *name, unsigned int flags)
{
	return alloc_workqueue("%s", flags, 0, name);
}

/*
 * Whether the caller may sleep, as far as the kernel can tell. Where it does not
 * count preemption, only interrupts and softirqs can be told from the rest.
 */
__rust_helper bool rust_helper_krdma_may_sleep(void)
{
	if (IS_ENABLED(CONFIG_PREEMPT_COUNT))
		return preemptible() && !rcu_preempt_depth();
	return !in_interrupt() && !irqs_disabled();
}

/*
 * A macro that declares a lock class for each place it is used at: so all jobs
 * of one context have one class.
 */
__rust_helper void
rust_helper_krdma_init_delayed_work(struct delayed_work *work, work_func_t func,
				    bool in_softirq)
{
	if (in_softirq)
		INIT_DELAYED_WORK(work, func);
	else
		INIT_DELAYED_WORK(work, func);
}
