//go:build !windows

#define _GNU_SOURCE
#include "pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#if defined(__x86_64__)
#define PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define PAUSE() __asm__ volatile("yield")
#else
#define PAUSE() ((void)0)
#endif

// Threads that wait look again this often before they sleep: some 20 µs, about
// what sleeping and waking costs. On a loaded machine, where whoever is waited
// for may not be running, more would take its time from it.
enum { looks = 600 };

// A place to wait at until its word changes.
struct gate {
	atomic_uint word;
	atomic_int sleepers;
	pthread_mutex_t lock;
	pthread_cond_t moved;
};
#define GATE {0, 0, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER}

static void gate_open(struct gate *g, unsigned word) {
	atomic_store(&g->word, word);
	if (atomic_load(&g->sleepers) == 0) return;
	pthread_mutex_lock(&g->lock);
	pthread_cond_broadcast(&g->moved);
	pthread_mutex_unlock(&g->lock);
}

// gate_wait returns the word once it is no longer what it was before.
static unsigned gate_wait(struct gate *g, unsigned before) {
	unsigned word;
	for (int i = 0; i < looks; i++) {
		if ((word = atomic_load(&g->word)) != before) return word;
		PAUSE();
	}
	pthread_mutex_lock(&g->lock);
	atomic_fetch_add(&g->sleepers, 1);
	while ((word = atomic_load(&g->word)) == before) pthread_cond_wait(&g->moved, &g->lock);
	atomic_fetch_sub(&g->sleepers, 1);
	pthread_mutex_unlock(&g->lock);
	return word;
}

static pthread_mutex_t running = PTHREAD_MUTEX_INITIALIZER; // one run at a time
static struct worker workers[pool_most];
static int started = 1; // workers that exist; 0 is whoever calls

// begin's word is the number of the run, times 256, and how many threads it
// takes: a thread that wakes late knows from one word whether it is meant.
static struct gate begin = GATE, meet = GATE;
static atomic_int arrived; // at the barrier
static void (*task)(struct worker *, void *);
static void *task_argument;

static void ready(struct worker *w, int index) {
	w->index = index;
	if (dnnl.set_threads) dnnl.set_threads(1);
	if (!w->stream) dnnl.stream_create(&w->stream, engine, dnnl_in_order);
}

void pool_barrier(struct worker *w) {
	if (w->count == 1) return;
	unsigned before = atomic_load(&meet.word);
	if (atomic_fetch_add(&arrived, 1) == w->count - 1) {
		atomic_store(&arrived, 0);
		gate_open(&meet, before + 1);
	} else {
		gate_wait(&meet, before);
	}
}

static void *serve(void *argument) {
	struct worker *w = argument;
	ready(w, w->index);
	for (unsigned seen = w->born;;) {
		seen = gate_wait(&begin, seen);
		if (w->index >= (int)(seen & 255)) continue;
		w->count = (int)(seen & 255);
		task(w, task_argument);
		pool_barrier(w);
	}
	return NULL;
}

const char *pool_run(int count, void (*work)(struct worker *, void *), void *argument) {
	pthread_mutex_lock(&running);
	ready(&workers[0], 0); // OpenMP counts threads for each thread by itself
	while (started < count) {
		struct worker *w = &workers[started];
		pthread_t thread;
		w->index = started;
		w->born = atomic_load(&begin.word);
		if (pthread_create(&thread, NULL, serve, w)) break;
		pthread_detach(thread);
		started++;
	}
	if (count > started) { // shares are made for all of them
		pthread_mutex_unlock(&running);
		return "no thread could be started";
	}
	workers[0].count = count;
	task = work;
	task_argument = argument;
	if (count > 1) gate_open(&begin, ((atomic_load(&begin.word) >> 8) + 1) << 8 | (unsigned)count);
	work(&workers[0], argument);
	pool_barrier(&workers[0]);
	pthread_mutex_unlock(&running);
	return NULL;
}

void *pool_scratch(struct worker *w, size_t size) {
	if (size > w->scratch_size) {
		free(w->scratch);
		w->scratch_size = 0;
		if (posix_memalign(&w->scratch, 64, size)) return w->scratch = NULL;
		w->scratch_size = size;
	}
	return w->scratch;
}
