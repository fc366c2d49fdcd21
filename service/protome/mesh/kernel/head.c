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
    int32_t at[3];   /* relative to node (0, 0, 0), positive */
    int32_t next[3]; /* number of the first node that is not before it */
} vertex;

typedef struct {
    const vertex *corner[3];
    int64_t normal[3];
    int32_t index;
} triangle;

/* Where a line of nodes passes through a triangle. */
typedef struct {
    int64_t area[2]; /* of the second and third corner, as in scan_box */
    int32_t u, v;    /* of the line */
    int32_t number;  /* of the triangle in the batch */
} crossing;

/* Triangles and crossings are handled by the batch, so that loops have few branches that depend on
 * the last result. */
enum { BATCH = 256, LONGEST_LINE = 512, ROOM = 2 * LONGEST_LINE };

typedef struct {
    const vertex *vertices;
    pm_scan *scan;
    size_t steps[3]; /* between nodes along x, y, z */
    int32_t spacing;
    long work;
    triangle triangles[BATCH];
    crossing crossings[ROOM];
    size_t count; /* of crossings */
} scanner;

static int sign(int64_t value) { return (value > 0) - (value < 0); }

static void round_vertices(const pm_head *head, const pm_lattice *lattice, vertex *out) {
    /* Nodes are FIXED times 1, 2 or 4 apart. */
    const int shift = 10 + lattice->step / 2;
    double zero[3];
    for (int a = 0; a < 3; a++) zero[a] = ((double)lattice->origin[a] + 0.5) * lattice->step;
    for (size_t v = 0; v < head->vertex_count; v++) {
        for (int a = 0; a < 3; a++) {
            out[v].at[a] = (int32_t)((head->vertices[3 * v + a] - zero[a]) * FIXED + 0.5);
            out[v].next[a] = (out[v].at[a] + (1 << shift) - 1) >> shift;
        }
    }
}

/* Number of the first node of a line that is beyond the triangle; ``*at`` gets the place of the hit
 * in nodes. The line's other coordinates give ``others``, their part of the plane's equation. */
static inline int32_t first_beyond(const triangle *t, int axis, int64_t others, int32_t spacing,
                                   double *at) {
    const int64_t slope = t->normal[axis], start = t->corner[0]->at[axis];
    *at = ((double)start - (double)others / (double)slope) / spacing;
    const int32_t nearest = (int32_t)(*at + 0.5);
    const double off = *at - nearest;
    if (fabs(off) > 1e-6) return nearest + (off > 0);
    int over = sign(slope * ((int64_t)nearest * spacing - start) + others);
    for (int a = 0; !over; a++) over = sign(t->normal[a]);
    return nearest + (over != sign(slope));
}

static inline int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }
static inline int32_t most(int32_t a, int32_t b) { return a > b ? a : b; }

static void find_normal(triangle *t) {
    const int32_t *a = t->corner[0]->at, *b = t->corner[1]->at, *c = t->corner[2]->at;
    for (int i = 0; i < 3; i++) {
        const int j = (i + 1) % 3, l = (i + 2) % 3;
        t->normal[i] = (int64_t)(b[j] - a[j]) * (c[l] - a[l]) - (int64_t)(b[l] - a[l]) * (c[j] - a[j]);
    }
}

/* Whether a line that meets the side from p to q, or its continuation, counts as to the left of it:
 * the first of the moves of the nodes that is not along the side decides. */
static int is_left(const vertex *p, const vertex *q, int axis) {
    const int au = (axis + 1) % 3, av = (axis + 2) % 3;
    const int by_u = p->at[av] - q->at[av], by_v = q->at[au] - p->at[au];
    const int first = axis == 1 ? by_v : by_u, second = axis == 1 ? by_u : by_v;
    return (first ? first : second) > 0;
}

/* Add the hits of the crossings along ``axis``. */
static inline __attribute__((always_inline)) pm_status add_hits(scanner *s, const int axis) {
    const int au = (axis + 1) % 3, av = (axis + 2) % 3;
    pm_scan *scan = s->scan;
    if (scan->room[axis] - scan->count[axis] < s->count) {
        const size_t larger = scan->room[axis] + scan->room[axis] / 2 + ROOM;
        pm_hit *moved = realloc(scan->hits[axis], larger * sizeof *moved);
        if (!moved) return PM_NO_MEMORY;
        scan->hits[axis] = moved;
        scan->room[axis] = larger;
    }
    pm_hit *hit = scan->hits[axis] + scan->count[axis];
    for (const crossing *c = s->crossings; c < s->crossings + s->count; c++, hit++) {
        const triangle *t = s->triangles + c->number;
        const int32_t *start = t->corner[0]->at;
        const int64_t whole = t->normal[axis], turn = whole >> 63;
        const int64_t others = t->normal[au] * (c->u * s->spacing - start[au]) +
                               t->normal[av] * (c->v * s->spacing - start[av]);
        const double share = 1 / (double)((whole ^ turn) - turn);
        double at;
        const int32_t beyond = first_beyond(t, axis, others, s->spacing, &at);
        hit->node = (uint32_t)((size_t)(beyond - 1) * s->steps[axis] +
                               (size_t)c->u * s->steps[au] + (size_t)c->v * s->steps[av]);
        hit->triangle = t->index ^ (int32_t)turn;
        hit->at = (float)(at - (beyond - 1));
        hit->weights[0] = (float)((double)c->area[0] * share);
        hit->weights[1] = (float)((double)c->area[1] * share);
    }
    scan->count[axis] += s->count;
    s->count = 0;
    return PM_OK;
}

/* Find the lines along ``axis`` that pass through a triangle: they lie on the same side of its
 * three sides. Twice the area of the triangle of a side and the line grows evenly. */
static inline __attribute__((always_inline)) pm_status scan_box(scanner *s, const int32_t number,
                                                                const int axis) {
    const int au = (axis + 1) % 3, av = (axis + 2) % 3;
    const triangle *t = s->triangles + number;
    const vertex *const *p = t->corner;
    const int64_t whole = t->normal[axis], turn = whole >> 63; /* -1 if seen from behind, else 0 */
    const int32_t spacing = s->spacing;
    if (!whole) return PM_OK;
    const int32_t first = least(p[0]->next[au], least(p[1]->next[au], p[2]->next[au]));
    const int32_t end = most(p[0]->next[au], most(p[1]->next[au], p[2]->next[au]));
    const int32_t low = least(p[0]->next[av], least(p[1]->next[av], p[2]->next[av]));
    const int32_t high = most(p[0]->next[av], most(p[1]->next[av], p[2]->next[av]));
    s->work += (long)(end - first) * (high - low);
    if (s->work > MOST_WORK) return PM_BAD_SHAPE;
    int64_t begin[3], by_u[3], by_v[3];
    for (int i = 0; i < 3; i++) {
        const int32_t *from = p[(i + 1) % 3]->at, *to = p[(i + 2) % 3]->at;
        const int64_t du = ((to[au] - from[au]) ^ turn) - turn;
        const int64_t dv = ((to[av] - from[av]) ^ turn) - turn;
        by_u[i] = -dv * spacing;
        by_v[i] = du * spacing;
        begin[i] = du * (low * spacing - from[av]) - dv * (first * spacing - from[au]);
    }
    for (int32_t v = low; v < high; v++) {
        if (s->count + LONGEST_LINE > ROOM) {
            const pm_status status = add_hits(s, axis);
            if (status != PM_OK) return status;
        }
        int64_t area[3] = {begin[0], begin[1], begin[2]};
        crossing *next = s->crossings + s->count;
        for (int32_t u = first; u < end; u++) {
            int within = (area[0] | area[1] | area[2]) >= 0;
            for (int i = 0; i < 3; i++)
                if (!area[i]) within &= is_left(p[(i + 1) % 3], p[(i + 2) % 3], axis) == !turn;
            *next = (crossing){{area[1], area[2]}, u, v, number};
            next += within;
            for (int i = 0; i < 3; i++) area[i] += by_u[i];
        }
        s->count = (size_t)(next - s->crossings);
        for (int i = 0; i < 3; i++) begin[i] += by_v[i];
    }
    return PM_OK;
}

static inline __attribute__((always_inline)) pm_status scan_axis(
    scanner *s, const uint16_t *numbers, size_t count, const int axis) {
    for (size_t i = 0; i < count; i++) {
        const pm_status status = scan_box(s, numbers[i], axis);
        if (status != PM_OK) return status;
    }
    return add_hits(s, axis);
}

static pm_status scan_batch(scanner *s, const pm_face *faces, int32_t first, int32_t end) {
    uint16_t numbers[3][BATCH + 1];
    size_t count[3] = {0}, kept = 0;
    for (int32_t k = first; k < end; k++) {
        triangle *t = s->triangles + kept;
        t->index = k;
        for (int i = 0; i < 3; i++) t->corner[i] = s->vertices + faces[k].corners[i];
        const int32_t *p = t->corner[0]->next, *q = t->corner[1]->next, *r = t->corner[2]->next;
        /* Whether planes of nodes across the axis pass through it. */
        const size_t x = (p[0] != q[0]) | (p[0] != r[0]), y = (p[1] != q[1]) | (p[1] != r[1]),
                     z = (p[2] != q[2]) | (p[2] != r[2]);
        for (int a = 0; a < 3; a++) numbers[a][count[a]] = (uint16_t)kept;
        count[0] += y & z;
        count[1] += z & x;
        count[2] += x & y;
        kept += (x + y + z) >= 2;
    }
    for (size_t k = 0; k < kept; k++) find_normal(s->triangles + k);
    pm_status status = scan_axis(s, numbers[0], count[0], 0);
    if (status == PM_OK) status = scan_axis(s, numbers[1], count[1], 1);
    if (status == PM_OK) status = scan_axis(s, numbers[2], count[2], 2);
    return status;
}

static pm_status scan_triangles(const pm_head *head, const pm_lattice *lattice,
                                const vertex *vertices, pm_scan *scan) {
    scanner s = {.vertices = vertices,
                 .scan = scan,
                 .steps = {1, lattice->stride, lattice->stride * lattice->size[1]},
                 .spacing = lattice->step * FIXED};
    const int32_t count = (int32_t)head->triangle_count;
    pm_status status = PM_OK;
    for (int32_t k = 0; k < count && status == PM_OK; k += BATCH)
        status = scan_batch(&s, head->faces, k, count - k < BATCH ? count : k + BATCH);
    return status;
}

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
    vertex *vertices = malloc((head->vertex_count + 1) * sizeof *vertices);
    memset(scan, 0, sizeof *scan);
    scan->bits = calloc(lattice->size[1] * lattice->size[2] * lattice->words, sizeof *scan->bits);
    scan->points = malloc((head->vertex_count + 1) * sizeof *scan->points);
    pm_status status = PM_NO_MEMORY;
    if (vertices && scan->bits && scan->points) {
        find_normals(head, scan->points);
        round_vertices(head, lattice, vertices);
        status = scan_triangles(head, lattice, vertices, scan);
        if (status == PM_OK) status = fill(lattice, scan);
    }
    free(vertices);
    if (status != PM_OK) pm_free_scan(scan);
    return status;
}

void pm_free_scan(pm_scan *scan) {
    for (int a = 0; a < 3; a++) free(scan->hits[a]);
    free(scan->bits);
    free(scan->points);
    memset(scan, 0, sizeof *scan);
}
