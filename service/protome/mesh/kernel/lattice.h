/* The lattice of nodes that a surface is extracted on. No Python in here.
 *
 * Node (i, j, k) of the lattice lies at ((origin + (i, j, k) + 1/2) * step) crop pixels, axes x, y,
 * z. Bit i of word w of a row of nodes is node 64 w + i of that row.
 */

#ifndef PROTOME_LATTICE_H
#define PROTOME_LATTICE_H

#include <stddef.h>
#include <stdint.h>

typedef enum { PM_OK, PM_NO_MEMORY, PM_BAD_SHAPE } pm_status;

enum { LANES = 64 }; /* nodes a word of bits */

typedef struct {
    int step;            /* crop pixels between nodes: 1, 2 or 4 */
    ptrdiff_t origin[3]; /* x, y, z */
    size_t size[3];      /* nodes along x, y, z; the outermost ones are outside of everything */
    size_t words;        /* of a row */
    size_t stride;       /* nodes a row has room for, 64 words */
} pm_lattice;

static inline size_t node_of(const pm_lattice *lattice, size_t i, size_t j, size_t k) {
    return (k * lattice->size[1] + j) * lattice->stride + i;
}

static inline int bit_at(const uint64_t *bits, size_t node) {
    return (int)(bits[node / LANES] >> node % LANES & 1);
}

static inline int lowest_bit(uint64_t word) {
#if defined(__GNUC__)
    return __builtin_ctzll(word);
#else
    int n = 0;
    while (!(word >> n & 1)) n++;
    return n;
#endif
}

/* The word whose bit i is the node after node i. */
static inline uint64_t shifted(const uint64_t *row, size_t w, size_t words) {
    return row[w] >> 1 | (w + 1 < words ? row[w + 1] << 63 : 0);
}

#endif
