/* Scan conversion of a closed triangle mesh along the lines of a lattice, in exact arithmetic.
 *
 * Vertices are rounded to 1/1024 crop pixel. Nodes count as moved by an infinitesimal amount along
 * x, a much smaller one along y and a still smaller one along z (Edelsbrunner and Muecke,
 * "Simulation of Simplicity", ACM TOG 1990), so that no line meets an edge or a vertex, and no node
 * lies on a triangle. All signs are computed exactly in 64-bit integers. So the lines along all
 * three axes agree on the winding number of each node, and an edge from a node inside to a node
 * outside has a hit.
 */

#include "head.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Steps of fixed-point coordinates in a crop pixel. A lattice is less than 512 px long: differences
 * of coordinates fit into 19 bits and a sign, normals into 40, their dot products into 61. */
#define FIXED 1024
/* Most candidates and comparisons; a head takes one or two million at FINE. */
#define MOST_WORK 40000000L

typedef struct {
    int32_t at[3];   /* relative to node (0, 0, 0) */
    int32_t next[3]; /* number of the first node that is not before it */
} vertex;

typedef struct {
    const vertex *corner[3];
    int64_t normal[3];
    int32_t index;
} triangle;

static int sign(int64_t value) { return (value > 0) - (value < 0); }

static int32_t quotient_up(int32_t value, int32_t by) {
    return value / by + (value % by > 0);
}

static void round_vertices(const pm_head *head, const pm_lattice *lattice, vertex *out) {
    for (size_t v = 0; v < head->vertex_count; v++) {
        for (int a = 0; a < 3; a++) {
            const double zero = ((double)lattice->origin[a] + 0.5) * lattice->step;
            out[v].at[a] = (int32_t)floor((head->vertices[3 * v + a] - zero) * FIXED + 0.5);
            out[v].next[a] = quotient_up(out[v].at[a], lattice->step * FIXED);
        }
    }
}

/* Which side of the line from p to q the point (u, v) lies on, twice the signed area. */
static int64_t area(const int32_t *p, const int32_t *q, int au, int av, int64_t u, int64_t v) {
    return (q[au] - p[au]) * (v - p[av]) - (q[av] - p[av]) * (u - p[au]);
}

/* The sign of ``area`` with (u, v) moved; ``v_first``: the move along v is the larger one. */
static int side(int64_t value, const int32_t *p, const int32_t *q, int au, int av, int v_first) {
    if (value) return sign(value);
    const int by_u = sign((int64_t)p[av] - q[av]), by_v = sign((int64_t)q[au] - p[au]);
    return v_first ? (by_v ? by_v : by_u) : (by_u ? by_u : by_v);
}

static pm_hit *new_hit(pm_scan *scan) {
    if (scan->count == scan->room) {
        const size_t larger = scan->room + scan->room / 2;
        pm_hit *moved = realloc(scan->hits, larger * sizeof *moved);
        if (!moved) return NULL;
        scan->hits = moved;
        scan->room = larger;
    }
    return scan->hits + scan->count++;
}

/* Number of the first node of a line that is beyond the triangle; ``*at`` gets the place of the hit
 * in nodes. The line's other coordinates give ``others``, their part of the plane's equation. */
static int32_t first_beyond(const triangle *t, int axis, int64_t others, int32_t spacing,
                            double *at) {
    const int64_t slope = t->normal[axis], start = t->corner[0]->at[axis];
    *at = ((double)start - (double)others / (double)slope) / spacing;
    const double nearest = floor(*at + 0.5);
    if (fabs(*at - nearest) > 1e-6) return (int32_t)ceil(*at);
    int over = sign(slope * ((int64_t)nearest * spacing - start) + others);
    for (int a = 0; !over; a++) over = sign(t->normal[a]);
    return (int32_t)nearest + (over != sign(slope));
}

/* Put a hit into the lists; ``work`` counts the comparisons. */
static void file_hit(pm_scan *scan, const pm_lattice *lattice, int axis, uint32_t hit,
                     long *work) {
    pm_hit *hits = scan->hits;
    const size_t row = hits[hit].node / lattice->stride;
    uint32_t *list = axis ? scan->planes[axis - 1] + row / lattice->size[1] : scan->rows + row;
    if (axis == 0) {
        for (; *list && hits[*list].node < hits[hit].node; ++*work) list = &hits[*list].next;
    }
    hits[hit].next = *list;
    *list = hit;
}

static pm_status scan_triangle(pm_scan *scan, const pm_lattice *lattice, const triangle *t,
                               int axis, long *work) {
    const int au = (axis + 1) % 3, av = (axis + 2) % 3;
    const int32_t spacing = lattice->step * FIXED;
    const size_t steps[3] = {1, lattice->stride, lattice->stride * lattice->size[1]};
    const int32_t *p[3];
    int32_t low[3], high[3];
    const int front = sign(t->normal[axis]);
    if (!front) return PM_OK;
    for (int i = 0; i < 3; i++) {
        const int a = i == 0 ? au : av;
        const int32_t x = t->corner[0]->next[a], y = t->corner[1]->next[a],
                      z = t->corner[2]->next[a];
        p[i] = t->corner[i]->at;
        low[i] = x < y ? (x < z ? x : z) : (y < z ? y : z);
        high[i] = x > y ? (x > z ? x : z) : (y > z ? y : z);
    }
    *work += (long)(high[0] - low[0]) * (high[1] - low[1]);
    if (*work > MOST_WORK) return PM_BAD_SHAPE;
    for (int32_t v = low[1]; v < high[1]; v++) {
        for (int32_t u = low[0]; u < high[0]; u++) {
            const int64_t pu = (int64_t)u * spacing, pv = (int64_t)v * spacing;
            int64_t areas[3];
            int within = 1;
            for (int i = 0; i < 3 && within; i++) {
                const int32_t *from = p[(i + 1) % 3], *to = p[(i + 2) % 3];
                areas[i] = area(from, to, au, av, pu, pv);
                within = side(areas[i], from, to, au, av, axis == 1) == front;
            }
            if (!within) continue;
            const int64_t others =
                t->normal[au] * (pu - p[0][au]) + t->normal[av] * (pv - p[0][av]);
            double at;
            const int32_t beyond = first_beyond(t, axis, others, spacing, &at);
            pm_hit *hit = new_hit(scan);
            if (!hit) return PM_NO_MEMORY;
            const double whole = (double)t->normal[axis];
            hit->node = (uint32_t)((size_t)(beyond - 1) * steps[axis] + (size_t)u * steps[au] +
                                   (size_t)v * steps[av]);
            hit->triangle = front > 0 ? t->index : ~t->index;
            hit->at = (float)(at - (beyond - 1));
            hit->weights[0] = (float)((double)areas[1] / whole);
            hit->weights[1] = (float)((double)areas[2] / whole);
            file_hit(scan, lattice, axis, (uint32_t)(scan->count - 1), work);
        }
    }
    return PM_OK;
}

static pm_status scan_triangles(const pm_head *head, const pm_lattice *lattice,
                                const vertex *vertices, pm_scan *scan) {
    long work = 0;
    pm_status status = PM_OK;
    for (size_t k = 0; k < head->triangle_count; k++) {
        triangle t = {.index = (int32_t)k};
        const int32_t *corners = head->triangles + 3 * k;
        for (int i = 0; i < 3; i++) t.corner[i] = vertices + corners[i];
        const int32_t *a = t.corner[0]->next, *b = t.corner[1]->next, *c = t.corner[2]->next;
        int crossed[3]; /* by planes of nodes across the axis */
        for (int i = 0; i < 3; i++) {
            const int j = (i + 1) % 3, l = (i + 2) % 3;
            const int64_t jb = t.corner[1]->at[j] - t.corner[0]->at[j];
            const int64_t jc = t.corner[2]->at[j] - t.corner[0]->at[j];
            const int64_t lb = t.corner[1]->at[l] - t.corner[0]->at[l];
            const int64_t lc = t.corner[2]->at[l] - t.corner[0]->at[l];
            t.normal[i] = jb * lc - lb * jc;
            crossed[i] = a[i] != b[i] || a[i] != c[i];
        }
        for (int i = 0; i < 3; i++)
            for (int n = 0; n < 3; n++)
                scan->normals[3 * (size_t)corners[n] + i] += (float)t.normal[i];
        for (int axis = 0; axis < 3 && status == PM_OK; axis++)
            if (crossed[(axis + 1) % 3] && crossed[(axis + 2) % 3])
                status = scan_triangle(scan, lattice, &t, axis, &work);
        if (status != PM_OK) return status;
    }
    return PM_OK;
}

static void unit_normals(float *normals, size_t count) {
    for (size_t v = 0; v < count; v++) {
        float *n = normals + 3 * v;
        const float square = n[0] * n[0] + n[1] * n[1] + n[2] * n[2];
        const float scale = square > 0 ? 1 / sqrtf(square) : 0;
        for (int a = 0; a < 3; a++) n[a] *= scale;
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

/* Set the bits of the nodes whose winding number is positive. */
static void fill(const pm_lattice *lattice, pm_scan *scan) {
    for (size_t row = 0; row < lattice->size[1] * lattice->size[2]; row++) {
        long winding = 0;
        size_t entered = 0;
        for (uint32_t h = scan->rows[row]; h; h = scan->hits[h].next) {
            const long before = winding;
            const size_t first = scan->hits[h].node % lattice->stride + 1;
            winding += scan->hits[h].triangle < 0 ? 1 : -1;
            if (before <= 0 && winding > 0) entered = first;
            if (before > 0 && winding <= 0)
                set_bits(scan->bits + row * lattice->words, entered, first);
        }
    }
}

pm_status pm_scan_head(const pm_head *head, const pm_lattice *lattice, pm_scan *scan) {
    const size_t rows = lattice->size[1] * lattice->size[2];
    vertex *vertices = malloc((head->vertex_count + 1) * sizeof *vertices);
    memset(scan, 0, sizeof *scan);
    scan->room = 4 * rows + 64;
    scan->count = 1;
    scan->hits = calloc(scan->room, sizeof *scan->hits);
    scan->rows = calloc(rows + 2 * lattice->size[2], sizeof *scan->rows);
    scan->bits = calloc(rows * lattice->words, sizeof *scan->bits);
    scan->normals = calloc(head->vertex_count + 1, 3 * sizeof *scan->normals);
    pm_status status = PM_NO_MEMORY;
    if (vertices && scan->hits && scan->rows && scan->bits && scan->normals) {
        for (int a = 0; a < 2; a++)
            scan->planes[a] = scan->rows + rows + (size_t)a * lattice->size[2];
        round_vertices(head, lattice, vertices);
        status = scan_triangles(head, lattice, vertices, scan);
        unit_normals(scan->normals, head->vertex_count);
        if (status == PM_OK) fill(lattice, scan);
    }
    free(vertices);
    if (status != PM_OK) pm_free_scan(scan);
    return status;
}

void pm_free_scan(pm_scan *scan) {
    free(scan->hits);
    free(scan->rows);
    free(scan->bits);
    free(scan->normals);
    memset(scan, 0, sizeof *scan);
}
