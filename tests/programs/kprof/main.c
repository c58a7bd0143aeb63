// SPDX-License-Identifier: GPL-2.0
/*
 * Says where processors spend their time while a command runs.
 *
 *   kprof LABEL COMMAND... [-- LABEL COMMAND...]...
 *
 * Each processor is looked at 5000 times a second, by a timer: that works
 * without a performance counter, hence under emulation. A sample counts for the
 * function that runs, and for its owner: the innermost module on the stack,
 * "kernel" if there is none, "program" for user space. While interrupts are
 * off there is no sample; it comes as they are switched on, so a function that
 * does only that counts for its caller.
 *
 * Prints on stderr, for each pair, a line of JSON: {"profile": LABEL, "owner":
 * "rdma_rxe", "function": "rxe_requester", "samples": 12}. The names of all functions
 * are read first, which takes seconds under emulation: hence several commands.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PERIOD_NS 200000
#define PAGES 128
#define MAX_CPUS 64
#define MAX_PAIRS 4096

struct symbol {
	unsigned long at;
	char name[128], module[24];
};

struct pair {
	const char *owner, *function;
	unsigned long samples;
};

static struct symbol *symbols;
static size_t symbol_count;
static struct pair pairs[MAX_PAIRS];
static size_t pair_count;
static struct perf_event_mmap_page *rings[MAX_CPUS];
static unsigned long lost;

static int by_address(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

/* A line of /proc/kallsyms: address, type, name, and the module in brackets. */
static int parse(char *line, struct symbol *symbol)
{
	char *end, *name, *module;

	symbol->at = strtoul(line, &end, 16);
	if (!symbol->at || end[0] != ' ' || !strchr("tTwW", end[1]))
		return 0;
	name = end + 3;
	name[strcspn(name, "\n")] = 0;
	module = strchr(name, '\t');
	if (module) {
		*module = 0;
		module += 2;
		module[strcspn(module, "]")] = 0;
	}
	snprintf(symbol->name, sizeof(symbol->name), "%.127s", name);
	snprintf(symbol->module, sizeof(symbol->module), "%.23s", module ? module : "");
	return 1;
}

static int read_symbols(void)
{
	FILE *file = fopen("/proc/kallsyms", "r");
	size_t room = 0;
	char line[512];

	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file)) {
		if (symbol_count == room) {
			room = room ? 2 * room : 65536;
			symbols = realloc(symbols, room * sizeof(*symbols));
			if (!symbols)
				return -1;
		}
		symbol_count += parse(line, &symbols[symbol_count]);
	}
	fclose(file);
	qsort(symbols, symbol_count, sizeof(*symbols), by_address);
	return symbol_count ? 0 : -1;
}

static const struct symbol *find(unsigned long at)
{
	size_t low = 0, high = symbol_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (symbols[middle].at <= at)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? &symbols[low - 1] : NULL;
}

static void count(const char *owner, const char *function)
{
	size_t i;

	for (i = 0; i < pair_count; i++)
		if (!strcmp(pairs[i].owner, owner) && !strcmp(pairs[i].function, function))
			break;
	if (i == MAX_PAIRS) {
		lost++;
		return;
	}
	if (i == pair_count) {
		pairs[pair_count].owner = owner;
		pairs[pair_count].function = function;
		pair_count++;
	}
	pairs[i].samples++;
}

/* Whether a function does little but to switch interrupts on. */
static int switches_on(const char *name)
{
	return strstr(name, "spin_unlock_irq") || strstr(name, "irq_enable") ||
	       strstr(name, "irq_restore") || strstr(name, "local_bh_enable");
}

static void sample(unsigned long n, const unsigned long *chain)
{
	const char *owner = NULL;
	const char *function = NULL;
	unsigned long i;

	for (i = 0; i < n; i++) {
		const struct symbol *symbol;

		if (chain[i] >= (unsigned long)PERF_CONTEXT_MAX) {
			if (chain[i] == (unsigned long)PERF_CONTEXT_USER && !function) {
				owner = "program";
				function = owner;
			}
			continue;
		}
		if (function && owner)
			break;
		symbol = find(chain[i]);
		if (!symbol)
			continue;
		if (!function && !switches_on(symbol->name))
			function = symbol->name;
		if (!owner && symbol->module[0])
			owner = symbol->module;
	}
	count(owner ? owner : "kernel", function ? function : "unknown");
}

static void drain(struct perf_event_mmap_page *ring)
{
	static unsigned long room[65536 / sizeof(unsigned long)];
	unsigned char *record = (unsigned char *)room;
	const size_t size = PAGES * 4096;
	const char *data = (const char *)ring + 4096;
	__u64 head = __atomic_load_n(&ring->data_head, __ATOMIC_ACQUIRE);
	__u64 tail = ring->data_tail;

	while (tail < head) {
		struct perf_event_header header;
		const unsigned long *words;
		size_t i;

		for (i = 0; i < sizeof(header); i++)
			((char *)&header)[i] = data[(tail + i) % size];
		for (i = 0; i < header.size; i++)
			record[i] = data[(tail + i) % size];
		words = (const unsigned long *)(record + sizeof(header));
		/* The address, then the number of callers and these. */
		if (header.type == PERF_RECORD_SAMPLE) {
			if (words[1])
				sample(words[1], words + 2);
			else
				sample(1, words);
		} else if (header.type == PERF_RECORD_LOST) {
			lost += words[1];
		}
		tail += header.size;
	}
	__atomic_store_n(&ring->data_tail, tail, __ATOMIC_RELEASE);
}

static int open_ring(int cpu)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = PERIOD_NS,
		.sample_type = PERF_SAMPLE_IP | PERF_SAMPLE_CALLCHAIN,
		.sample_max_stack = 32,
	};
	int fd = syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	void *ring;

	if (fd < 0)
		return -1;
	ring = mmap(NULL, (1 + PAGES) * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ring == MAP_FAILED)
		return -1;
	rings[cpu] = ring;
	return 0;
}

/* Runs a command, and says where the processors were meanwhile. */
static int look_at(const char *label, char **command, long cpus)
{
	int status = 0;
	long cpu;
	size_t i;
	pid_t pid;

	for (cpu = 0; cpu < cpus; cpu++)
		drain(rings[cpu]);
	pair_count = 0;
	lost = 0;
	memset(pairs, 0, sizeof(pairs));
	pid = fork();
	if (pid < 0)
		return 1;
	if (!pid) {
		execvp(command[0], command);
		_exit(127);
	}
	do {
		usleep(100000);
		for (cpu = 0; cpu < cpus; cpu++)
			drain(rings[cpu]);
	} while (!waitpid(pid, &status, WNOHANG));

	if (lost)
		fprintf(stderr, "kprof: %lu samples were lost\n", lost);
	for (i = 0; i < pair_count; i++)
		fprintf(stderr,
			"{\"profile\": \"%s\", \"owner\": \"%s\", \"function\": \"%s\", \"samples\": %lu}\n",
			label, pairs[i].owner, pairs[i].function, pairs[i].samples);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int argc, char **argv)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN), cpu;
	int first, end, failed = 0;

	if (argc < 3 || cpus < 1 || cpus > MAX_CPUS || read_symbols()) {
		fprintf(stderr, "usage: kprof LABEL COMMAND... [-- LABEL COMMAND...]...\n");
		return 2;
	}
	for (cpu = 0; cpu < cpus; cpu++)
		if (open_ring(cpu)) {
			fprintf(stderr, "kprof: perf_event_open: %s\n", strerror(errno));
			return 1;
		}
	for (first = 1; first + 1 < argc && !failed; first = end + 1) {
		for (end = first; end < argc && strcmp(argv[end], "--"); end++)
			;
		argv[end] = NULL;
		failed = look_at(argv[first], argv + first + 1, cpus);
	}
	return failed;
}
