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
 * INIT_DELAYED_WORK() declares a lock class for each place it is used at: one
 * for all jobs of all kinds. But a job of one kind may wait for one of another,
 * so here each function is a class. To lockdep a key is an address that is part
 * of a module; it does not look at what is there.
 */
__rust_helper void
rust_helper_krdma_init_delayed_work(struct delayed_work *work, work_func_t func)
{
	struct lock_class_key __maybe_unused *key = (void *)func;

	__INIT_WORK_KEY(&work->work, func, 0, key);
	timer_setup(&work->timer, delayed_work_timer_fn, TIMER_IRQSAFE);
}
