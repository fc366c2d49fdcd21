/* Run marching cubes with one bit a node, after Schroeder, Maynard and Geveci, "Flying Edges", LDAV
 * 2015: the vertices are counted first, those along x, y and z of each row of nodes one after the
 * other, so that a walk along a row of cells finds their numbers by counting on.
 */

#include "cubes.h"

#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "vertices.h"

/* Number the vertices and find the rows that have any. */
static void count_vertices(pm_cubes *c) {
    const pm_lattice *lattice = c->lattice;
    const size_t words = lattice->words, rows = lattice->size[1] * (lattice->size[2] - 1);
    uint32_t found = 0;
    for (size_t row = 0, begin = 0; row < rows; row++, begin += words) {
        uint64_t any = 0;
        for (size_t word = begin; word < begin + words; word++)
            for (int axis = 0; axis < 3; axis++) any |= pm_crossed(c, word, axis);
        if (!any) continue;
        c->rows[c->row_count++] = (uint32_t)row;
        for (int axis = 0; axis < 3; axis++) {
            for (size_t word = begin; word < begin + words; word++) {
                c->firsts[word][axis] = found;
                found += count_bits(pm_crossed(c, word, axis));
            }
        }
    }
    c->mesh->vertex_count = found;
}

/* ---- triangles */

static inline pm_four_ints numbers_of(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    return (pm_four_ints){(int32_t)a, (int32_t)b, (int32_t)c, (int32_t)d};
}

/* Add the triangles of the cells from the row of nodes that begins with word ``begin``. */
static void add_row(const pm_cubes *c, size_t begin) {
    const size_t words = c->lattice->words, right = begin + c->next[1], up = begin + c->next[2];
    const size_t first[4] = {begin, right, up, up + c->next[1]};
    /* Numbers of the next vertices on the edges of a cell; see mc_prepare. */
    const uint32_t(*n)[3] = c->firsts;
    pm_four_ints x = numbers_of(n[first[0]][0], n[first[1]][0], n[first[2]][0], n[first[3]][0]);
    pm_four_ints y = numbers_of(n[begin][1], n[begin][1], n[up][1], n[up][1]);
    pm_four_ints z = numbers_of(n[begin][2], n[begin][2], n[right][2], n[right][2]);
    uint32_t *out = c->mesh->triangles + 3 * c->mesh->triangle_count;
    for (size_t w = 0; w < words; w++) {
        uint64_t corner[8], any = 0, all = UINT64_MAX;
        for (int r = 0; r < 4; r++) {
            corner[2 * r] = c->bits[first[r] + w];
            corner[2 * r + 1] = shifted(c->bits + first[r] + w);
            any |= corner[2 * r] | corner[2 * r + 1];
            all &= corner[2 * r] & corner[2 * r + 1];
        }
        for (uint64_t m = any & ~all; m; m &= m - 1) {
            const int i = lowest_bit(m);
            uint32_t inside = 0;
            if (i < LANES - 1)
                for (int r = 0; r < 4; r++) inside |= (uint32_t)(corner[2 * r] >> i & 3) << 2 * r;
            else
                for (int k = 0; k < 8; k++) inside |= (uint32_t)(corner[k] >> i & 1) << k;
            const mc_case *entry = &mc_cases[inside];
            y += entry->along[1];
            z += entry->along[2];
            const pm_four_ints parts[3] = {x, y, z};
            uint32_t numbers[12];
            memcpy(numbers, parts, sizeof numbers);
            x += entry->along[0];
            y = (pm_four_ints){y[1], y[1], y[3], y[3]};
            z = (pm_four_ints){z[1], z[1], z[3], z[3]};
            /* Always as many: a loop of a known length is faster. */
            for (int k = 0; k < 12; k++) out[k] = numbers[entry->edges[k]];
            if (entry->count > 4)
                for (int k = 12; k < 15; k++) out[k] = numbers[entry->edges[k]];
            out += 3 * entry->count;
        }
    }
    c->mesh->triangle_count = (size_t)(out - c->mesh->triangles) / 3;
}

static int is_empty(const pm_cubes *c, size_t begin) {
    uint64_t any = 0;
    for (size_t word = begin; word < begin + c->lattice->words; word++)
        any |= c->bits[word] | c->bits[word + c->next[1]] | c->bits[word + c->next[2]] |
               c->bits[word + c->next[1] + c->next[2]];
    return !any;
}

static pm_status add_triangles(const pm_cubes *c) {
    const pm_lattice *lattice = c->lattice;
    const size_t words = lattice->words, rows = lattice->size[1] * (lattice->size[2] - 1) - 1;
    const size_t most = MOST_TRIANGLES * lattice->stride + MOST_TRIANGLES;
    /* A closed surface has twice as many triangles as vertices, but for a few. */
    size_t room = 0;
    const size_t wanted = 2 * c->mesh->vertex_count + most;
    for (size_t row = 0; row < rows; row++) {
        if (is_empty(c, row * words)) continue;
        if (c->mesh->triangle_count + most > room) {
            room = room ? room + room / 2 + most : wanted;
            uint32_t *moved = realloc(c->mesh->triangles, room * 3 * sizeof *moved);
            if (!moved) return PM_NO_MEMORY;
            c->mesh->triangles = moved;
        }
        add_row(c, row * words);
    }
    return PM_OK;
}

pm_status pm_extract(const pm_input *input, const pm_lattice *lattice, const pm_scan *scan,
                     const pm_hair *hair, const pm_hair_scan *hair_scan, pm_mesh *mesh) {
    const size_t plane = lattice->size[1] * lattice->words, words = lattice->size[2] * plane;
    uint64_t *both = NULL;
    const size_t rows = lattice->size[1] * lattice->size[2];
    pm_cubes c = {lattice, scan,
               hair,    hair_scan,
               scan->bits, input->head.faces,
               calloc(words, sizeof *c.firsts), malloc(rows * sizeof *c.rows), 0,
               {0, lattice->words, plane},
               mesh};
    if (hair_scan->bits) {
        both = malloc((words + 1) * sizeof *both);
        for (size_t w = 0; both && w <= words; w++) both[w] = scan->bits[w] | hair_scan->bits[w];
        c.bits = both;
    }
    pm_status status = PM_NO_MEMORY;
    if (c.firsts && c.rows && c.bits) {
        count_vertices(&c);
        const size_t n = mesh->vertex_count + 1;
        mesh->places = malloc(n * sizeof *mesh->places);
        mesh->normals = malloc(n * sizeof *mesh->normals);
        mesh->source = malloc(n * sizeof *mesh->source);
        mesh->weights = malloc(n * 2 * sizeof *mesh->weights);
        if (mesh->places && mesh->normals && mesh->source && mesh->weights) {
            memset(mesh->source, -1, n * sizeof *mesh->source);
            pm_place_vertices(&c);
            status = add_triangles(&c);
        }
    }
    free(both);
    free(c.firsts);
    free(c.rows);
    return status;
}
