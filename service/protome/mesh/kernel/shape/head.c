/* Put the posed head on the lattice: normals of its vertices, its crossings of the lattice's lines and,
 * from those along x, the nodes inside.
 */

#include "head.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "crossings.h"

static void find_normals(const pm_head *head, pm_point *points) {
    for (size_t v = 0; v < head->vertex_count; v++) {
        const float *place = head->vertices + 3 * v;
        points[v] = (pm_point){.place = {place[0], place[1], place[2]}};
    }
    for (size_t k = 0; k < head->triangle_count; k++) {
        const int32_t *corners = head->faces[k].corners;
        const pm_four start = points[corners[0]].place;
        const pm_four normal = cross(points[corners[1]].place - start, points[corners[2]].place - start);
        for (int i = 0; i < 3; i++) points[corners[i]].normal += normal;
    }
    for (size_t v = 0; v < head->vertex_count; v++) {
        const float square = dot3(points[v].normal, points[v].normal);
        points[v].normal *= square > 0 ? 1 / sqrtf(square) : 0;
    }
}

static void set_bits(uint64_t *row, size_t from, size_t to) {
    for (size_t i = from; i < to;) {
        const size_t end = (i / LANES + 1) * LANES < to ? (i / LANES + 1) * LANES : to;
        row[i / LANES] |= (end - i == LANES ? UINT64_MAX : (((uint64_t)1 << (end - i)) - 1))
                          << i % LANES;
        i = end;
    }
}

/* Set the bits of the nodes whose winding number is positive, from the hits along x. */
static pm_status fill(const pm_lattice *lattice, pm_scan *scan) {
    const size_t rows = lattice->size[1] * lattice->size[2], count = scan->count[0];
    const pm_hit *hits = scan->hits[0];
    long work = 0;
    /* Lists of the hits of each row in order, as numbers from 1. */
    uint32_t *firsts = calloc(rows + count + 1, sizeof *firsts), *next = firsts + rows;
    if (!firsts) return PM_NO_MEMORY;
    for (size_t h = 1; h <= count && work <= MOST_WORK; h++) {
        uint32_t *list = firsts + hits[h - 1].node / lattice->stride;
        for (; *list && hits[*list - 1].node < hits[h - 1].node; work++) list = next + *list;
        next[h] = *list;
        *list = (uint32_t)h;
    }
    for (size_t row = 0; row < rows && work <= MOST_WORK; row++) {
        long winding = 0;
        size_t entered = 0;
        for (uint32_t h = firsts[row]; h; h = next[h]) {
            const long before = winding;
            const size_t first = hits[h - 1].node % lattice->stride + 1;
            winding += hits[h - 1].triangle < 0 ? 1 : -1;
            if (before <= 0 && winding > 0) entered = first;
            if (before > 0 && winding <= 0)
                set_bits(scan->bits + row * lattice->words, entered, first);
        }
    }
    free(firsts);
    return work > MOST_WORK ? PM_BAD_SHAPE : PM_OK;
}

pm_status pm_scan_head(const pm_head *head, const pm_lattice *lattice, pm_scan *scan) {
    memset(scan, 0, sizeof *scan);
    scan->bits = calloc(pm_words_of(lattice), sizeof *scan->bits);
    scan->points = malloc((head->vertex_count + 1) * sizeof *scan->points);
    pm_status status = PM_NO_MEMORY;
    if (scan->bits && scan->points) {
        find_normals(head, scan->points);
        status = pm_find_hits(head, lattice, scan);
        if (status == PM_OK) status = fill(lattice, scan);
    }
    if (status != PM_OK) pm_free_scan(scan);
    return status;
}

void pm_free_scan(pm_scan *scan) {
    for (int a = 0; a < 3; a++) free(scan->hits[a]);
    free(scan->bits);
    free(scan->points);
    memset(scan, 0, sizeof *scan);
}
