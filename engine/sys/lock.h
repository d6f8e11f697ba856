// A mutex for set-up and administration. Never taken on a decision path.
#ifndef HOLDFAST_SYS_LOCK_H
#define HOLDFAST_SYS_LOCK_H

#include <pthread.h>

struct lock {
    pthread_mutex_t mutex;
};

static inline void lock_init(struct lock *l)
{
    pthread_mutex_init(&l->mutex, NULL);
}
static inline void lock_fini(struct lock *l)
{
    pthread_mutex_destroy(&l->mutex);
}
static inline void lock_acquire(struct lock *l)
{
    pthread_mutex_lock(&l->mutex);
}
static inline void lock_release(struct lock *l)
{
    pthread_mutex_unlock(&l->mutex);
}

#endif
