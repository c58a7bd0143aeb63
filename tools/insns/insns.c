// SPDX-License-Identifier: GPL-2.0
/*
 * A plugin of QEMU that counts the instructions a guest executes between two marks.
 *
 * A program in the guest marks with a no-op whose displacement is BEGIN or END. Between the two
 * every instruction of the machine is counted, whatever executes it: programs, the kernel,
 * interrupts. Each END writes a file, PREFIX.000 first. A line of it is a block of code: the
 * address of its first instruction, the number of its instructions, how often it was executed, and
 * 1 if it begins with a repeated string instruction. QEMU executes such an instruction once per
 * repetition, as a block of its own but for the first; a processor does not.
 *
 * Counts are exact, and the same in each run, on a machine with one processor and -icount.
 */
#include "qemu-plugin.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 4;

/* Blocks that can be told apart. What comes after that many counts as block 0. */
#define BLOCKS 0x100000u
#define BUCKETS 0x400000u

#define MARK "\x0f\x1f\x80"
#define END 0x52445300u
#define BEGIN 0x52445301u

struct block {
	uint64_t address;
	uint32_t insns;
	uint32_t is_string;
};

static struct block blocks[BLOCKS];
static uint32_t known = 1;
static uint32_t buckets[BUCKETS];
static struct qemu_plugin_scoreboard *counts;
static const char *prefix;
static int files, counting;

static uint32_t block_of(uint64_t address, uint32_t insns, int is_string)
{
	uint32_t at = (address * 0x9e3779b97f4a7c15u + insns) >> 42;

	for (; buckets[at]; at = (at + 1) % BUCKETS) {
		struct block *block = &blocks[buckets[at]];

		if (block->address == address && block->insns == insns)
			return buckets[at];
	}
	if (known == BLOCKS)
		return 0;
	blocks[known] = (struct block){ address, insns, is_string };
	return buckets[at] = known++;
}

static void write_counts(const uint64_t *count)
{
	char name[4096];
	FILE *file;

	snprintf(name, sizeof(name), "%s.%03d", prefix, files++);
	file = fopen(name, "w");
	if (!file) {
		perror(name);
		return;
	}
	for (uint32_t at = 0; at < known; at++)
		if (count[at])
			fprintf(file, "%lx %u %lu %u\n", blocks[at].address, blocks[at].insns,
				count[at], blocks[at].is_string);
	if (fclose(file))
		perror(name);
}

static void on_mark(unsigned int cpu, void *mark)
{
	uint64_t *count = qemu_plugin_scoreboard_find(counts, cpu);

	if ((uintptr_t)mark == BEGIN)
		memset(count, 0, BLOCKS * sizeof(*count));
	else if (counting)
		write_counts(count);
	counting = (uintptr_t)mark == BEGIN;
}

/* Whether these bytes are REP MOVS or REP STOS. */
static int is_string(const uint8_t *code, size_t len)
{
	size_t at = 1;

	if (len < 2 || code[0] != 0xf3)
		return 0;
	if ((code[at] & 0xf0) == 0x40)
		at++;
	if (at >= len)
		return 0;
	return (code[at] & 0xfe) == 0xa4 || (code[at] & 0xfe) == 0xaa;
}

static void on_block(uint64_t id, struct qemu_plugin_tb *tb)
{
	size_t insns = qemu_plugin_tb_n_insns(tb);
	uint8_t code[16];
	struct qemu_plugin_u64 entry = { counts, 0 };

	(void)id;
	for (size_t at = 0; at < insns; at++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, at);
		size_t len = qemu_plugin_insn_data(insn, code, sizeof(code));
		uint32_t mark;

		if (at == 0)
			entry.offset = sizeof(uint64_t) *
				block_of(qemu_plugin_tb_vaddr(tb), insns, is_string(code, len));
		if (len != 7 || memcmp(code, MARK, 3))
			continue;
		memcpy(&mark, code + 3, sizeof(mark));
		if (mark == BEGIN || mark == END)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_mark,
							       QEMU_PLUGIN_CB_NO_REGS,
							       (void *)(uintptr_t)mark);
	}
	qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, QEMU_PLUGIN_INLINE_ADD_U64, entry,
							  1);
}

EXPORT int qemu_plugin_install(uint64_t id, const struct qemu_info_t *info, int argc,
			       char **argv)
{
	(void)info;
	if (argc != 1 || strncmp(argv[0], "out=", 4)) {
		fprintf(stderr, "insns: out=PREFIX says where the counts go\n");
		return -1;
	}
	prefix = strdup(argv[0] + 4);
	counts = qemu_plugin_scoreboard_new(BLOCKS * sizeof(uint64_t));
	if (!prefix || !counts)
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_block);
	return 0;
}
