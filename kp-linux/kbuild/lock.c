// SPDX-License-Identifier: MIT OR Apache-2.0
/* Mutexes and spin locks. With lockdep, those that are made at one place in the source are one class of its own. */
#include <linux/interrupt.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include "kp.h"

struct kp_lock {
	union {
		struct mutex mutex;
		spinlock_t bh;
		raw_spinlock_t irq;
#ifdef CONFIG_LOCKDEP
		struct lockdep_map order;
#endif
	};
};

#ifdef CONFIG_LOCKDEP

/* Locks of one kind that are made at one place in the source: one class. The kernel's macros would make one of all of them. */
struct kp_lock_class {
	struct list_head all;
	const void *place;
	u32 kind;
	struct lock_class_key key;
	char name[];
};

static LIST_HEAD(lock_classes);
static DEFINE_MUTEX(lock_classes_lock);

static struct kp_lock_class *kp_class_find(u32 kind, const void *place)
{
	struct kp_lock_class *class;

	list_for_each_entry(class, &lock_classes, all)
		if (class->place == place && class->kind == kind)
			return class;
	return NULL;
}

static struct kp_lock_class *kp_class_of(u32 kind, const void *place, const char *file, size_t file_len, u32 line)
{
	size_t len = file_len + sizeof(":4294967295");
	struct kp_lock_class *class;

	mutex_lock(&lock_classes_lock);
	class = kp_class_find(kind, place);
	if (!class) {
		class = kzalloc(struct_size(class, name, len), GFP_KERNEL_ACCOUNT);
		if (class) {
			class->place = place;
			class->kind = kind;
			snprintf(class->name, len, "%.*s:%u", (int)file_len, file, line);
			lockdep_register_key(&class->key);
			list_add(&class->all, &lock_classes);
		}
	}
	mutex_unlock(&lock_classes_lock);
	return class;
}

/* False: no memory. */
static bool kp_set_class(struct kp_lock *lock, u32 kind, const void *place, const char *file, size_t file_len, u32 line)
{
	struct kp_lock_class *class = kp_class_of(kind, place, file, file_len, line);

	if (!class)
		return false;
	switch (kind) {
	case KP_LOCK_MUTEX:
		lockdep_set_class_and_name(&lock->mutex, &class->key, class->name);
		break;
	case KP_LOCK_BH:
		lockdep_set_class_and_name(&lock->bh, &class->key, class->name);
		break;
	case KP_LOCK_IRQ:
		lockdep_set_class_and_name(&lock->irq, &class->key, class->name);
		break;
	default:
		lockdep_init_map(&lock->order, class->name, &class->key, 0);
	}
	return true;
}

void kp_locks_end(void)
{
	struct kp_lock_class *class, *after;

	list_for_each_entry_safe(class, after, &lock_classes, all) {
		lockdep_unregister_key(&class->key);
		kfree(class);
	}
}

#else

static bool kp_set_class(struct kp_lock *lock, u32 kind, const void *place, const char *file, size_t file_len, u32 line)
{
	return true;
}

#endif

void *kp_c_lock_new(u32 kind, const void *place, const char *file, size_t file_len, u32 line)
{
	static char no_lock;
	struct kp_lock *lock;

	if (kind == KP_LOCK_ORDER && !IS_ENABLED(CONFIG_LOCKDEP))
		return &no_lock;
	lock = kmalloc(sizeof(*lock), GFP_KERNEL_ACCOUNT);
	if (!lock)
		return NULL;
	switch (kind) {
	case KP_LOCK_MUTEX:
		mutex_init(&lock->mutex);
		break;
	case KP_LOCK_BH:
		spin_lock_init(&lock->bh);
		break;
	case KP_LOCK_IRQ:
		raw_spin_lock_init(&lock->irq);
		break;
	}
	if (!kp_set_class(lock, kind, place, file, file_len, line)) {
		kfree(lock);
		return NULL;
	}
	atomic_inc(&kp_live.locks);
	return lock;
}

void kp_c_lock_free(void *lock, u32 kind)
{
	if (kind == KP_LOCK_ORDER && !IS_ENABLED(CONFIG_LOCKDEP))
		return;
	atomic_dec(&kp_live.locks);
	kp_free_anywhere(lock);
}

#ifdef KP_CALLS_kp_c_mutex_lock
void kp_c_mutex_lock(void *lock)
{
	mutex_lock(&((struct kp_lock *)lock)->mutex);
}

void kp_c_mutex_unlock(void *lock)
{
	mutex_unlock(&((struct kp_lock *)lock)->mutex);
}
#endif

#ifdef KP_CALLS_kp_c_bh_lock
/* A tasklet holds softirqs off already. */
void kp_c_bh_lock(void *lock) __acquires(&((struct kp_lock *)lock)->bh)
{
	if (in_serving_softirq())
		spin_lock(&((struct kp_lock *)lock)->bh);
	else
		spin_lock_bh(&((struct kp_lock *)lock)->bh);
}

void kp_c_bh_unlock(void *lock) __releases(&((struct kp_lock *)lock)->bh)
{
	if (in_serving_softirq())
		spin_unlock(&((struct kp_lock *)lock)->bh);
	else
		spin_unlock_bh(&((struct kp_lock *)lock)->bh);
}
#endif

#ifdef KP_CALLS_kp_c_irq_lock
unsigned long kp_c_irq_lock(void *lock) __acquires(&((struct kp_lock *)lock)->irq)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&((struct kp_lock *)lock)->irq, flags);
	return flags;
}

void kp_c_irq_unlock(void *lock, unsigned long flags) __releases(&((struct kp_lock *)lock)->irq)
{
	raw_spin_unlock_irqrestore(&((struct kp_lock *)lock)->irq, flags);
}
#endif

/* A robust mutex of the Rust side: its sleepers are in a wait queue, so lockdep does not know it for a lock by itself. */
void kp_c_order_enter(void *lock)
{
#ifdef CONFIG_LOCKDEP
	lock_map_acquire(&((struct kp_lock *)lock)->order);
#endif
}

void kp_c_order_leave(void *lock)
{
#ifdef CONFIG_LOCKDEP
	lock_map_release(&((struct kp_lock *)lock)->order);
#endif
}
