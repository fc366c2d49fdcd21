/* Vertices of marching cubes: one on each edge of the lattice that is crossed. */

#ifndef PROTOME_VERTICES_H
#define PROTOME_VERTICES_H

#include "compose.h"

typedef struct {
    const pm_lattice *lattice;
    const pm_scan *scan;
    const pm_hair *hair;
    const pm_hair_scan *hair_scan;
    const uint64_t *bits;      /* of the union */
    const pm_face *faces;      /* of the head */
    uint32_t (*firsts)[3];     /* by word: number of its first vertex along each axis */
    uint32_t *rows;            /* from which edges are crossed, in order */
    size_t row_count;
    size_t next[3];            /* words from a word to the one of the next node along y and z */
    pm_mesh *mesh;
} pm_cubes;

/* The nodes of a word, by bit, from which the edge along ``axis`` is crossed. */
static inline uint64_t pm_crossed(const pm_cubes *c, size_t word, int axis) {
    return c->bits[word] ^ (axis ? c->bits[word + c->next[axis]] : shifted(c->bits + word));
}

/* Places the vertices on the head's triangles and in the hair's field, whichever is farther out. */
void pm_place_vertices(const pm_cubes *c);

#endif
