/* Scan-convert a closed triangle mesh along the lines of a lattice, in exact arithmetic.
 *
 * Vertices are rounded to 1/1024 crop pixel. Nodes count as moved by an infinitesimal amount along
 * x, a much smaller one along y and a still smaller one along z (Edelsbrunner and Muecke,
 * "Simulation of Simplicity", ACM TOG 1990), so that no line meets an edge or a vertex, and no node
 * lies on a triangle. All signs are computed exactly in 64-bit integers. So the lines along all
 * three axes agree on the winding number of each node, and an edge from a node inside to a node
 * outside has a hit.
 */

#include "crossings.h"

#include <math.h>
#include <stdlib.h>

/* Steps of fixed-point coordinates in a crop pixel. A lattice is less than 512 px long: differences
 * of coordinates fit into 19 bits and a sign, normals into 40, their dot products into 61. */
#define FIXED 1024

/* x, y and z; the fourth part is not used. */
typedef struct {
    pm_four_ints at;   /* relative to node (0, 0, 0), positive */
    pm_four_ints next; /* number of the first node that is not before it */
} vertex;

typedef struct {
    const vertex *corner[3];
    int64_t normal[3];
    int64_t area[3][3];     /* of each side and the line along each axis through node ``low`` */
    pm_four_ints low, high; /* the nodes of its box, and one further */
    int32_t index;
} triangle;

/* Where a line of nodes passes through a triangle. */
typedef struct {
    int64_t area[2];    /* of the second and third corner */
    uint16_t u, v;      /* of the line */
    uint16_t number[2]; /* of the triangle in the batch, and nothing */
} crossing;

/* Triangles and crossings are handled by the batch: what the next one needs cannot be predicted, so
 * there are lists of those that need the same, and no branches where they are made. */
enum { BATCH = 128, LONGEST_LINE = 512, ROOM = 2 * LONGEST_LINE };

typedef struct {
    uint8_t numbers[BATCH];
    size_t count;
} list;

typedef struct {
    pm_scan *scan;
    size_t steps[3]; /* between nodes along x, y, z */
    int32_t spacing;
    long work;
    triangle triangles[BATCH];
    list lines[3], boxes[3]; /* triangles by axis, with one line or several in their box */
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
        out[v] = (vertex){{0}, {0}};
        for (int a = 0; a < 3; a++) {
            out[v].at[a] = (int32_t)((head->vertices[3 * v + a] - zero[a]) * FIXED + 0.5);
            out[v].next[a] = (out[v].at[a] + (1 << shift) - 1) >> shift;
        }
    }
}

static inline pm_four_ints least(pm_four_ints a, pm_four_ints b) {
    const pm_four_ints less = a < b;
    return (less & a) | (~less & b);
}

static inline pm_four_ints most(pm_four_ints a, pm_four_ints b) {
    const pm_four_ints less = a < b;
    return (less & b) | (~less & a);
}

/* Twice the area of each triangle of a side and a line, and of the triangle itself. They are parts
 * of cross products: of the side, and the way from its start to the line. */
static void find_areas(triangle *t, int32_t spacing) {
    int64_t side[2][3], way[2][3], other[3];
    for (int a = 0; a < 3; a++) {
        const int32_t p = t->corner[0]->at[a], q = t->corner[1]->at[a], r = t->corner[2]->at[a];
        const int32_t line = t->low[a] * spacing;
        side[0][a] = p - r;
        side[1][a] = q - p;
        way[0][a] = line - r;
        way[1][a] = line - p;
        other[a] = r - p;
    }
    for (int a = 0; a < 3; a++) {
        const int u = (a + 1) % 3, v = (a + 2) % 3;
        t->normal[a] = side[1][u] * other[v] - side[1][v] * other[u];
        for (int i = 0; i < 2; i++)
            t->area[i + 1][a] = side[i][u] * way[i][v] - side[i][v] * way[i][u];
        t->area[0][a] = t->normal[a] - t->area[1][a] - t->area[2][a];
    }
}

/* Make the lists of a batch. */
static void sort_triangles(scanner *s, const vertex *vertices, const pm_face *faces, int32_t first,
                           int32_t end) {
    size_t kept = 0;
    for (int a = 0; a < 3; a++) s->lines[a].count = s->boxes[a].count = 0;
    for (int32_t k = first; k < end; k++) {
        triangle *t = s->triangles + kept;
        for (int i = 0; i < 3; i++) t->corner[i] = vertices + faces[k].corners[i];
        const pm_four_ints p = t->corner[0]->next, q = t->corner[1]->next, r = t->corner[2]->next;
        t->index = k;
        t->low = least(p, least(q, r));
        t->high = most(p, most(q, r));
        const pm_four_ints size = t->high - t->low;
        long lines = 0;
        for (int a = 0; a < 3; a++) {
            const long u = size[(a + 1) % 3], v = size[(a + 2) % 3];
            list *one = s->lines + a, *box = s->boxes + a;
            one->numbers[one->count] = box->numbers[box->count] = (uint8_t)kept;
            one->count += u * v == 1;
            box->count += u * v > 1;
            lines += u * v;
        }
        s->work += lines;
        kept += lines > 0;
    }
    for (size_t k = 0; k < kept; k++) find_areas(s->triangles + k, s->spacing);
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
        const triangle *t = s->triangles + c->number[0];
        const pm_four_ints start = t->corner[0]->at;
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

/* How much the three areas grow from a line to the next ones.
 *
 * A line passes through a triangle if it is on the inner side of all three sides, where their areas
 * are positive. Of the lines that meet a side, or its continuation, some count as moved inwards: the
 * first of the moves of the nodes that is not along the side decides. Of the other sides the area
 * counts as 1 ``less``. */
typedef struct {
    int64_t by_u[3], by_v[3], less[3];
} growth;

static inline __attribute__((always_inline)) void find_growth(const triangle *t, int64_t turn,
                                                              const int axis, growth *g) {
    const int au = (axis + 1) % 3, av = (axis + 2) % 3;
    for (int i = 0; i < 3; i++) {
        const vertex *from = t->corner[(i + 1) % 3], *to = t->corner[(i + 2) % 3];
        g->by_u[i] = ((from->at[av] - to->at[av]) ^ turn) - turn;
        g->by_v[i] = ((to->at[au] - from->at[au]) ^ turn) - turn;
        const int64_t first = axis == 1 ? g->by_v[i] : g->by_u[i];
        g->less[i] = (first ? first : axis == 1 ? g->by_u[i] : g->by_v[i]) <= 0;
    }
}

/* Scan the triangles whose box across ``axis`` has a single line. */
static inline __attribute__((always_inline)) pm_status scan_lines(scanner *s, const int axis) {
    const int au = (axis + 1) % 3, av = (axis + 2) % 3;
    for (size_t i = 0; i < s->lines[axis].count; i++) {
        const uint8_t number = s->lines[axis].numbers[i];
        const triangle *t = s->triangles + number;
        const int64_t whole = t->normal[axis], turn = whole >> 63;
        int64_t area[3];
        for (int k = 0; k < 3; k++) area[k] = (t->area[k][axis] ^ turn) - turn;
        int within = ((area[0] - 1) | (area[1] - 1) | (area[2] - 1)) >= 0;
        if (within != ((area[0] | area[1] | area[2]) >= 0)) {
            growth g;
            find_growth(t, turn, axis, &g);
            within = ((area[0] - g.less[0]) | (area[1] - g.less[1]) | (area[2] - g.less[2])) >= 0;
        }
        s->crossings[s->count] = (crossing){
            {area[1], area[2]}, (uint16_t)t->low[au], (uint16_t)t->low[av], {number}};
        s->count += (size_t)(within & (whole != 0));
    }
    return add_hits(s, axis);
}

/* Scan a triangle whose box across ``axis`` has several lines. */
static inline __attribute__((always_inline)) pm_status scan_box(scanner *s, const uint8_t number,
                                                                const int axis) {
    const int au = (axis + 1) % 3, av = (axis + 2) % 3;
    const triangle *t = s->triangles + number;
    const int64_t whole = t->normal[axis], turn = whole >> 63; /* -1 if seen from behind, else 0 */
    int64_t begin[3];
    growth g;
    if (!whole) return PM_OK;
    find_growth(t, turn, axis, &g);
    for (int i = 0; i < 3; i++) {
        begin[i] = ((t->area[i][axis] ^ turn) - turn) - g.less[i];
        g.by_u[i] *= s->spacing;
        g.by_v[i] *= s->spacing;
    }
    for (int32_t v = t->low[av]; v < t->high[av]; v++) {
        if (s->count + LONGEST_LINE > ROOM) {
            const pm_status status = add_hits(s, axis);
            if (status != PM_OK) return status;
        }
        int64_t area[3] = {begin[0], begin[1], begin[2]};
        crossing *next = s->crossings + s->count;
        for (int32_t u = t->low[au]; u < t->high[au]; u++) {
            *next = (crossing){{area[1] + g.less[1], area[2] + g.less[2]},
                               (uint16_t)u, (uint16_t)v, {number}};
            next += (area[0] | area[1] | area[2]) >= 0;
            for (int i = 0; i < 3; i++) area[i] += g.by_u[i];
        }
        s->count = (size_t)(next - s->crossings);
        for (int i = 0; i < 3; i++) begin[i] += g.by_v[i];
    }
    return PM_OK;
}

static inline __attribute__((always_inline)) pm_status scan_axis(scanner *s, const int axis) {
    pm_status status = scan_lines(s, axis);
    for (size_t i = 0; status == PM_OK && i < s->boxes[axis].count; i++)
        status = scan_box(s, s->boxes[axis].numbers[i], axis);
    return status == PM_OK ? add_hits(s, axis) : status;
}

static pm_status scan_batch(scanner *s) {
    if (s->work > MOST_WORK) return PM_BAD_SHAPE;
    pm_status status = scan_axis(s, 0);
    if (status == PM_OK) status = scan_axis(s, 1);
    if (status == PM_OK) status = scan_axis(s, 2);
    return status;
}

pm_status pm_find_hits(const pm_head *head, const pm_lattice *lattice, pm_scan *scan) {
    vertex *vertices = malloc((head->vertex_count + 1) * sizeof *vertices);
    scanner *s = malloc(sizeof *s);
    pm_status status = vertices && s ? PM_OK : PM_NO_MEMORY;
    if (status == PM_OK) {
        round_vertices(head, lattice, vertices);
        s->scan = scan;
        s->steps[0] = 1;
        s->steps[1] = lattice->stride;
        s->steps[2] = lattice->stride * lattice->size[1];
        s->spacing = lattice->step * FIXED;
        s->work = 0;
        s->count = 0;
    }
    for (size_t k = 0; k < head->triangle_count && status == PM_OK; k += BATCH) {
        const size_t end = k + BATCH < head->triangle_count ? k + BATCH : head->triangle_count;
        sort_triangles(s, vertices, head->faces, (int32_t)k, (int32_t)end);
        status = scan_batch(s);
    }
    free(vertices);
    free(s);
    return status;
}
